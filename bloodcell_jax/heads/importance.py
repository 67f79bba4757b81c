"""How much a fit owes to each unit of the features it was made on: a feature, or all features of a channel."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from bloodcell_jax.base import groups
from bloodcell_jax.heads import trees


@dataclasses.dataclass(frozen=True)
class Permuted:
  """What is lost where the values of a unit are dealt out among the rows."""

  mean_U: np.ndarray  # nats by which the log loss grows
  sd_U: np.ndarray  # over permutations (ddof 0)
  loss: float  # with nothing permuted


def summed(importance_D: np.ndarray, unit_D: np.ndarray) -> np.ndarray:
  """[U] the importance of each unit: the sum over its features.

  Example:
    >>> summed(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 1, 0, 1])).round(1).tolist()
    [0.4, 0.6]
  """
  return np.bincount(unit_D, weights=importance_D)


def permuted(
  fitted: trees.Fitted,
  rows: trees.Rows,
  unit_D: np.ndarray,
  num_permutations: int,
  seed: int,
  poll: Callable[[], None],
) -> Permuted:
  """How much the log loss on these rows grows when a unit's features are permuted together; all groups weigh alike.

  A unit whose place others take is worth little by it, however much the trees use it.

  Args:
    fitted: the trees.
    rows: that the trees were not fitted on.
    unit_D: int, from 0: the unit that each feature belongs to.
    num_permutations: 1 or more.
    seed: of the permutations.
    poll: called at each prediction; may raise.

  Source: Breiman 2001, "Random forests", section 10; scikit-learn `inspection.permutation_importance`.
  """
  from sklearn import inspection

  weight_N = groups.equal_weights(rows.group_N, len(rows.group_N))

  def score(estimator: Any, place_NU: np.ndarray, label_N: np.ndarray, sample_weight: np.ndarray) -> float:
    poll()
    # A table of rows, one column a unit, stands for the features: to permute a column moves the whole unit.
    columns = np.arange(len(unit_D))
    probs_NK = estimator.predict(rows.feature_ND[place_NU[:, unit_D], columns])
    return float(np.average(np.log(probs_NK[np.arange(len(label_N)), label_N]), weights=sample_weight))

  place_NU = np.repeat(np.arange(len(rows.label_N))[:, None], int(unit_D.max()) + 1, axis=1)
  found = inspection.permutation_importance(
    _Estimator(fitted),
    place_NU,
    rows.label_N,
    scoring=score,
    n_repeats=num_permutations,
    n_jobs=1,
    random_state=seed,
    sample_weight=weight_N,
  )
  whole = -score(fitted, place_NU, rows.label_N, weight_N)
  return Permuted(found.importances_mean, found.importances_std, whole)


class _Estimator:
  """What scikit-learn takes for an estimator."""

  def __init__(self, fitted: trees.Fitted):
    self.predict = fitted.predict

  def fit(self, *_: Any) -> None:
    raise NotImplementedError
