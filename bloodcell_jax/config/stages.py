"""What a stage of training is, and which stages go together."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from bloodcell_jax.base import types
from bloodcell_jax.heads import rbf, svr
from bloodcell_jax.models import zoo
from bloodcell_jax.optim import staged
from bloodcell_jax.train import plan

CROSS_ENTROPY = 'cross_entropy'
LOSSES = (CROSS_ENTROPY, svr.NAME)
TOPS = ('', svr.NAME, rbf.NAME)


@dataclasses.dataclass(frozen=True)
class Stage:
  """A stage of training: how long, and what is trained how."""

  fit: plan.Stage
  weights: staged.Spec
  loss: str  # one of LOSSES
  top: str  # one of TOPS: what the network's top is replaced by at the stage's beginning; empty keeps it
  auxiliary: int  # which auxiliary top gives the logits; 0 for the network's own


def check(stages: Sequence[Stage], model: zoo.Spec) -> None:
  """Raises UserError where a stage asks for what the network has not, or the best epoch would be no one's."""
  num = zoo.num_auxiliary(model)
  for stage in stages:
    key = f'stages.{stage.fit.name}'
    if not 0 <= stage.auxiliary <= num:
      made = f'it has {num}' if num else 'model.auxiliary makes them, for cnn_a, cnn_b and hybrid'
      raise types.UserError(f'{key}.auxiliary is {stage.auxiliary}; the network has no such top: {made}')
    if stage.auxiliary and (stage.top or stage.loss != CROSS_ENTROPY or stage.fit.is_candidate):
      raise types.UserError(
        f"{key}.auxiliary is {stage.auxiliary}; such a stage takes loss='cross_entropy', top='' and is_candidate=False"
      )
    if stage.top == rbf.NAME and model.head != rbf.NAME:
      raise types.UserError(f"{key}.top is 'rbf', but model.head is {model.head!r}; set that to 'rbf'")
  losses = {stage.loss for stage in stages if stage.fit.is_candidate}
  if len(losses) != 1:
    wrong = 'differ in loss, so that their epochs cannot be compared' if losses else 'are none'
    raise types.UserError(f'stages: those with is_candidate {wrong}; set it for stages of one loss alone')
