"""White cells of a photograph of any size: their boxes and what makes some of them doubtful."""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import json
import threading
from typing import Any

import numpy as np

from bloodcell_jax.base import cell
from bloodcell_jax.fields import candidate, red_cells, stain

# Changes with everything that decides which cells are found; part of the fingerprint of predictions.
VERSION = 6
# What makes a cell doubtful, in the order in which it is listed.
CUT, TOUCHING, SMUDGED, BLURRED = 'cut by the edge', 'touching', 'smudged', 'out of focus'
MARKS = (CUT, TOUCHING, SMUDGED, BLURRED)
# Least area of a white cell's nucleus, of the square of a red cell's diameter: smaller ones are platelets and dirt.
LEAST_NUCLEUS = 0.1
# A red cell in pixels: outside these limits a photograph is taken for one without a scale.
_NARROWEST = 5
# A photograph without a scale, such as one nucleus on a pale ground: red cells to its shorter side.
_ACROSS = 5.0
# Most pixels of the working image: a field with more red cells than this is one with its scale misjudged.
_MOST_PIXELS = 12_000_000


@dataclasses.dataclass(frozen=True)
class WhiteCell:
  """One white cell of a photograph; lengths in pixels of the photograph."""

  box: cell.Box  # of the whole cell
  row: float  # centre of the nucleus
  column: float
  score: float  # probability of being a white cell, 0 to 1
  marks: tuple[str, ...]  # of MARKS


@dataclasses.dataclass(frozen=True)
class Field:
  """What was found in one photograph."""

  diameter: float | None  # of a red cell in pixels; None where none was recognised
  cells: tuple[WhiteCell, ...]  # from top to bottom


def find(image_HWC: np.ndarray) -> Field:
  """The white cells of a photograph.

  Args:
    image_HWC: uint8 RGB, of any size. Memory grows with the image itself only: it is searched at a scale of
      `candidate.WORKING` pixels to a red cell.
  """
  _load_libraries()
  diameter = red_cells.diameter(image_HWC)
  if diameter is not None and diameter < _NARROWEST:
    diameter = None
  width = min(image_HWC.shape[:2]) / _ACROSS if diameter is None else diameter
  factor = min(candidate.WORKING / width, np.sqrt(_MOST_PIXELS / image_HWC[..., 0].size))
  working_HWC = stain.resized(image_HWC, factor)
  rule = fitted_rule()
  found = [(one, rule.probability(one)) for one in candidate.candidates(working_HWC)]
  chosen = sorted(
    ((one, p) for one, p in found if p >= rule.threshold), key=lambda pair: (pair[0].row, pair[0].column)
  )
  boxes = [box_of(one, rule, factor, image_HWC.shape[:2]) for one, _ in chosen]
  return Field(
    diameter,
    tuple(
      WhiteCell(
        box,
        one.row / factor,
        one.column / factor,
        p,
        _marks(one, rule, any(_touch(box, other) for j, other in enumerate(boxes) if j != i)),
      )
      for i, ((one, p), box) in enumerate(zip(chosen, boxes, strict=True))
    ),
  )


# Parts of scikit-image import one another: two threads that import two of them at once see unfinished modules.
_LOADING = threading.Lock()


def _load_libraries() -> None:
  with _LOADING:
    from skimage import filters, morphology, segmentation

    del filters, morphology, segmentation


@dataclasses.dataclass(frozen=True)
class Rule:
  """Logistic regression on a candidate's features, and what was fitted beside it."""

  names: tuple[str, ...]
  mean: tuple[float, ...]
  scale: tuple[float, ...]
  weight: tuple[float, ...]
  bias: float
  threshold: float
  margin: float  # from nucleus to the cell's edge, in red cells
  blurred: float  # sharpness below which a nucleus is out of focus
  smudged: float  # solidity and ring below which it is torn

  def probability(self, one: candidate.Candidate) -> float:
    """That the candidate is a white cell."""
    if one.features['area'] <= np.log(LEAST_NUCLEUS):
      return 0.0
    values = np.array([one.features[name] for name in self.names])
    logit = float((values - self.mean) / np.array(self.scale) @ np.array(self.weight) + self.bias)
    return float(1 / (1 + np.exp(-np.clip(logit, -50, 50))))


@functools.cache
def fitted_rule() -> Rule:
  """The rule fitted on TRAIN's photographs."""
  text = importlib.resources.files('bloodcell_jax.fields').joinpath('detector.json').read_text('utf-8')
  values: dict[str, Any] = {
    name: tuple(v) if isinstance(v, list) else v for name, v in json.loads(text).items()
  }
  return Rule(**values)


def fingerprint() -> str:
  """Text that changes with anything that decides which cells are found."""
  return f'{VERSION} {fitted_rule()!r}'


def box_of(one: candidate.Candidate, rule: Rule, factor: float, shape: tuple[int, int]) -> cell.Box:
  """The white cell's box around a candidate's nucleus, in pixels of the photograph."""
  margin = rule.margin * candidate.WORKING
  height, width = shape
  left, top = (max(0, int((v - margin) / factor)) for v in (one.left, one.top))
  right = min(width, round((one.right + margin) / factor))
  bottom = min(height, round((one.bottom + margin) / factor))
  return cell.Box(min(left, width - 1), min(top, height - 1), max(right, left + 1), max(bottom, top + 1))


def _touch(a: cell.Box, b: cell.Box) -> bool:
  return a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom


def _marks(one: candidate.Candidate, rule: Rule, is_touching: bool) -> tuple[str, ...]:
  is_smudged = one.features['solidity'] < rule.smudged and one.features['elongation'] < 0.5
  is_blurred = one.features['sharpness'] < rule.blurred
  has = (bool(one.features['is_cut']), is_touching, is_smudged, is_blurred)
  return tuple(mark for mark, applies in zip(MARKS, has, strict=True) if applies)
