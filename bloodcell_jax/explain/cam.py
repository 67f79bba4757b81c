"""Class activation maps: which positions of the last convolution raise the logit of a class."""

from __future__ import annotations

import numpy as np
from PIL import Image


def grad_cam(map_HWC: np.ndarray, gradient_HWC: np.ndarray) -> np.ndarray:
  """Grad-CAM [H, W]: the sum over channels, each weighted by the mean of its gradient; the paper's map is its ReLU.

  The map keeps its sign, so that maps can be compared even if no value is positive.

  Args:
    map_HWC: output of the last convolution, after its ReLU.
    gradient_HWC: gradient of the class's logit with respect to it.

  Source: Selvaraju et al. 2017, "Grad-CAM", equations 1 and 2.

  Example:
    >>> grad_cam(np.array([[[1.0, 2.0], [0.0, 2.0]]]), np.array([[[3.0, -1.0], [3.0, -1.0]]])).tolist()
    [[1.0, -2.0]]
  """
  weight_C = gradient_HWC.mean((0, 1))
  return np.einsum('hwc,c->hw', map_HWC, weight_C)


def grad_cam_plus_plus(map_HWC: np.ndarray, gradient_HWC: np.ndarray) -> np.ndarray:
  """Grad-CAM++ [H, W], 0 or more: as `grad_cam`, but positive gradients only, weighted separately at each position.

  The score is the exponential of the logit; its second and third derivatives are powers of the first if the network
  is piecewise linear after the map, as with ReLU and pooling. The factor exp(logit), common to all weights, only
  scales the map and is left out.

  Args:
    map_HWC: output of the last convolution, after its ReLU.
    gradient_HWC: gradient of the class's logit with respect to it.

  Source: Chattopadhay et al. 2018, "Grad-CAM++", equations 5 and 19.
  """
  square, cube = gradient_HWC**2, gradient_HWC**3
  denominator = 2 * square + map_HWC.sum((0, 1)) * cube
  # The weight is 0 where the gradient is 0.
  alpha = np.divide(square, denominator, out=np.zeros_like(square), where=denominator != 0)
  weight_C = (alpha * np.maximum(gradient_HWC, 0)).sum((0, 1))
  return np.einsum('hwc,c->hw', map_HWC, weight_C)


def enlarge(map_HW: np.ndarray, size: int) -> np.ndarray:
  """The map resized to [size, size] by bilinear interpolation, float32."""
  small = Image.fromarray(np.asarray(map_HW, np.float32))
  return np.asarray(small.resize((size, size), Image.Resampling.BILINEAR))
