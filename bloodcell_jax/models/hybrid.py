"""The network of the study's hybrid, the CNN-SVR: what stands below its support vector regression."""

from __future__ import annotations

from bloodcell_jax.models import cnn

# Source: the study's essay, "Hybrid CNN"; STUDY of this project, row 15.
IMAGE_SIZE = 32  # pixels a side
FILTERS = (5, 10, 10)
KERNEL_SIZES = ((5, 5), (5, 5), (2, 2))
SECOND_UNITS = 100  # of the second dense layer, whose output is the features of the regression


def hybrid(
  num_classes: int,
  dropout_rate: float,
  first_units: int,
  channels: int,
  rbf_units: int,
  has_auxiliary: bool,
) -> cnn.CNN:
  """16,654 parameters at 32x32x3, four classes and 100 first units; 16,404 with one channel. Maps 28-14-10-5-4-2.

  The last layer is linear: under the loss of a support vector regression it is that regression.

  Args:
    num_classes: K.
    dropout_rate: in [0, 1), before the second dense layer; the study names none.
    first_units: of the first dense layer, of which the study does not say the size.
    channels: 3, or 1 for grey.
    rbf_units: neurons of radial basis functions before the last layer; 0 for none.
    has_auxiliary: whether each convolution has a top of its own, to be trained one at a time.
  """
  units = (first_units, SECOND_UNITS)
  return cnn.CNN(
    FILTERS, KERNEL_SIZES, units, 1, dropout_rate, num_classes, channels, rbf_units, has_auxiliary
  )
