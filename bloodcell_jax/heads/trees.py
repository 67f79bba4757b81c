"""Trees on features of a network: a random forest with bags of whole groups, and histogram gradient boosting."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import threadpoolctl

from bloodcell_jax.base import groups, rng, types

FOREST = 'random_forest'
BOOSTING = 'hist_gradient_boosting'
KINDS = (FOREST, BOOSTING)
# Upper bound of a scikit-learn `random_state`.
_SEEDS = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Spec:
  """Hyperparameters of the trees; all others have scikit-learn's defaults."""

  num_trees: int  # forest
  min_samples_leaf: int  # images in a leaf, both kinds
  max_features: float  # forest: share of the features considered at each split, in (0, 1]
  learning_rate: float  # boosting: shrinkage, in (0, 1]
  max_iter: int  # boosting: most rounds, each of one tree per class
  patience: int  # boosting: rounds without improvement on validation until it stops
  num_permutations: int  # of each unit, for its importance

  def __post_init__(self):
    for key in ('num_trees', 'min_samples_leaf', 'max_iter', 'patience', 'num_permutations'):
      if getattr(self, key) < 1:
        raise types.UserError(f'trees.{key} is {getattr(self, key)}; it must be 1 or more')
    for key in ('max_features', 'learning_rate'):
      if not 0 < getattr(self, key) <= 1:
        raise types.UserError(f'trees.{key} is {getattr(self, key)}; it must lie in (0, 1]')


@dataclasses.dataclass(frozen=True)
class Rows:
  """Features, label and group of images."""

  feature_ND: np.ndarray  # float32
  label_N: np.ndarray  # int
  group_N: np.ndarray


@dataclasses.dataclass(frozen=True)
class OutOfBag:
  """Predictions of training rows by trees that were not fitted on them."""

  probs_NK: np.ndarray  # by the trees whose bag lacks the row's group; NaN if there are none
  # Error rate of the first tree, the first two, ... on the rows out of their bags; NaN if there are none.
  error_T: np.ndarray


@dataclasses.dataclass(frozen=True)
class Fitted:
  """Fitted trees."""

  kind: str  # one of KINDS
  predict: Callable[[np.ndarray], np.ndarray]  # features [N, D] -> probabilities [N, K], none of them 0
  num_used: int  # trees of the forest, or rounds of boosting
  impurity_D: np.ndarray | None  # forest: mean decrease in impurity by each feature; sums to 1
  out_of_bag: OutOfBag | None  # forest
  # Boosting: log loss on validation after 0, 1, ... rounds; groups have equal weight.
  loss_T: np.ndarray | None


def fit(
  kind: str,
  train: Rows,
  validation: Rows,
  class_names: Sequence[str],
  spec: Spec,
  seed: int,
  stream: str,
  poll: Callable[[], None],
) -> Fitted:
  """Fits trees on the training rows.

  The forest is scikit-learn's, except that bags are drawn by groups, so that a row out of a bag is from a photograph
  that the tree has not seen. Boosting stops early by validation, on which no weight of the network was trained; on
  training rows, which the network has already fitted, it would never stop.

  **Guarantees**: the same arguments give the same bits on the same machine, for any number of cores; each group is
  either in a bag as a whole or not at all.

  Args:
    kind: one of KINDS.
    train: training rows.
    validation: for early stopping of boosting; the forest does not use it.
    class_names: of the labels.
    spec: hyperparameters.
    seed: of the bags and of the features considered at each split.
    stream: name of the stream of random numbers for the bags.
    poll: called between trees of the forest; may raise.

  Raises:
    UserError: training lacks a class, or has only one group.
    RunError: a feature is not finite.

  Source: Breiman 2001, "Random forests"; Field and Welsh 2007 (bootstrap of clusters); Ke et al. 2017, "LightGBM"
    (histograms); scikit-learn `DecisionTreeClassifier`, `RandomForestClassifier`, `HistGradientBoostingClassifier`.
  """
  for rows in (train, validation):
    if not np.isfinite(rows.feature_ND).all():
      raise types.RunError('the features for the trees are not finite; lower optimizer.learning_rate')
  missing = [name for k, name in enumerate(class_names) if not (train.label_N == k).any()]
  if missing:
    raise types.UserError(
      f'training has no image of {missing[0]}, so trees cannot learn it; split the data differently'
    )
  if len(np.unique(train.group_N)) < 2:
    raise types.UserError('trees need training images of two groups or more')
  if kind == FOREST:
    return _forest(train, len(class_names), spec, seed, stream, poll)
  if kind == BOOSTING:
    return _boosting(train, validation, spec, seed)
  raise ValueError(f'unknown kind of trees: {kind!r}')


def _forest(
  train: Rows, num_classes: int, spec: Spec, seed: int, stream: str, poll: Callable[[], None]
) -> Fitted:
  from sklearn import tree

  feature_ND = np.ascontiguousarray(train.feature_ND, np.float32)
  names_G, group_N = np.unique(train.group_N, return_inverse=True)
  times_TG = groups.resample(len(names_G), spec.num_trees, seed, stream)
  seed_T = rng.generator(seed, 'trees').integers(_SEEDS, size=spec.num_trees)
  grown: list[Any] = []
  error_T = np.full(spec.num_trees, np.nan)
  sum_NK, num_N = np.zeros((len(feature_ND), num_classes)), np.zeros(len(feature_ND))
  for t in range(spec.num_trees):
    poll()
    times_N = times_TG[t][group_N]
    one = tree.DecisionTreeClassifier(
      min_samples_leaf=spec.min_samples_leaf, max_features=spec.max_features, random_state=int(seed_T[t])
    )
    # As in scikit-learn's forests: a row drawn twice has weight 2, a row not drawn weight 0.
    grown.append(one.fit(feature_ND, train.label_N, sample_weight=times_N.astype(np.float64)))
    out_N = times_N == 0
    if out_N.any():
      sum_NK[out_N] += one.predict_proba(feature_ND[out_N])
      num_N[out_N] += 1
    has_tree_N = num_N > 0
    if has_tree_N.any():
      error_T[t] = (sum_NK[has_tree_N].argmax(1) != train.label_N[has_tree_N]).mean()
  with np.errstate(invalid='ignore'):
    out_of_bag_NK = _smooth(sum_NK / num_N[:, None], num_N[:, None])

  def predict(feature_ND: np.ndarray) -> np.ndarray:
    rows_ND = np.ascontiguousarray(feature_ND, np.float32)
    total_NK = np.zeros((len(rows_ND), num_classes))
    for one in grown:
      total_NK += one.predict_proba(rows_ND, check_input=False)
    return _smooth(total_NK / len(grown), len(grown))

  return Fitted(
    kind=FOREST,
    predict=predict,
    num_used=spec.num_trees,
    impurity_D=np.mean([one.feature_importances_ for one in grown], axis=0),
    out_of_bag=OutOfBag(out_of_bag_NK, error_T),
    loss_T=None,
  )


def _smooth(probs_NK: np.ndarray, num_trees: Any) -> np.ndarray:
  """Additive smoothing: one extra tree with a uniform vote, so that no probability is 0."""
  return (probs_NK * num_trees + 1 / probs_NK.shape[1]) / (num_trees + 1)


def _boosting(train: Rows, validation: Rows, spec: Spec, seed: int) -> Fitted:
  from sklearn import ensemble

  model = ensemble.HistGradientBoostingClassifier(
    learning_rate=spec.learning_rate,
    max_iter=spec.max_iter,
    min_samples_leaf=spec.min_samples_leaf,
    early_stopping=True,
    n_iter_no_change=spec.patience,
    scoring='loss',
    random_state=seed,
  )
  # One thread: floating-point sums depend on the number of threads.
  with threadpoolctl.threadpool_limits(1):
    model.fit(
      train.feature_ND,
      train.label_N,
      X_val=validation.feature_ND,
      y_val=validation.label_N,
      sample_weight_val=groups.equal_weights(validation.group_N, len(validation.group_N)),
    )
  loss_T = -np.asarray(model.validation_score_, np.float64)
  # scikit-learn keeps the rounds after the best one; use none of them, but at least one round.
  best = max(1, int(loss_T.argmin()))

  def predict(feature_ND: np.ndarray) -> np.ndarray:
    with threadpoolctl.threadpool_limits(1):
      staged: Iterator[np.ndarray] = model.staged_predict_proba(feature_ND)
      return np.asarray(next(itertools.islice(staged, best - 1, None)), np.float64)

  return Fitted(BOOSTING, predict, best, impurity_D=None, out_of_bag=None, loss_T=loss_T)
