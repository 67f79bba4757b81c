"""Importance of units of features for fitted trees; a unit is a feature, or all features of a channel."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from bloodcell_jax.base import groups
from bloodcell_jax.heads import trees


@dataclasses.dataclass(frozen=True)
class PermutationImportance:
  """Increase of the log loss when the values of a unit are permuted among the rows."""

  mean_U: np.ndarray  # nats
  sd_U: np.ndarray  # over permutations (ddof 0)
  loss: float  # nats, without permutation


def sum_by_unit(importance_D: np.ndarray, unit_D: np.ndarray) -> np.ndarray:
  """[U] the importance of each unit: the sum over its features.

  Example:
    >>> sum_by_unit(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0, 1, 0, 1])).round(1).tolist()
    [0.4, 0.6]
  """
  return np.bincount(unit_D, weights=importance_D)


def permute(
  fitted: trees.Fitted,
  rows: trees.Rows,
  unit_D: np.ndarray,
  num_permutations: int,
  seed: int,
  poll: Callable[[], None],
) -> PermutationImportance:
  """Permutation importance by log loss; features of a unit are permuted together, groups have equal weight.

  A unit that correlated units can replace has little importance, however often the trees split on it.

  Args:
    fitted: the trees.
    rows: rows that the trees were not fitted on.
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
    # Each cell of `place_NU` is the row that a unit is read from: permuting a column moves the whole unit.
    columns = np.arange(len(unit_D))
    probs_NK = estimator.predict(rows.feature_ND[place_NU[:, unit_D], columns])
    return float(np.average(np.log(probs_NK[np.arange(len(label_N)), label_N]), weights=sample_weight))

  place_NU = np.repeat(np.arange(len(rows.label_N))[:, None], int(unit_D.max()) + 1, axis=1)
  result = inspection.permutation_importance(
    _Estimator(fitted),
    place_NU,
    rows.label_N,
    scoring=score,
    n_repeats=num_permutations,
    n_jobs=1,
    random_state=seed,
    sample_weight=weight_N,
  )
  loss = -score(fitted, place_NU, rows.label_N, weight_N)
  return PermutationImportance(result.importances_mean, result.importances_std, loss)


class _Estimator:
  """Satisfies the interface that scikit-learn expects of an estimator."""

  def __init__(self, fitted: trees.Fitted):
    self.predict = fitted.predict

  def fit(self, *_: Any) -> None:
    raise NotImplementedError
