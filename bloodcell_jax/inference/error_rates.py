"""How often a run names each class for cells of each class, and how often it abstains, by its own evaluation."""

from __future__ import annotations

import dataclasses

import numpy as np

from bloodcell_jax.runs import scoring
from bloodcell_jax.stats import calibration, corrected_shares
from bloodcell_jax.storage import predictions_csv, workdir

# Those of the laboratory that a run was adapted to come first, then splits that nothing was chosen on.
_SPLITS = (scoring.CROSS_FITTED, 'test_clean', 'test', 'validation')


@dataclasses.dataclass(frozen=True)
class ErrorRates:
  """The outcomes of one split."""

  split: str
  outcome_GKJ: np.ndarray  # images by group, label and outcome: the K classes, then abstention


def read(
  folder: workdir.Workdir, class_names: tuple[str, ...], rule: calibration.Calibration | None
) -> ErrorRates | None:
  """The error rates of a run with its calibration; None where it keeps no predictions of labelled images, or has
  more than `corrected_shares.MOST_CLASSES` classes.

  Args:
    folder: of the run.
    class_names: K, of the run.
    rule: the calibration that is applied to what is counted.

  Raises:
    UserError: a file of predictions is damaged.
  """
  if len(class_names) > corrected_shares.MOST_CLASSES:
    return None
  for split in _SPLITS:
    if not folder.predictions(split).exists():
      continue
    predictions = predictions_csv.read(folder.predictions(split))
    if predictions.class_names != class_names or not len(predictions):
      continue
    if rule is not None:
      predictions = calibration.scaled(predictions, rule.temperature)
    outcome_N = predictions.probs_NK.argmax(1)
    if rule is not None:
      outcome_N[~calibration.is_accepted(rule, predictions)] = len(class_names)
    _, group_N = np.unique(predictions.group_N, return_inverse=True)
    counts_GKJ = np.zeros((group_N.max() + 1, len(class_names), len(class_names) + 1))
    np.add.at(counts_GKJ, (group_N, predictions.label_N, outcome_N), 1)
    return ErrorRates(split, counts_GKJ)
  return None
