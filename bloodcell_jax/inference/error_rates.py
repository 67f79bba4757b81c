"""How often a run names each class for cells of each class, and how often it abstains, by its own evaluation.

Where several laboratories trained the run it errs more often on the cells of one of them than of another, so that cells
that look like those of one are counted with its error rates alone.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from bloodcell_jax.base import groups
from bloodcell_jax.data.sources import laboratories
from bloodcell_jax.reports import selection
from bloodcell_jax.stats import calibration, corrected_shares, unlike
from bloodcell_jax.storage import predictions_csv, workdir

# Those of the laboratory that a run was adapted to come first, then splits that nothing was chosen on.
_SPLITS = (selection.CROSS_FITTED, 'test_clean', 'test', 'validation')
# Least share of the cells that must look like those of one laboratory for its error rates to be taken.
_MOST_OF_THEM = 0.8


@dataclasses.dataclass(frozen=True)
class ErrorRates:
  """The outcomes of one split."""

  split: str
  outcome_GKJ: np.ndarray  # images by group, label and outcome: the K classes, then abstention
  laboratory_G: np.ndarray  # str: the laboratory of each group; '' where the run knows one alone


def read(
  folder: workdir.Workdir,
  class_names: tuple[str, ...],
  rule: calibration.Calibration | None,
  data_source: str,
) -> ErrorRates | None:
  """The error rates of a run with its calibration; None where it keeps no predictions of labelled images, or has
  more than `corrected_shares.MOST_CLASSES` classes.

  Args:
    folder: of the run.
    class_names: K, of the run.
    rule: the calibration that is applied to what is counted.
    data_source: the run's `data.source`.

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
    name_G, group_N = np.unique(predictions.group_N, return_inverse=True)
    counts_GKJ = np.zeros((group_N.max() + 1, len(class_names), len(class_names) + 1))
    np.add.at(counts_GKJ, (group_N, predictions.label_N, outcome_N), 1)
    several = data_source == laboratories.NAME and split != selection.CROSS_FITTED
    laboratory_G = laboratories.of_groups(name_G) if several else np.full(len(name_G), '')
    return ErrorRates(split, counts_GKJ, laboratory_G)
  return None


def of_cells(rates: ErrorRates, judgement: unlike.Judgement | None) -> ErrorRates:
  """The error rates of the laboratory that nearly all of some cells look like.

  All of them where the cells look like those of several, where it is not known, or where that laboratory has fewer than
  `groups.LEAST_OF_LABORATORY` groups.

  Args:
    rates: of the run.
    judgement: of the cells; None if the run has no measure of unlike images.
  """
  known = np.unique(rates.laboratory_G)
  if judgement is None or len(known) < 2 or len(known) != judgement.num_references:
    return rates
  # References and laboratories are both in alphabetical order.
  num_R = np.bincount(judgement.nearest_N, minlength=len(known))
  inside_G = rates.laboratory_G == known[num_R.argmax()]
  if num_R.max() < _MOST_OF_THEM * num_R.sum() or inside_G.sum() < groups.LEAST_OF_LABORATORY:
    return rates
  return ErrorRates(rates.split, rates.outcome_GKJ[inside_G], rates.laboratory_G[inside_G])
