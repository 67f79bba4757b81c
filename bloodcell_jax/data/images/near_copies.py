"""Images that are others saved again, resized or cropped a little, told by thumbnails of a few hundred bytes."""

from __future__ import annotations

import numpy as np
from PIL import Image

from bloodcell_jax.data.images import black_border

# Pixels a side of a thumbnail, which is kept, and of what is compared.
SIDE, COMPARED = 24, 12
# Root mean square difference of a copy, in grey levels, and as a share of its contrast.
MOST_DIFFERENCE, MOST_SHARE = 10.0, 0.4
LEAST_SPREAD = 4.0  # grey levels; flatter images have no content to compare
# What may be cut off at each end of each side, as fractions of it.
CUTS = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1)
# Images that are compared with each: those that are alike in outline. Pixels a side of an outline.
_CANDIDATES, _OUTLINE = 20, 6
_ROUNDS = 2
# Difference of outlines, in grey levels, up to which two images are compared.
_MOST_OUTLINE = 25.0
# Share of a part within both borders from which it is compared: all of it, up to rounding.
_WHOLLY = 0.999
_BLOCK = 512  # images or pairs compared at once


def thumbnail(image: Image.Image) -> np.ndarray:
  """uint8 [SIDE, SIDE]: the mean grey levels of the parts of an upright RGB image, whatever its size."""
  return np.asarray(image.convert('L').resize((SIDE, SIDE), Image.Resampling.BOX))


def are_copies(image_NHW: np.ndarray, known_MHW: np.ndarray) -> np.ndarray:
  """[N] bool: whether each image is one of the others, either of which may be cropped by CUTS; never a flat one.

  docs/evaluation.md says how often it errs. Rotated, mirrored and recoloured images are no copies here.

  Args:
    image_NHW: uint8, of `thumbnail`.
    known_MHW: uint8, of `thumbnail`.
  """
  found_N = np.zeros(len(image_NHW), bool)
  if not len(known_MHW):
    return found_N
  known_MD = _outlines(known_MHW)
  for start in range(0, len(image_NHW), _BLOCK):
    some_BHW = image_NHW[start : start + _BLOCK].astype(np.float32)
    spread_B = _reduced(some_BHW, COMPARED).std((1, 2))
    limit_B = np.minimum(MOST_DIFFERENCE, MOST_SHARE * spread_B)
    near_BK, outline_BK = _nearest(_outlines(some_BHW), known_MD)
    for candidate_B, outline_B in zip(near_BK.T, outline_BK.T, strict=True):
      is_open_B = (spread_B >= LEAST_SPREAD) & ~found_N[start : start + _BLOCK]
      left = np.flatnonzero(is_open_B & (outline_B <= _MOST_OUTLINE))
      some_PHW, other_PHW = some_BHW[left], known_MHW[candidate_B[left]].astype(np.float32)
      for cut_PHW, whole_PHW in ((some_PHW, other_PHW), (other_PHW, some_PHW)):
        difference_P, row_P, column_P = _best_window(cut_PHW, whole_PHW)
        is_near_P = difference_P <= limit_B[left]
        is_near_P[is_near_P] = _are_alike_inside(
          cut_PHW[is_near_P], whole_PHW[is_near_P], row_P[is_near_P], column_P[is_near_P]
        )
        found_N[start + left[is_near_P]] = True
  return found_N


def _windows() -> np.ndarray:
  """[K, COMPARED, SIDE] float32: the means of the parts of a side that is cut by CUTS at both ends."""
  edge_S = np.arange(SIDE + 1) / SIDE
  windows = []
  for first in CUTS:
    for last in CUTS:
      bound = np.linspace(first, 1 - last, COMPARED + 1)
      low, high = (np.maximum, np.minimum)
      shared = high(bound[1:, None], edge_S[None, 1:]) - low(bound[:-1, None], edge_S[None, :-1])
      windows.append(shared.clip(0) / (bound[1] - bound[0]))
  return np.array(windows, np.float32)


_WINDOW_KRS = _windows()


def _best_window(cut_PHW: np.ndarray, whole_PHW: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """The part of the other that fits each image best: its root mean square difference and two windows, each [P]."""
  query_PHW = _reduced(cut_PHW, COMPARED)
  row_P = np.zeros(len(query_PHW), np.int64)
  column_P = row_P
  error_P = np.zeros(len(query_PHW), np.float32)
  for _ in range(_ROUNDS):
    _, column_P = _best(_WINDOW_KRS[row_P] @ whole_PHW, query_PHW)
    error_P, row_P = _best(_WINDOW_KRS[column_P] @ whole_PHW.transpose(0, 2, 1), query_PHW.transpose(0, 2, 1))
  return np.sqrt(error_P), row_P, column_P


def _are_alike_inside(
  cut_PHW: np.ndarray, whole_PHW: np.ndarray, row_P: np.ndarray, column_P: np.ndarray
) -> np.ndarray:
  """[P]: whether images agree within a black border too; True where there is none, or hardly anything within it."""
  rows_PRS, columns_PSR = _WINDOW_KRS[row_P], _WINDOW_KRS[column_P].transpose(0, 2, 1)
  cut_inside_PHW, whole_inside_PHW = (
    black_border.inside(image_PHW).astype(np.float32) for image_PHW in (cut_PHW, whole_PHW)
  )
  share_PRR = np.minimum(_reduced(cut_inside_PHW, COMPARED), rows_PRS @ whole_inside_PHW @ columns_PSR)
  has_border_P = ~(cut_inside_PHW.all((1, 2)) & whole_inside_PHW.all((1, 2)))
  common_PD = (share_PRR > _WHOLLY).reshape(-1, COMPARED**2)
  a_PDC, b_PDC = (
    image_PRR.reshape(-1, COMPARED**2, 1)
    for image_PRR in (_reduced(cut_PHW, COMPARED), rows_PRS @ whole_PHW @ columns_PSR)
  )
  are_alike_P = black_border.are_alike(a_PDC, b_PDC, common_PD, MOST_DIFFERENCE, MOST_SHARE, LEAST_SPREAD)
  return ~has_border_P | are_alike_P


def _best(reduced_PRS: np.ndarray, query_PRC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The least mean square difference over the windows of the last axis, and its window, both [P]."""
  num, rows, side = reduced_PRS.shape
  every_PRKC = (reduced_PRS.reshape(-1, side) @ _WINDOW_KRS.reshape(-1, side).T).reshape(
    num, rows, len(_WINDOW_KRS), rows
  )
  error_PK = ((every_PRKC - query_PRC[:, :, None]) ** 2).mean((1, 3))
  return error_PK.min(1), error_PK.argmin(1)


def _nearest(image_BD: np.ndarray, known_MD: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """[B, K]: the rows of the nearest others, the nearest first, and their root mean square differences."""
  num = min(_CANDIDATES, len(known_MD))
  distance_BM = (image_BD**2).sum(1)[:, None] + (known_MD**2).sum(1) - 2 * image_BD @ known_MD.T
  near_BK = np.argpartition(distance_BM, num - 1, axis=1)[:, :num]
  distance_BK = np.take_along_axis(distance_BM, near_BK, 1)
  order_BK = distance_BK.argsort(1)
  rms_BK = np.sqrt(np.maximum(distance_BK, 0) / image_BD.shape[1])
  return np.take_along_axis(near_BK, order_BK, 1), np.take_along_axis(rms_BK, order_BK, 1)


def _outlines(image_NHW: np.ndarray) -> np.ndarray:
  """[N, _OUTLINE ** 2] float32, without the mean."""
  outline_ND = _reduced(image_NHW, _OUTLINE).reshape(len(image_NHW), -1)
  return outline_ND - outline_ND.mean(1, keepdims=True)


def _reduced(image_NHW: np.ndarray, side: int) -> np.ndarray:
  """[N, side, side] float32: means of square parts."""
  times = SIDE // side
  return image_NHW.reshape(-1, side, times, side, times).mean((2, 4), dtype=np.float32)
