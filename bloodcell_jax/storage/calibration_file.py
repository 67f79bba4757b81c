"""`calibration.json` of a run's folder: the fitted rule, and which networks and test-time augmentation it is for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

import numpy as np

from bloodcell_jax.base import run_format, types
from bloodcell_jax.stats import calibration, conformal
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic

# The entry for what the rule was fitted for; all others are the rule.
_FITTED_FOR = 'fitted_for'


@dataclasses.dataclass(frozen=True)
class FittedFor:
  """What gave the validation predictions that a rule was fitted on."""

  checkpoint: Mapping[str, int]  # which epoch of how many, or how many members
  members: tuple[str, ...]  # of an ensemble; empty for a single network
  combine: str  # how the members become one; empty for a single network
  tta: str  # test-time augmentation: one of `test_time.KINDS`
  # Of weights, statistics and combination; empty for an ensemble with a member whose own is not known.
  fingerprint: str
  # By which the outputs of the network were divided to be logits; the weights of the output layer include it. 1 for
  # networks trained on cross-entropy, and for an ensemble, whose members have one each.
  temperature: float


def fit(
  predictions: types.Predictions, spec: calibration.Spec, temperature: float, laboratory_N: np.ndarray
) -> calibration.Calibration:
  """The rule of the networks that made these predictions.

  Args:
    predictions: of validation.
    spec: targets.
    temperature: that of `FittedFor`. A network whose weights include one is calibrated already. A second fit would
      sharpen again what the first has sharpened if validation has no error.
    laboratory_N: number of each row's laboratory; zeros if there is one.

  Raises:
    UserError: validation has fewer than two groups.
  """
  if temperature == 1:
    return calibration.fit(predictions, spec, laboratory_N)
  return calibration.fit_at(1.0, predictions, spec, laboratory_N)


def write(folder: workdir.Workdir, rule: calibration.Calibration, fitted_for: FittedFor | None) -> None:
  """Writes the rule with what it was fitted for; None for a rule that no prediction uses, such as that of trees."""
  values = dataclasses.asdict(rule)
  # JSON has no infinite number; under such a limit every set has all classes.
  if np.isinf(rule.conformal.limit):
    values['conformal']['limit'] = None
  if fitted_for is not None:
    values[_FITTED_FOR] = dataclasses.asdict(fitted_for)
  atomic.write_json(folder.calibration, values)


def read(folder: workdir.Workdir) -> tuple[calibration.Calibration, FittedFor | None]:
  """The rule and what it was fitted for; None for a rule that was written without.

  Raises:
    UserError: the file is missing or damaged.
  """
  path = folder.calibration
  try:
    values = json.loads(atomic.read_text(path))
    known = values.pop(_FITTED_FOR, None)
    limit = values['conformal']['limit']
    sets = conformal.Conformal(**{**values['conformal'], 'limit': np.inf if limit is None else limit})
    rule = calibration.Calibration(**{**values, 'conformal': sets})
    if known is None:
      return rule, None
    # Its other keys are not keys of the section `evaluate`, so that their names stay.
    known = run_format.upgrade_section('evaluate', known)
    return rule, FittedFor(**{**known, 'members': tuple(known['members'])})
  except FileNotFoundError:
    raise types.UserError(
      f'{path}: missing; evaluate the run on its own splits, which writes it, or restore it from a copy'
    ) from None
  except (ValueError, TypeError, KeyError, AttributeError):
    raise types.UserError(
      f'{path}: damaged; evaluate the run on its own splits, which writes it anew, or {atomic.restoring(path)}'
    ) from None
