"""Boosting of networks: weights and targets of the next member, from the training predictions of the members so far.

A unit is a pair of a group and a label, not an image, because images of one photograph are near-duplicates; the
prediction of a unit is the mean probability of its images. SAMME and SAMME.R start with equal weights of all units,
divided among their rows. Gradient boosting changes the targets of the rows instead of weights.

The state is a function of the members' training predictions in their order, so that an interrupted run resumes by
observing them again.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.ensembles import combination, method

# Upper bound of a step of gradient boosting; for members that separate the training rows perfectly it is unbounded.
LONGEST_STEP = 100.0


@dataclasses.dataclass(frozen=True)
class Spec:
  """The boosting algorithm."""

  kind: str  # one of method.BOOSTING
  shrinkage: float  # as method.Spec checks it: factor of each step; used by 'gradient' alone

  def __post_init__(self):
    if self.kind not in method.BOOSTING:
      raise types.UserError(f'ensemble.method is {self.kind!r}; choose one of {", ".join(method.BOOSTING)}')


@dataclasses.dataclass(frozen=True)
class State:
  """State of boosting after some members. `observe` returns the next one."""

  spec: Spec
  label_N: np.ndarray
  unit_N: np.ndarray  # the unit of each row
  label_U: np.ndarray
  num_classes: int
  weight_U: np.ndarray  # sums to 1
  logit_NK: np.ndarray  # gradient boosting: sum over the members so far
  vote_UK: np.ndarray  # SAMME: sum of the alphas of the members that predict the class
  alpha_M: tuple[float, ...]  # of the accepted members: SAMME's alpha, 1 for SAMME.R, or the step
  error_M: tuple[float, ...]  # weighted error rate of each member on units, at its training
  bound: float  # SAMME: upper bound of `unit_error`, the product of Z exp(-alpha / 2)
  ended: str  # reason for stopping; empty while boosting continues

  @property
  def num_members(self) -> int:
    """Number of accepted members: all observed ones, except a rejected last one."""
    return len(self.alpha_M)

  @property
  def unit_error(self) -> float:
    """Error rate of the vote of the members so far on units (SAMME); 1 without members."""
    return float((self.vote_UK.argmax(1) != self.label_U).mean()) if self.num_members else 1.0


def by_group(
  probs_NK: np.ndarray, label_N: np.ndarray, group_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Mean probabilities [U, K] and label [U] of each unit, and the unit [N] of each row.

  **Guarantees**: rows are in the same unit exactly if they share group and label; units are sorted by group and label.

  Example:
    >>> probs = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
    >>> prob_UK, label_U, unit_N = by_group(probs, np.array([0, 0, 1]), np.array(['a', 'a', 'a']))
    >>> prob_UK.round(3).tolist(), label_U.tolist(), unit_N.tolist()
    ([[0.7, 0.3], [0.2, 0.8]], [0, 1], [0, 0, 1])
  """
  label_U, unit_N = _units(label_N, group_N)
  return _mean(probs_NK, unit_N, len(label_U)), label_U, unit_N


def init(spec: Spec, label_N: np.ndarray, group_N: np.ndarray, num_classes: int) -> State:
  """The state before the first member.

  Raises:
    UserError: for gradient boosting, if a class has no row and so no log prior.
  """
  label_U, unit_N = _units(label_N, group_N)
  share_K = np.bincount(label_N, minlength=num_classes) / len(label_N)
  if spec.kind == method.GRADIENT and not share_K.all():
    raise types.UserError(
      f'class {int(np.argmin(share_K))} has no training image; gradient boosting needs some of every class'
    )
  prior_K = np.log(np.maximum(share_K, combination.CLIP))
  return State(
    spec=spec,
    label_N=label_N,
    unit_N=unit_N,
    label_U=label_U,
    num_classes=num_classes,
    weight_U=np.full(len(label_U), 1 / len(label_U)),
    logit_NK=np.tile(prior_K, (len(label_N), 1)),
    vote_UK=np.zeros((len(label_U), num_classes)),
    alpha_M=(),
    error_M=(),
    bound=1.0,
    ended='',
  )


def assign(state: State) -> tuple[np.ndarray, np.ndarray]:
  """The weights [N] and targets [N, K] for training the next member.

  **Guarantees**: the weights have mean 1; under SAMME and SAMME.R the targets are one-hot and rows of a unit weigh
  the same; under gradient boosting the weights are 1, and the target is the negative gradient of the row's log loss
  by its logits, `one-hot - softmax(logits so far)`, whose rows sum to 0.

  Source: Friedman 2001, "Greedy function approximation: a gradient boosting machine", section 4.6.
  """
  one_hot_NK = np.eye(state.num_classes)[state.label_N]
  if state.spec.kind == method.GRADIENT:
    return np.ones(len(state.label_N)), one_hot_NK - combination.softmax(state.logit_NK, np)
  size_U = np.bincount(state.unit_N)
  return (len(state.label_N) * state.weight_U / size_U)[state.unit_N], one_hot_NK


def observe(state: State, probs_NK: np.ndarray) -> State:
  """The state after a member with these probabilities of the training rows.

  SAMME stops after a member without errors on units, whose alpha is computed as for half a unit in error to keep it
  finite, and at a member with a weighted error rate of 1 - 1/K or more, which is rejected. SAMME.R has no such rule:
  its members are weighted by their probabilities. Gradient boosting stops at a member along which the log loss of the
  training rows does not decrease; it is rejected.

  **Guarantees**: the same arguments give the same state; the arguments are not modified.

  Raises:
    ValueError: the boosting has ended.

  Source: Zhu, Zou, Rosset and Hastie 2009, "Multi-class AdaBoost", algorithms 2 (SAMME) and 4 (SAMME.R);
    Friedman 2001, sections 4.6 (gradient) and 3 (line search); scikit-learn `AdaBoostClassifier` (stopping rules).
  """
  if state.ended:
    raise ValueError(f'the boosting has ended: {state.ended}')
  step = {method.SAMME: _samme, method.SAMME_R: _samme_r, method.GRADIENT: _gradient}[state.spec.kind]
  return step(state, np.asarray(probs_NK, np.float64))


def combine(state: State, num_members: int) -> combination.Combination:
  """The rule that combines the first members: SAMME by votes, SAMME.R by mean log p, gradient boosting by steps.

  Algorithm 4 sums (K - 1) (log p - its mean over classes) over members; the softmax of the mean of log p ranks the
  classes equally and is no more confident than the members. Source: scikit-learn 1.5 `AdaBoostClassifier`.

  Raises:
    UserError: there are no members, because the first one was rejected.
  """
  if not 1 <= num_members <= state.num_members:
    if not state.num_members:
      raise types.UserError(
        f'the first member cannot be boosted ({state.ended or "none is trained"}); '
        'train it longer or choose a larger model'
      )
    raise ValueError(f'{num_members} members of {state.num_members}')
  alpha_M = np.array(state.alpha_M[:num_members])
  if state.spec.kind == method.SAMME:
    return combination.vote(alpha_M)
  if state.spec.kind == method.SAMME_R:
    return combination.geometric(num_members, state.num_classes)
  share_K = np.bincount(state.label_N, minlength=state.num_classes) / len(state.label_N)
  return combination.log_linear(alpha_M, np.log(share_K))


def early_stop(val_loss_by_members: list[float], patience: int) -> int:
  """The number of members with the lowest validation loss, until `patience` members in a row did not lower it.

  Args:
    val_loss_by_members: of the first member, the first two, and so on; at least one.
    patience: at least 1.

  Example:
    >>> early_stop([0.5, 0.4, 0.45, 0.41, 0.3], patience=2)
    2
  """
  if patience < 1 or not len(val_loss_by_members):
    raise ValueError('early stopping needs a loss, and a patience of 1 or more')
  best = 0
  for m, loss in enumerate(val_loss_by_members):
    if loss < val_loss_by_members[best]:
      best = m
    elif m - best >= patience:
      break
  return best + 1


def _samme(state: State, probs_NK: np.ndarray) -> State:
  num_units, num_classes = state.vote_UK.shape
  predicted_U = _mean(probs_NK, state.unit_N, num_units).argmax(1)
  miss_U = predicted_U != state.label_U
  error = float(state.weight_U[miss_U].sum())
  if error >= 1 - 1 / num_classes:
    reason = f'has a weighted error rate of {error:.1%} on groups, no better than chance'
    return dataclasses.replace(state, ended=f'member {state.num_members + 1} {reason}')
  clipped = error if miss_U.any() else 0.5 / num_units
  alpha = float(np.log((1 - clipped) / clipped) + np.log(num_classes - 1))
  grown_U = state.weight_U * np.exp(alpha * miss_U)
  total = float(grown_U.sum())
  return dataclasses.replace(
    state,
    weight_U=grown_U / total,
    vote_UK=state.vote_UK + alpha * np.eye(num_classes)[predicted_U],
    alpha_M=(*state.alpha_M, alpha),
    error_M=(*state.error_M, error),
    # If the vote errs on a unit, the members in error have at least half of all alphas, so exp(sum of alpha x miss) is
    # at least exp(sum of alpha / 2); the mean of the former over units is the product of the totals. For two classes
    # this is Freund and Schapire 1997, "A decision-theoretic generalization of on-line learning", theorem 6.
    bound=state.bound * total * float(np.exp(-alpha / 2)),
    ended='' if miss_U.any() else f'member {state.num_members + 1} makes no error on any group',
  )


def _samme_r(state: State, probs_NK: np.ndarray) -> State:
  num_units, num_classes = state.vote_UK.shape
  mean_UK = _mean(probs_NK, state.unit_N, num_units)
  error = float(state.weight_U[mean_UK.argmax(1) != state.label_U].sum())
  log_UK = combination.log_probs(mean_UK, np)
  # The classes' codes: 1 for the label, -1 / (K - 1) for the others.
  code_UK = np.where(np.eye(num_classes)[state.label_U] == 1, 1, -1 / (num_classes - 1))
  log_weight_U = np.log(state.weight_U) - (1 - 1 / num_classes) * (code_UK * log_UK).sum(1)
  return dataclasses.replace(
    state,
    weight_U=combination.softmax(log_weight_U, np),
    alpha_M=(*state.alpha_M, 1.0),
    error_M=(*state.error_M, error),
  )


def _gradient(state: State, probs_NK: np.ndarray) -> State:
  # Imported here: it takes a third of a second to load and few commands need it.
  from scipy import optimize

  rows = np.arange(len(state.label_N))
  direction_NK = combination.log_probs(probs_NK, np)

  def slope(step: float) -> float:
    """Derivative of the mean log loss by the step; increasing, because the loss is convex."""
    now_NK = combination.softmax(state.logit_NK + step * direction_NK, np)
    return float(((now_NK * direction_NK).sum(1) - direction_NK[rows, state.label_N]).mean())

  if slope(0.0) >= -1e-12:
    return dataclasses.replace(
      state, ended=f'the log loss of the training images does not fall along member {state.num_members + 1}'
    )
  step = LONGEST_STEP if slope(LONGEST_STEP) <= 0 else float(optimize.brentq(slope, 0.0, LONGEST_STEP))
  step *= state.spec.shrinkage
  size_U = np.bincount(state.unit_N)
  mean_UK = _mean(probs_NK, state.unit_N, len(size_U))
  return dataclasses.replace(
    state,
    logit_NK=state.logit_NK + step * direction_NK,
    alpha_M=(*state.alpha_M, step),
    error_M=(*state.error_M, float((mean_UK.argmax(1) != state.label_U).mean())),
  )


def _units(label_N: np.ndarray, group_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  _, number_N = np.unique(group_N, return_inverse=True)
  pair_U2, unit_N = np.unique(np.stack([number_N, label_N], 1), axis=0, return_inverse=True)
  return pair_U2[:, 1], unit_N.ravel()


def _mean(probs_NK: np.ndarray, unit_N: np.ndarray, num_units: int) -> np.ndarray:
  total_UK = np.zeros((num_units, probs_NK.shape[1]))
  np.add.at(total_UK, unit_N, probs_NK)
  return total_UK / np.bincount(unit_N, minlength=num_units).reshape(-1, 1)
