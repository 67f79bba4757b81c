"""Class activation maps: which places of the last convolution speak for a class."""

from __future__ import annotations

import numpy as np
from PIL import Image


def grad_cam(map_HWC: np.ndarray, gradient_HWC: np.ndarray) -> np.ndarray:
  """The channels' sum, each weighted by the mean of its gradient; [H, W]. Its relu is the map of the paper.

  Signed, so that where nothing speaks for the class there still is a map to compare.

  Args:
    map_HWC: of the last convolution, after its relu.
    gradient_HWC: of the class's logit by it.

  Source: Selvaraju et al. 2017, "Grad-CAM", equations 1 and 2.

  Example:
    >>> grad_cam(np.array([[[1.0, 2.0], [0.0, 2.0]]]), np.array([[[3.0, -1.0], [3.0, -1.0]]])).tolist()
    [[1.0, -2.0]]
  """
  weight_C = gradient_HWC.mean((0, 1))
  return np.einsum('hwc,c->hw', map_HWC, weight_C)


def grad_cam_plus_plus(map_HWC: np.ndarray, gradient_HWC: np.ndarray) -> np.ndarray:
  """As `grad_cam`, with a weight for each place of a channel: only where the logit rises, more where few places do.

  No value is below 0: neither the map behind its relu nor a weight is.

  The score is the exponential of the logit; its second and third derivatives are powers of the first where the
  network is piecewise linear behind the map, as with relu and pooling. The factor exp(logit), common to all weights,
  is left out: it scales the map alone.

  Args:
    map_HWC: of the last convolution, after its relu.
    gradient_HWC: of the class's logit by it.

  Source: Chattopadhay et al. 2018, "Grad-CAM++", equations 5 and 19.
  """
  square, cube = gradient_HWC**2, gradient_HWC**3
  below = 2 * square + map_HWC.sum((0, 1)) * cube
  # Where the gradient is 0 so is the weight.
  alpha = np.divide(square, below, out=np.zeros_like(square), where=below != 0)
  weight_C = (alpha * np.maximum(gradient_HWC, 0)).sum((0, 1))
  return np.einsum('hwc,c->hw', map_HWC, weight_C)


def enlarge(map_HW: np.ndarray, size: int) -> np.ndarray:
  """The map at the image's size [size, size], bilinear, float32."""
  small = Image.fromarray(np.asarray(map_HW, np.float32))
  return np.asarray(small.resize((size, size), Image.Resampling.BILINEAR))
