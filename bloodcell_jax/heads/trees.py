"""Trees on the features of a network: a forest whose bags are whole groups, and gradient boosting on histograms."""

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
# scikit-learn asks for a whole number below it.
_SEEDS = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Spec:
  """How trees are grown; all else is as scikit-learn has it."""

  num_trees: int  # of the forest
  min_samples_leaf: int  # images that a leaf holds at least, of both kinds
  max_features: float  # the forest: share of the features among which a node chooses, in (0, 1]
  learning_rate: float  # boosting: what each tree's values are multiplied by, in (0, 1]
  max_iter: int  # boosting: rounds at most, each of one tree a class
  patience: int  # boosting: rounds without a gain on validation until it ends
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
  """Images as trees see them."""

  feature_ND: np.ndarray  # float32
  label_N: np.ndarray  # int
  group_N: np.ndarray


@dataclasses.dataclass(frozen=True)
class OutOfBag:
  """What the trees say of training rows that they were not fitted on."""

  probs_NK: np.ndarray  # of the trees whose bag lacks the row's group; NaN where there is none
  error_T: (
    np.ndarray
  )  # share of rows named wrongly by the first tree, the first two, ...; NaN where none is named


@dataclasses.dataclass(frozen=True)
class Fitted:
  """Fitted trees."""

  kind: str  # one of KINDS
  predict: Callable[[np.ndarray], np.ndarray]  # features [N, D] -> probabilities [N, K], none of them 0
  num_used: int  # trees of the forest, or rounds of boosting
  impurity_D: np.ndarray | None  # the forest's: share of each feature in what all splits gain; sums to 1
  out_of_bag: OutOfBag | None  # the forest's
  loss_T: (
    np.ndarray | None
  )  # boosting's: validation's log loss, each group weighing the same, after 0, 1, ... rounds


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
  """Trees fitted on the training rows.

  The forest is Breiman's, as scikit-learn fits it, but for its bags: they are drawn by groups, so that a row out of a
  bag is of a photograph that the tree never saw. Boosting stops by validation, on which no weight of a network was
  trained: training rows whose labels their features already tell would never stop it.

  **Guarantees**: the same arguments give the same bits on the same machine, however many cores it has; no group lies
  partly in a bag.

  Args:
    kind: one of KINDS.
    train: what the trees are fitted on.
    validation: where boosting stops; the forest does not see it.
    class_names: of the labels.
    spec: how the trees are grown.
    seed: of bags, and of the features that nodes choose among.
    stream: the name of the random numbers that bags are drawn from.
    poll: called between trees of the forest; may raise.

  Raises:
    UserError: training lacks a class, or has a single group.
    RunError: a feature is not finite.

  Source: Breiman 2001, "Random forests"; Field and Welsh 2007 (bootstrap of clusters); Ke et al. 2017, "LightGBM"
    (histograms); scikit-learn `DecisionTreeClassifier`, `RandomForestClassifier`, `HistGradientBoostingClassifier`.
  """
  for rows in (train, validation):
    if not np.isfinite(rows.feature_ND).all():
      raise types.RunError(
        'the features that trees are fitted on are not finite; lower optimizer.learning_rate'
      )
  missing = [name for k, name in enumerate(class_names) if not (train.label_N == k).any()]
  if missing:
    raise types.UserError(
      f'training has no image of {missing[0]}, so trees cannot learn it; divide the data anew'
    )
  if len(np.unique(train.group_N)) < 2:
    raise types.UserError('trees need training images of two groups or more')
  if kind == FOREST:
    return _forest(train, len(class_names), spec, seed, stream, poll)
  if kind == BOOSTING:
    return _boosting(train, validation, spec, seed)
  raise ValueError(f'no trees are called {kind}')


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
    # As scikit-learn's forests do it: a row drawn twice weighs twice, one that is not drawn takes no part.
    grown.append(one.fit(feature_ND, train.label_N, sample_weight=times_N.astype(np.float64)))
    out_N = times_N == 0
    if out_N.any():
      sum_NK[out_N] += one.predict_proba(feature_ND[out_N])
      num_N[out_N] += 1
    named_N = num_N > 0
    if named_N.any():
      error_T[t] = (sum_NK[named_N].argmax(1) != train.label_N[named_N]).mean()
  with np.errstate(invalid='ignore'):
    out_of_bag_NK = _with_a_doubter(sum_NK / num_N[:, None], num_N[:, None])

  def predict(feature_ND: np.ndarray) -> np.ndarray:
    rows_ND = np.ascontiguousarray(feature_ND, np.float32)
    total_NK = np.zeros((len(rows_ND), num_classes))
    for one in grown:
      total_NK += one.predict_proba(rows_ND, check_input=False)
    return _with_a_doubter(total_NK / len(grown), len(grown))

  return Fitted(
    kind=FOREST,
    predict=predict,
    num_used=spec.num_trees,
    impurity_D=np.mean([one.feature_importances_ for one in grown], axis=0),
    out_of_bag=OutOfBag(out_of_bag_NK, error_T),
    loss_T=None,
  )


def _with_a_doubter(probs_NK: np.ndarray, num_trees: Any) -> np.ndarray:
  """The mean with one tree more, to which all classes are alike: nothing is impossible, and the order stays."""
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
  # One thread: sums over several would depend on how many there are.
  with threadpoolctl.threadpool_limits(1):
    model.fit(
      train.feature_ND,
      train.label_N,
      X_val=validation.feature_ND,
      y_val=validation.label_N,
      sample_weight_val=groups.equal_weights(validation.group_N, len(validation.group_N)),
    )
  loss_T = -np.asarray(model.validation_score_, np.float64)
  # scikit-learn keeps the rounds without a gain as well; the best are used, one at least.
  best = max(1, int(loss_T.argmin()))

  def predict(feature_ND: np.ndarray) -> np.ndarray:
    with threadpoolctl.threadpool_limits(1):
      staged: Iterator[np.ndarray] = model.staged_predict_proba(feature_ND)
      return np.asarray(next(itertools.islice(staged, best - 1, None)), np.float64)

  return Fitted(BOOSTING, predict, best, impurity_D=None, out_of_bag=None, loss_T=loss_T)
