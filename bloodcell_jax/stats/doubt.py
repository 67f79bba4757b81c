"""What a run knows of its own doubt: fitted on validation, kept with the run, applied to any other images."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import numpy as np

from bloodcell_jax.base import groups, types
from bloodcell_jax.stats import bootstrap, calibration, intervals
from bloodcell_jax.system import atomic

# The key of what gave the predictions that a rule was fitted on; `calibration_file` writes and reads it.
FITTED_FOR = 'fitted_for'


@dataclasses.dataclass(frozen=True)
class Spec:
  """What is wanted of it."""

  max_error: float  # in (0, 1): share of errors wanted among the images that are not left to a person
  miscoverage: float  # in (0, 1): share of images whose set of classes may miss the label
  conformal_score: str  # one of calibration.SCORES

  def __post_init__(self):
    for name in ('max_error', 'miscoverage'):
      if not 0 < getattr(self, name) < 1:
        raise types.UserError(f'evaluate.{name} is {getattr(self, name)}; it must lie in (0, 1)')
    if self.conformal_score not in calibration.SCORES:
      raise types.UserError(
        f'evaluate.conformal_score is {self.conformal_score!r}; choose one of {", ".join(calibration.SCORES)}'
      )


@dataclasses.dataclass(frozen=True)
class Doubt:
  """A fitted rule; `calibration.json` of a run's folder."""

  temperature: float  # > 0, of the logits; over 1 where the network was over-sure
  max_error: float  # what the threshold was chosen for
  threshold: float | None  # least confidence, at this temperature, of an image that is named; None: none is
  conformal: calibration.Conformal
  num_images: int  # of validation
  num_groups: int


def fit(predictions: types.Predictions, spec: Spec) -> Doubt:
  """The doubt that validation teaches; every group counts the same in temperature and sets.

  Args:
    predictions: of the validation rows, as the network gives them.
    spec: what is wanted.

  Raises:
    UserError: validation has fewer than two groups.
  """
  degrees = calibration.temperature(predictions, groups.equal_weights(predictions.group_N, 1.0))
  scaled = calibration.scaled(predictions, degrees)
  return Doubt(
    temperature=degrees,
    max_error=spec.max_error,
    threshold=calibration.abstention_threshold(scaled, spec.max_error),
    conformal=calibration.conformal(scaled, spec.conformal_score, spec.miscoverage),
    num_images=len(predictions),
    num_groups=len(np.unique(predictions.group_N)),
  )


def is_named(doubt: Doubt, scaled: types.Predictions) -> np.ndarray:
  """[N] True for images sure enough to be named; the others are unclassified, for review.

  Args:
    doubt: the rule.
    scaled: predictions at the rule's temperature.
  """
  if doubt.threshold is None:
    return np.zeros(len(scaled), bool)
  return scaled.probs_NK.max(1) >= doubt.threshold


def summary(doubt: Doubt, predictions: types.Predictions, spec: intervals.Spec, seed: int) -> dict[str, Any]:
  """The entry `doubt` of a split in `metrics.json`: what the rule is worth on these images, by resampling groups.

  `calibrated` has the figures that the temperature changes; `named` is the share of images that are not left to
  a person and `error` the share of errors among them; `covered` the share whose set holds the label.
  """
  scaled = calibration.scaled(predictions, doubt.temperature)
  named_N = is_named(doubt, scaled)
  wrong_N = scaled.probs_NK.argmax(1) != scaled.label_N
  set_NK = calibration.sets(doubt.conformal, scaled.probs_NK)
  covered_N = set_NK[np.arange(len(scaled)), scaled.label_N]
  _, group_N = np.unique(predictions.group_N, return_inverse=True)

  def share(above_N: np.ndarray, below_N: np.ndarray) -> dict[str, float | None]:
    above_G, below_G = (np.bincount(group_N, weights=values_N) for values_N in (above_N, below_N))
    return bootstrap.ratio(above_G, below_G, spec, seed)

  all_N, size_N = np.ones(len(scaled)), set_NK.sum(1)
  return {
    'temperature': doubt.temperature,
    'calibrated': bootstrap.figures(scaled, ('log_loss', 'brier', 'ece'), spec, seed),
    'max_error': doubt.max_error,
    'threshold': doubt.threshold,
    'named': share(named_N, all_N),
    'error': share(named_N & wrong_N, named_N),
    'num_named': int(named_N.sum()),
    'miscoverage': doubt.conformal.miscoverage,
    'conformal_score': doubt.conformal.score,
    'covered': share(covered_N, all_N),
    'mean_set_size': float(size_N.mean()),
    'set_sizes': np.bincount(size_N, minlength=set_NK.shape[1] + 1).tolist(),
  }


def entry(doubt: Doubt) -> dict[str, Any]:
  """The rule as JSON values; an infinite limit, under which every set has all classes, as null."""
  found = dataclasses.asdict(doubt)
  if np.isinf(doubt.conformal.limit):
    found['conformal']['limit'] = None
  return found


def write(path: str | os.PathLike[str], doubt: Doubt) -> None:
  """The rule as JSON, without what it was fitted for."""
  atomic.write_json(path, entry(doubt))


def read(path: str | os.PathLike[str]) -> Doubt:
  """What `write` wrote.

  Raises:
    UserError: it is not there, or damaged.
  """
  try:
    entry = json.loads(atomic.read_text(path))
    entry.pop(FITTED_FOR, None)
    limit = entry['conformal']['limit']
    rule = calibration.Conformal(**{**entry['conformal'], 'limit': np.inf if limit is None else limit})
    return Doubt(**{**entry, 'conformal': rule})
  except FileNotFoundError:
    raise types.UserError(f'{path}: missing; evaluate the run on its own splits, which writes it') from None
  except (ValueError, TypeError, KeyError, AttributeError):
    raise types.UserError(
      f'{path}: damaged; evaluate the run on its own splits, which writes it anew'
    ) from None
