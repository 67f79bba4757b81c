"""SIFT keypoints and descriptors, ordered so that those of the mirror image are a permutation."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from bloodcell_jax.fields import disk

# All images are resized to this long side, so that a smaller copy matches at the same scale.
LONG_SIDE = 320
MOST = 200  # number of keypoints kept for an image, the strongest ones
# Half of OpenCV's 0.04: pale red cells have little contrast, and an image should have MOST keypoints.
_CONTRAST = 0.02
# Entries of a RootSIFT descriptor are rarely above 0.4; a factor of 512 uses the range of a byte.
_SCALE = 512.0
# Grey level below which the border of a rotated or shifted copy counts as black; JPEG adds noise.
_BLACK = 16
# Pixels around the black border; descriptors there show its edge, not the cells.
_MARGIN = 5

_NUM_BINS, _NUM_ANGLES = 4, 8


def _mirror_index() -> np.ndarray:
  """For each entry of a descriptor of the mirrored image, the equal entry of the original descriptor."""
  row, column, angle = np.meshgrid(
    np.arange(_NUM_BINS), np.arange(_NUM_BINS), np.arange(_NUM_ANGLES), indexing='ij'
  )
  # The window is aligned with the gradient: mirroring swaps left and right of it and reverses angles.
  index = ((_NUM_BINS - 1 - row) * _NUM_BINS + column) * _NUM_ANGLES + (-angle) % _NUM_ANGLES
  return index.ravel()


MIRROR = _mirror_index()


@dataclasses.dataclass(frozen=True)
class Keypoints:
  """The keypoints of all images, those of image i from `start[i]` to `start[i + 1]`.

  P is the number of keypoints of all images together.
  """

  xy_P2: np.ndarray  # float32, pixels at LONG_SIDE
  descriptor_PD: np.ndarray  # uint8, D = 128
  start: np.ndarray  # [N + 1] int64
  size_N2: np.ndarray  # int32: width and height in pixels at LONG_SIDE

  def __len__(self) -> int:
    return len(self.size_N2)

  def of_image(self, row: int) -> tuple[np.ndarray, np.ndarray]:
    """(xy, descriptors) of the image `row`."""
    part = slice(self.start[row], self.start[row + 1])
    return self.xy_P2[part], self.descriptor_PD[part]


def detect(image_HWC: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
  """The strongest keypoints of an image, their descriptors, and the size of the resized image.

  Keypoints on a black border, which rotated and shifted copies have, are excluded.

  Args:
    image_HWC: uint8 RGB.

  Returns:
    xy [P, 2] float32, descriptors [P, 128] uint8 with P at most MOST, (width, height) in pixels.

  Source: Lowe 2004, "Distinctive image features from scale-invariant keypoints"; Arandjelovic and Zisserman 2012,
  "Three things everyone should know to improve object retrieval" (the root).
  """
  image_HWC = resized(image_HWC)
  size = (image_HWC.shape[1], image_HWC.shape[0])
  grey_HW = cv2.cvtColor(image_HWC, cv2.COLOR_RGB2GRAY)
  # One instance for each image: it has buffers and must not be shared by threads.
  sift = cv2.SIFT.create(nfeatures=MOST, contrastThreshold=_CONTRAST)
  points, values = sift.detectAndCompute(grey_HW, inside(image_HWC))
  if values is None:
    return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8), size
  # OpenCV returns more than nfeatures if the last ones are equally strong.
  points, values = points[:MOST], values[:MOST]
  root = np.sqrt(values / np.maximum(values.sum(1, keepdims=True), 1e-9))
  xy_P2 = np.array([point.pt for point in points], np.float32).reshape(-1, 2)
  return xy_P2, np.minimum(root * _SCALE + 0.5, 255).astype(np.uint8), size


def resized(image_HWC: np.ndarray) -> np.ndarray:
  """The image, uint8 RGB, with a long side of LONG_SIDE and no side below 8 pixels."""
  height, width = image_HWC.shape[:2]
  scale = LONG_SIDE / max(height, width)
  if scale == 1:
    return image_HWC
  size = (max(8, round(width * scale)), max(8, round(height * scale)))
  return np.asarray(
    cv2.resize(image_HWC, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
  )


def inside(image_HWC: np.ndarray) -> np.ndarray | None:
  """255 where a resized image shows something, 0 on its black border and beside it: uint8 [H, W].

  None if it has no black border.
  """
  border_HW = _black_border(image_HWC)
  if border_HW is None:
    return None
  around = disk.of(_MARGIN)
  return np.where(cv2.dilate(border_HW, around) > 0, 0, 255).astype(np.uint8)


class Collector:
  """Collects the results of `detect` for one image after the other; `keypoints` returns all of them.

  Memory for MOST keypoints an image is reserved at once and committed by the system as it is written, so that nothing
  is stored twice: 2.5 GB for 100,000 images.
  """

  def __init__(self, num_images: int) -> None:
    self._xy = np.empty((num_images * MOST, 2), np.float32)
    self._descriptor = np.empty((num_images * MOST, 128), np.uint8)
    self._start = [0]
    self._size: list[tuple[int, int]] = []

  def add(self, xy_P2: np.ndarray, descriptor_PD: np.ndarray, size: tuple[int, int]) -> None:
    """Adds the keypoints of the next image."""
    part = slice(self._start[-1], self._start[-1] + len(xy_P2))
    self._xy[part], self._descriptor[part] = xy_P2, descriptor_PD
    self._start.append(part.stop)
    self._size.append(size)

  def keypoints(self) -> Keypoints:
    """The keypoints of all images added so far."""
    last = self._start[-1]
    return Keypoints(
      self._xy[:last],
      self._descriptor[:last],
      np.array(self._start, np.int64),
      np.array(self._size, np.int32).reshape(-1, 2),
    )


def mirrored(descriptor_PD: np.ndarray) -> np.ndarray:
  """The descriptors of the keypoints in the mirror image; its own inverse.

  **Guarantees**: equal to detecting on the mirrored image, up to rounding and ties of orientations.
  """
  return descriptor_PD[:, MIRROR]


def _black_border(image_HWC: np.ndarray) -> np.ndarray | None:
  """uint8 [H, W]: 1 on black regions that touch the border of the image; None if there are none."""
  red, green, blue = cv2.split(image_HWC)
  black_HW = (cv2.max(cv2.max(red, green), blue) < _BLACK).astype(np.uint8)
  border = np.concatenate([black_HW[0], black_HW[-1], black_HW[:, 0], black_HW[:, -1]])
  if not border.any():
    return None
  _, label_HW = cv2.connectedComponents(black_HW, connectivity=4)
  edge = np.concatenate([label_HW[0], label_HW[-1], label_HW[:, 0], label_HW[:, -1]])
  return (np.isin(label_HW, np.unique(edge[edge > 0]))).astype(np.uint8)
