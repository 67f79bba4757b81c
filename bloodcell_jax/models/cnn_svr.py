"""The CNN below the support vector regression of the study's hybrid, the CNN-SVR."""

from __future__ import annotations

from bloodcell_jax.models import backbone, cnn

# Source: the study's essay, section "Hybrid CNN"; docs/hybrid.md says what of it is given and what is chosen here.
IMAGE_SIZE = 32  # pixels a side
FILTERS = (5, 10, 10)
KERNEL_SIZES = ((5, 5), (5, 5), (2, 2))
SECOND_UNITS = 100  # of the second dense layer, whose output is the regression's input


def cnn_svr(options: backbone.Options) -> cnn.CNN:
  """16,654 parameters at 32x32x3, four classes and 100 head units; 16,404 with one channel. Maps 28-14-10-5-4-2.

  `head_units` are those of the first dense layer, whose size the study does not give. The dropout, which the study does
  not mention, stands before the second one. The last layer is linear: under the loss of a support vector regression it
  is that regression.
  """
  return cnn.build(FILTERS, KERNEL_SIZES, (options.head_units, SECOND_UNITS), 1, options)
