"""The spec of an ensemble: its members and the rule that combines them."""

from __future__ import annotations

import dataclasses

from bloodcell_jax.base import types

AVERAGE, SNAPSHOT, BAGGING, SAMME, SAMME_R, GRADIENT = METHODS = (
  'average', 'snapshot', 'bagging', 'samme', 'samme_r', 'gradient',
)  # fmt: skip
BOOSTING = (SAMME, SAMME_R, GRADIENT)
AUTO, MEAN, LOGITS, GEOMETRIC, VOTE, WEIGHTED = 'auto', 'mean', 'logits', 'geometric', 'vote', 'weighted'
SWA, SOUP = WEIGHT_AVERAGES = ('swa', 'soup')
LOGISTIC, GRADIENT_BOOSTING, MLP = STACKED = ('logistic', 'gradient_boosting', 'mlp')
COMBINES = (AUTO, MEAN, LOGITS, GEOMETRIC, VOTE, WEIGHTED, *WEIGHT_AVERAGES, *STACKED)


@dataclasses.dataclass(frozen=True)
class Spec:
  """An ensemble, or one member of it."""

  method: str  # one of METHODS; empty for a single network
  members: int  # 1 or more
  member: int  # 1 to members: that member alone; 0 for all of them
  combine: str  # one of COMBINES; auto for the method's own rule
  architectures: tuple  # names of networks, assigned to the members in turn; empty for the config's
  vectorized: int  # members trained at once in one program; 0 for 1
  folds: int  # 2 or more: for the out-of-fold predictions that stacking is fitted on
  shrinkage: float  # in (0, 1]: factor of each step of gradient boosting
  patience: int  # members without improvement on validation until boosting stops; 0 for never

  def __post_init__(self):
    if self.method not in ('', *METHODS):
      raise types.UserError(
        f'ensemble.method is {self.method!r}; choose one of {", ".join(METHODS)}, or leave it empty'
      )
    if self.combine not in COMBINES:
      raise types.UserError(f'ensemble.combine is {self.combine!r}; choose one of {", ".join(COMBINES)}')
    if self.members < 1:
      raise types.UserError(f'ensemble.members is {self.members}; it must be 1 or more')
    if not 0 <= self.member <= (self.members if self.method else 0):
      raise types.UserError(
        f'ensemble.member is {self.member}; it must lie in 1 to ensemble.members with a method, or be 0'
      )
    if self.vectorized < 0:
      raise types.UserError(f'ensemble.vectorized is {self.vectorized}; it must be 0 or more')
    if self.vectorized > 1 and self.method in (SNAPSHOT, *BOOSTING):
      raise types.UserError(
        f'ensemble.vectorized is {self.vectorized}, but members of {self.method} are trained one after another; '
        'set it to 0'
      )
    if self.folds < 2:
      raise types.UserError(f'ensemble.folds is {self.folds}; it must be 2 or more')
    if not 0 < self.shrinkage <= 1:
      raise types.UserError(f'ensemble.shrinkage is {self.shrinkage}; it must lie in (0, 1]')
    if self.patience < 0:
      raise types.UserError(f'ensemble.patience is {self.patience}; it must be 0 or more')
    if self.method in BOOSTING and self.combine != AUTO:
      raise types.UserError(
        f"ensemble.combine is {self.combine!r}, but {self.method} has its own rule; set it to 'auto'"
      )
    if self.combine in STACKED and self.method not in ('', AVERAGE):
      raise types.UserError(
        f'ensemble.combine is {self.combine!r}, which needs ensemble.method=average, not {self.method}'
      )
    if self.architectures and self.combine in WEIGHT_AVERAGES:
      raise types.UserError(
        f'ensemble.combine is {self.combine!r}: weights of different architectures cannot be averaged; '
        'leave ensemble.architectures empty'
      )


def num_trainings(method: str, members: int, combine: str, folds: int) -> int:
  """The number of networks that an ensemble of these settings trains; 1 for a single network.

  Example:
    >>> num_trainings('', 5, 'auto', 5), num_trainings('average', 5, 'auto', 5), num_trainings('average', 5, 'mlp', 2)
    (1, 5, 15)
  """
  return members * (1 + (folds if combine in STACKED else 0)) if method else 1
