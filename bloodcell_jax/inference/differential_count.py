"""What a set of unlabelled images holds: a line an image, and the differential count."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.stats import calibration, differential
from bloodcell_jax.system import atomic

UNCLASSIFIED = 'unclassified'
# A larger share that is not named can shift the shares of the named by more than counting 200 cells leaves open.
MOST_LEFT = 0.05


@dataclasses.dataclass(frozen=True)
class Census:
  """Images with what is said of each."""

  file: tuple[str, ...]  # N
  digest: tuple[str, ...]  # N: `sha256_16`
  probs_NK: np.ndarray  # calibrated where the run has a temperature
  likeliest: tuple[str, ...]  # N
  named: tuple[str, ...]  # N: the likeliest class, or UNCLASSIFIED below the run's threshold
  sets: tuple[tuple[str, ...], ...]  # N: the classes that cannot be excluded; empty where the run has no rule
  class_names: tuple[str, ...]
  calibrated: bool

  def __len__(self) -> int:
    return len(self.file)


def of(
  file: Sequence[str],
  digest: Sequence[str],
  probs_NK: np.ndarray,
  names: Sequence[str],
  rule: calibration.Calibration | None,
) -> Census:
  """The census of these predictions.

  Args:
    file, digest: of each image.
    probs_NK: as the network gives them.
    names: K classes.
    rule: the run's calibration; without one every image is accepted and has no set.
  """
  nothing = np.array(file, np.str_)
  found = types.Predictions(probs_NK, np.zeros(len(file), np.int32), nothing, nothing, tuple(names))
  if rule is not None:
    found = calibration.scaled(found, rule.temperature)
  named_N = np.ones(len(file), bool) if rule is None else calibration.is_accepted(rule, found)
  likeliest = tuple(names[k] for k in found.probs_NK.argmax(1))
  if rule is None:
    sets: tuple[tuple[str, ...], ...] = ((),) * len(file)
  else:
    inside_NK = calibration.sets(rule.conformal, found.probs_NK)
    sets = tuple(tuple(name for name, inside in zip(names, row, strict=True) if inside) for row in inside_NK)
  named = tuple(name if sure else UNCLASSIFIED for name, sure in zip(likeliest, named_N, strict=True))
  return Census(
    tuple(file), tuple(digest), found.probs_NK, likeliest, named, sets, tuple(names), rule is not None
  )


def count(found: Census, confidence: float) -> dict[str, Any]:
  """The differential: by class `{count, share, low, high, likeliest}`, and how many images are not named.

  The first four are of the images that are named; `likeliest` counts all images by their likeliest class.
  """
  counts = [found.named.count(name) for name in found.class_names]
  total = sum(counts)
  bounds_K2 = differential.intervals(counts, confidence)
  return {
    'num_images': len(found),
    'num_named': total,
    'num_unclassified': len(found) - total,
    'confidence': confidence,
    'classes': {
      name: {
        'count': num,
        'share': num / total if total else None,
        'low': float(low),
        'high': float(high),
        'likeliest': found.likeliest.count(name),
      }
      for name, num, (low, high) in zip(found.class_names, counts, bounds_K2, strict=True)
    },
  }


def warnings(counted: dict[str, Any]) -> list[str]:
  """What must be said of a count of few cells, or of one that leaves many cells out; nothing of others."""
  found = []
  if counted['num_named'] < differential.LEAST_CELLS:
    found.append(
      f'{counted["num_named"]} cells are named, fewer than {differential.LEAST_CELLS}: too few for a differential '
      'count; the intervals say how little they tell.'
    )
  left = counted['num_unclassified'] / counted['num_images']
  if left > MOST_LEFT:
    found.append(
      f'{left:.0%} of the images are left for review. Some classes are left more often than others, so the shares of '
      'the named are no differential count before the others are reviewed.'
    )
  return found


def write(path: str | os.PathLike[str], found: Census) -> None:
  """`predictions_csv.csv`: `file, predicted, likeliest, confidence, set, prob_<CLASS>..., sha256_16`.

  The classes of a set are parted by semicolons.
  """
  probs = [f'prob_{name}' for name in found.class_names]
  rows: list[list[Any]] = [['file', 'predicted', 'likeliest', 'confidence', 'set', *probs, 'sha256_16']]
  for i in range(len(found)):
    head = [found.file[i], found.named[i], found.likeliest[i], f'{found.probs_NK[i].max():.6f}']
    rows.append([*head, ';'.join(found.sets[i]), *(f'{p:.6f}' for p in found.probs_NK[i]), found.digest[i]])
  atomic.write_csv(path, rows)


def write_count(path: str | os.PathLike[str], counted: dict[str, Any]) -> None:
  """`differential.csv`: `class, count, share, low, high, likeliest`, the unclassified last."""
  rows: list[list[Any]] = [['class', 'count', 'share', 'low', 'high', 'likeliest']]
  for name, entry in counted['classes'].items():
    shares = ['' if entry[key] is None else f'{entry[key]:.4f}' for key in ('share', 'low', 'high')]
    rows.append([name, entry['count'], *shares, entry['likeliest']])
  rows.append([UNCLASSIFIED, counted['num_unclassified'], '', '', '', ''])
  atomic.write_csv(path, rows)
