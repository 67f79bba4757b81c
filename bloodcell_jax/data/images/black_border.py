"""The constant black around a photograph or a cell, found in reduced images: it shows nothing of the specimen."""

from __future__ import annotations

import numpy as np

# Grey level below which a part counts as black; JPEG adds noise. As in `fields/keypoints.py`.
_BLACK = 16
# A border thinner than one part darkens the outermost line: each part of it is below this share of the next one's.
_DARKER = 0.9
# Share of the parts that must lie within the borders for what they show to be compared.
_LEAST_INSIDE = 1 / 16


def inside(level_NHW: np.ndarray) -> np.ndarray:
  """bool [N, H, W]: the parts of reduced images that show something; all of them where there is no black border.

  Black parts that reach the edge of the image are outside, and so are, in an image with such a border, the parts
  beside it and the outermost lines, in which the border and the image are mixed.

  Args:
    level_NHW: grey levels or the brightest channel, 0 to 255; at least 2 parts a side.
  """
  outside_NHW = _connected(level_NHW < _BLACK)
  has_border_N = outside_NHW.any((1, 2)) | _has_dark_line(level_NHW)
  edge_HW = np.ones(level_NHW.shape[1:], bool)
  edge_HW[1:-1, 1:-1] = False
  return ~has_border_N[:, None, None] | ~(_grown(_grown(outside_NHW, 1), 2) | edge_HW)


def are_alike(
  a_PDC: np.ndarray,
  b_PDC: np.ndarray,
  inside_PD: np.ndarray,
  most_difference: float,
  most_share: float,
  least_spread: float,
) -> np.ndarray:
  """bool [P]: whether pairs of reduced images show the same within their borders, up to their mean colours.

  Also True where hardly anything lies within the borders.

  Args:
    a_PDC: grey levels, 0 to 255, of D parts in C channels.
    b_PDC: the same parts of the others.
    inside_PD: bool, the parts within the borders of both.
    most_difference: root mean square, in grey levels.
    most_share: the same as a share of the contrast, which is the standard deviation over the parts.
    least_spread: the contrast in grey levels below which there is nothing to compare.
  """
  num_P = np.maximum(inside_PD.sum(1), 1)

  def spread(image_PDC: np.ndarray) -> np.ndarray:
    mean_PC = (image_PDC * inside_PD[:, :, None]).sum(1) / num_P[:, None]
    square_PDC = ((image_PDC - mean_PC[:, None]) * inside_PD[:, :, None]) ** 2
    return np.asarray(np.sqrt(square_PDC.sum(1).mean(1) / num_P))

  spread_P = np.minimum(spread(a_PDC), spread(b_PDC))
  limit_P = np.minimum(most_difference, most_share * spread_P)
  is_alike_P = (spread_P >= least_spread) & (spread(a_PDC - b_PDC) <= limit_P)
  return is_alike_P | (num_P < _LEAST_INSIDE * inside_PD.shape[1])


def _connected(black_NHW: np.ndarray) -> np.ndarray:
  """Those of the black parts from which black ones lead to the edge."""
  found_NHW = black_NHW.copy()
  found_NHW[:, 1:-1, 1:-1] = False
  while True:
    grown_NHW = black_NHW & (_grown(found_NHW, 1) | _grown(found_NHW, 2))
    if (grown_NHW == found_NHW).all():
      return found_NHW
    found_NHW = grown_NHW


def _grown(part_NHW: np.ndarray, axis: int) -> np.ndarray:
  """The parts and their neighbours along one axis."""
  moved_NHW = np.moveaxis(part_NHW, axis, 0)
  grown_NHW = moved_NHW.copy()
  grown_NHW[1:] |= moved_NHW[:-1]
  grown_NHW[:-1] |= moved_NHW[1:]
  return np.moveaxis(grown_NHW, 0, axis)


def _has_dark_line(level_NHW: np.ndarray) -> np.ndarray:
  """[N]: whether one of the four outermost lines is darker than the next one in all its parts but the corners."""
  found_N = np.zeros(len(level_NHW), bool)
  for lines_NLP in (
    level_NHW,
    level_NHW[:, ::-1],
    level_NHW.swapaxes(1, 2),
    level_NHW.swapaxes(1, 2)[:, ::-1],
  ):
    first_NP, second_NP = lines_NLP[:, 0, 1:-1], lines_NLP[:, 1, 1:-1]
    found_N |= (first_NP < _DARKER * second_NP).all(1)
  return found_N
