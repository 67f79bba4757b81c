"""Stacking: a meta-learner on out-of-fold predictions of the members.

Its features are the log probabilities of all members. Its regularisation is chosen by cross-validation over whole
groups, by log loss. Within a class every group has the same weight, and each class has the weight of its number of
images: with the class shares of the photographs the meta-learner would predict rare classes less often than the
members were trained to.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
import threadpoolctl

from bloodcell_jax.base import groups, rng, types
from bloodcell_jax.ensembles import combination, method

# Folds of the cross-validation; fewer if a class has fewer groups.
MOST_FOLDS = 4
# Candidate inverse penalties, strongest penalty first, which also wins ties.
COSTS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
# Gradient boosting: most rounds, depth of the trees, shrinkage.
MOST_TREES, DEPTH, LEARNING_RATE = 100, 2, 0.1
# The network: hidden units, most full-batch Adam steps, learning rate.
HIDDEN, MOST_STEPS, STEP_SIZE = 16, 400, 1e-2


def fit(
  kind: str, probs_MNK: np.ndarray, label_N: np.ndarray, group_N: np.ndarray, seed: int
) -> combination.Combination:
  """Fits a meta-learner.

  **Guarantees**: no group is in both parts of a fold; the same arguments give the same combination on the same machine.

  Args:
    kind: one of method.STACKED.
    probs_MNK: out of fold: by members that were trained without the row's group. Predictions of training rows are
      more confident than those of new rows, so that a meta-learner would trust them too much.
    label_N: class of each row.
    group_N: group of each row.
    seed: of the folds, the trees and the network's initial weights.

  Raises:
    UserError: a class has rows of fewer than two groups.

  Source: Wolpert 1992, "Stacked generalization"; scikit-learn `LogisticRegression`, `GradientBoostingClassifier`.
  """
  if kind not in method.STACKED:
    raise types.UserError(f'ensemble.combine is {kind!r}; choose one of {", ".join(method.STACKED)}')
  num_classes = probs_MNK.shape[2]
  fold_N = _folds(label_N, group_N, num_classes, seed)
  feature_ND = combination.meta_features(np.asarray(probs_MNK, np.float64), np)
  weight_N = row_weights(label_N, group_N)
  # On arrays this small several threads are slower than one, the more so beside a training.
  with threadpoolctl.threadpool_limits(1):
    if kind == method.LOGISTIC:
      return _logistic(feature_ND, label_N, weight_N, fold_N)
    if kind == method.MLP:
      return _mlp(feature_ND, label_N, weight_N, fold_N, num_classes, seed)
    return _gradient_boosting(feature_ND, label_N, weight_N, fold_N, seed)


def row_weights(label_N: np.ndarray, group_N: np.ndarray) -> np.ndarray:
  """[N] weights with the same sum for each group of a class; in each class they sum to its number of rows.

  Example:
    >>> row_weights(np.array([0, 0, 0, 0, 1]), np.array(['a', 'a', 'a', 'b', 'c'])).round(2).tolist()
    [0.67, 0.67, 0.67, 2.0, 1.0]
  """
  weight_N = np.empty(len(label_N))
  for k in np.unique(label_N):
    rows = np.flatnonzero(label_N == k)
    weight_N[rows] = groups.equal_weights(group_N[rows], len(rows))
  return weight_N


def make_regression(cost: float) -> Any:
  """An unfitted scikit-learn logistic regression with this C."""
  from sklearn import linear_model

  return linear_model.LogisticRegression(C=cost, max_iter=10_000, tol=1e-6)


def make_booster(num_trees: int, seed: int) -> Any:
  """An unfitted scikit-learn gradient boosting with this number of rounds."""
  # Imported here: scikit-learn takes a second to load and few commands need it.
  from sklearn import ensemble

  return ensemble.GradientBoostingClassifier(
    n_estimators=num_trees, max_depth=DEPTH, learning_rate=LEARNING_RATE, random_state=seed
  )


def from_trees(model: Any) -> combination.Combination:
  """Converts a fitted `GradientBoostingClassifier` to a combination.

  **Guarantees**: `combination.apply` agrees with `predict_proba` to 1e-6.
  """
  prior_K = model.init_.class_prior_
  trees = [[one.tree_ for one in in_round] for in_round in model.estimators_]
  num_nodes = max(tree.node_count for in_round in trees for tree in in_round)
  shape = (len(trees), len(prior_K), num_nodes)
  # For two classes scikit-learn boosts the second alone; the first gets trees of one leaf with value 0.
  first = len(prior_K) - len(trees[0])
  own_P = np.arange(num_nodes, dtype=np.int32)
  feature_TKP, threshold_TKP = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
  left_TKP, right_TKP = np.empty(shape, np.int32), np.empty(shape, np.int32)
  left_TKP[:], right_TKP[:] = own_P, own_P
  value_TKP = np.zeros(shape)
  for t, in_round in enumerate(trees):
    for k, tree in enumerate(in_round, first):
      inner = np.flatnonzero(tree.children_left >= 0)
      feature_TKP[t, k, inner] = tree.feature[inner]
      left_TKP[t, k, inner], right_TKP[t, k, inner] = tree.children_left[inner], tree.children_right[inner]
      # A float32 is <= a float64 exactly if it is <= the largest float32 that is <= that float64.
      near = tree.threshold[inner].astype(np.float32)
      above = near.astype(np.float64) > tree.threshold[inner]
      threshold_TKP[t, k, inner] = np.where(above, np.nextafter(near, np.float32(-np.inf)), near)
      value_TKP[t, k, : tree.node_count] = model.learning_rate * tree.value[:, 0, 0]
  return combination.Combination(
    method.GRADIENT_BOOSTING,
    {
      'bias_K': np.log(prior_K),
      'feature_TKP': feature_TKP,
      'threshold_TKP': threshold_TKP,
      'left_TKP': left_TKP,
      'right_TKP': right_TKP,
      'value_TKP': value_TKP,
    },
  )


class Network(nn.Module):
  """One hidden layer of HIDDEN ReLU units."""

  num_classes: int

  @nn.compact
  def __call__(self, feature_ND: jax.Array) -> jax.Array:
    """[N, K] logits."""
    hidden_NH = nn.relu(nn.Dense(HIDDEN, name='hidden')(feature_ND))
    return nn.Dense(self.num_classes, name='output')(hidden_NH)


def _folds(label_N: np.ndarray, group_N: np.ndarray, num_classes: int, seed: int) -> np.ndarray:
  num_groups_K = [len(np.unique(group_N[label_N == k])) for k in range(num_classes)]
  fewest = int(np.argmin(num_groups_K))
  if num_groups_K[fewest] < 2:
    raise types.UserError(
      f'class {fewest} has images of {num_groups_K[fewest]} groups; a stacked meta-learner needs two or more'
    )
  fold_N = groups.folds(label_N, group_N, min(MOST_FOLDS, num_groups_K[fewest]), seed)
  for fold in np.unique(fold_N):
    missing = set(range(num_classes)) - set(label_N[fold_N != fold].tolist())
    if missing:
      raise types.UserError(f'class {min(missing)} has too few groups for cross-validation')
  return fold_N


def _best(
  predict: Callable[[np.ndarray, np.ndarray], list[np.ndarray]],
  label_N: np.ndarray,
  weight_N: np.ndarray,
  fold_N: np.ndarray,
) -> int:
  """Index of the candidate with the lowest weighted log loss over all held-out rows, the first in a tie.

  `predict(train, held)` returns the probabilities of the held-out rows by each candidate, fitted on the others.
  """
  loss_C: Any = 0
  for fold in np.unique(fold_N):
    train, held = np.flatnonzero(fold_N != fold), np.flatnonzero(fold_N == fold)
    rows = np.arange(len(held))
    loss_C = loss_C + np.array(
      [
        -(weight_N[held] * combination.log_probs(probs_NK[rows, label_N[held]], np)).sum()
        for probs_NK in predict(train, held)
      ]
    )
  return int(np.argmin(loss_C))


def _gradient_boosting(
  feature_ND: np.ndarray, label_N: np.ndarray, weight_N: np.ndarray, fold_N: np.ndarray, seed: int
) -> combination.Combination:
  def predict(train: np.ndarray, held: np.ndarray) -> list[np.ndarray]:
    model = make_booster(MOST_TREES, seed).fit(feature_ND[train], label_N[train], weight_N[train])
    return list(model.staged_predict_proba(feature_ND[held]))

  num_trees = 1 + _best(predict, label_N, weight_N, fold_N)
  return from_trees(make_booster(num_trees, seed).fit(feature_ND, label_N, weight_N))


def _logistic(
  feature_ND: np.ndarray, label_N: np.ndarray, weight_N: np.ndarray, fold_N: np.ndarray
) -> combination.Combination:
  def predict(train: np.ndarray, held: np.ndarray) -> list[np.ndarray]:
    part = (feature_ND[train], label_N[train], weight_N[train])
    return [make_regression(cost).fit(*part).predict_proba(feature_ND[held]) for cost in COSTS]

  cost = COSTS[_best(predict, label_N, weight_N, fold_N)]
  fitted = make_regression(cost).fit(feature_ND, label_N, weight_N)
  kernel_DK, bias_K = fitted.coef_.T, fitted.intercept_
  if len(bias_K) == 1:
    # For two classes scikit-learn returns the second's log odds.
    kernel_DK, bias_K = np.pad(kernel_DK, ((0, 0), (1, 0))), np.pad(bias_K, (1, 0))
  return combination.Combination(method.LOGISTIC, {'kernel_DK': kernel_DK, 'bias_K': bias_K})


def _mlp(
  feature_ND: np.ndarray,
  label_N: np.ndarray,
  weight_N: np.ndarray,
  fold_N: np.ndarray,
  num_classes: int,
  seed: int,
) -> combination.Combination:
  one_hot_NK = np.eye(num_classes, dtype=np.float32)[label_N]
  first = Network(num_classes).init(rng.key(seed, 'stacking'), feature_ND[:1].astype(np.float32))['params']

  def train(row_weight_N: np.ndarray) -> Any:
    mean_D, std_D = _scale(feature_ND, row_weight_N)
    x_ND = ((feature_ND - mean_D[None]) / std_D[None]).astype(np.float32)
    return _train(first, x_ND, one_hot_NK, row_weight_N.astype(np.float32), MOST_STEPS)

  def predict(_: np.ndarray, held: np.ndarray) -> list[np.ndarray]:
    row_weight_N = weight_N.copy()
    row_weight_N[held] = 0
    return list(np.asarray(train(row_weight_N)[1])[:, held])

  steps = _best(predict, label_N, weight_N, fold_N)
  params = jax.tree.map(lambda leaf: np.asarray(leaf[steps], np.float64), train(weight_N)[0])
  # The scale becomes a part of the first layer.
  mean_D, std_D = _scale(feature_ND, weight_N)
  hidden_DH = params['hidden']['kernel'] / std_D[:, None]
  return combination.Combination(
    method.MLP,
    {
      'hidden_DH': hidden_DH,
      'hidden_H': params['hidden']['bias'] - mean_D @ hidden_DH,
      'kernel_HK': params['output']['kernel'],
      'bias_K': params['output']['bias'],
    },
  )


def _scale(feature_ND: np.ndarray, weight_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Mean [D] and standard deviation [D] of the columns over weighted rows; 1 where a column is constant."""
  share_N1 = (weight_N / weight_N.sum())[:, None]
  mean_D = (share_N1 * feature_ND).sum(0)
  std_D = np.sqrt((share_N1 * (feature_ND - mean_D[None]) ** 2).sum(0))
  return mean_D, np.where(std_D > 1e-6, std_D, 1.0)


@functools.partial(jax.jit, static_argnames='num_steps')
def _train(params: Any, x_ND: jax.Array, one_hot_NK: jax.Array, weight_N: jax.Array, num_steps: int) -> Any:
  """The parameters and the probabilities of all rows after each step of training."""
  network, optimizer = Network(one_hot_NK.shape[1]), optax.adam(STEP_SIZE)

  def loss(params: Any) -> jax.Array:
    logit_NK = network.apply({'params': params}, x_ND)
    return (weight_N * optax.softmax_cross_entropy(logit_NK, one_hot_NK)).sum() / weight_N.sum()

  def step(carry: Any, _: None) -> Any:
    params, state = carry
    updates, state = optimizer.update(jax.grad(loss)(params), state)
    params = optax.apply_updates(params, updates)
    logit_NK: Any = network.apply({'params': params}, x_ND)
    return (params, state), (params, jax.nn.softmax(logit_NK))

  return jax.lax.scan(step, (params, optimizer.init(params)), None, length=num_steps)[1]
