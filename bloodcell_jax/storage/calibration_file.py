"""`calibration.json` of a run's folder: the fitted rule, and which networks and test-time augmentation it is for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

import numpy as np

from bloodcell_jax.base import run_format, types
from bloodcell_jax.stats import calibration
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic


@dataclasses.dataclass(frozen=True)
class FittedFor:
  """What gave the validation predictions that a rule was fitted on."""

  checkpoint: Mapping[str, int]  # which epoch of how many, or how many members
  members: tuple[str, ...]  # of an ensemble; empty for a single network
  combine: str  # how the members become one; empty for a single network
  tta: str  # test-time augmentation: one of `test_time.KINDS`
  # Of weights, statistics and combination; empty for an ensemble with a member whose own is not known.
  fingerprint: str
  # By which the outputs of the network were divided to be logits: its top's weights have it inside. 1 for networks
  # trained on cross-entropy, and for an ensemble, whose members have one each.
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


def write(folder: workdir.Workdir, rule: calibration.Calibration, fitted_for: FittedFor) -> None:
  """Writes the rule with what it was fitted for."""
  atomic.write_json(
    folder.calibration, {**calibration.to_json(rule), calibration.FITTED_FOR: dataclasses.asdict(fitted_for)}
  )


def read(folder: workdir.Workdir) -> tuple[calibration.Calibration, FittedFor | None]:
  """The rule and what it was fitted for; None in a run of before that was kept.

  Raises:
    UserError: the file is missing or damaged.
  """
  rule = calibration.read(folder.calibration)
  known = json.loads(atomic.read_text(folder.calibration)).get(calibration.FITTED_FOR)
  if known is None:
    return rule, None
  try:
    # Its other keys are not keys of the section `evaluate`, so that their names stay.
    known = run_format.upgrade_section('evaluate', known)
    return rule, FittedFor(**{**known, 'members': tuple(known['members'])})
  except (TypeError, KeyError, AttributeError):
    raise types.UserError(
      f'{folder.calibration}: damaged; evaluate the run on its own splits, which writes it anew, or restore it from a '
      'copy'
    ) from None
