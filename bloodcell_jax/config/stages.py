"""A stage of training, and which stages can follow one another in a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Sequence

from bloodcell_jax.base import types
from bloodcell_jax.config import section
from bloodcell_jax.heads import logistic, rbf, svr
from bloodcell_jax.models import zoo
from bloodcell_jax.optim import keras, staged
from bloodcell_jax.train import history, plan

CROSS_ENTROPY = 'cross_entropy'
LOSSES = (CROSS_ENTROPY, svr.NAME)
# Keys of a run without stages -> those that each stage has in their place.
OF_STAGES = {
  'train.epochs': 'epochs',
  'train.early_stopping_patience': 'early_stopping_patience',
  'optimizer.name': 'optimizer',
  'optimizer.learning_rate': 'learning_rate',
  'optimizer.decay': 'decay',
  'optimizer.momentum': 'momentum',
}
OUTPUT_LAYERS = ('', svr.NAME, rbf.NAME, logistic.NAME)


@dataclasses.dataclass(frozen=True)
class Stage:
  """A stage of training: its length, the weights that it trains, its loss and its output layer."""

  fit: plan.Stage
  weights: staged.Spec
  loss: str  # one of LOSSES
  # One of OUTPUT_LAYERS: what replaces the network's output layer when the stage begins; empty keeps it.
  output_layer: str
  auxiliary: (
    int  # number of the auxiliary classifier whose logits are trained; 0 for the network's own logits
  )


def read(stages: section.Section, optimizer: section.Section, train: section.Section) -> Iterator[Stage]:
  """The stages in order; without any in the config, one that trains all weights."""
  whole, monitoring = optimizer.spec(keras.Spec), train.spec(history.Spec)
  epochs, order = train.positive('epochs'), stages.take('order', tuple)
  if not order:
    fit = plan.Stage('train', epochs, monitoring, True)
    yield Stage(fit, staged.Spec(('.*',), (), whole), CROSS_ENTROPY, '', 0)
  for i, name in enumerate(order):
    if not (isinstance(name, str) and name.isidentifier()):
      raise types.UserError(f'stages.order has {name!r}; it must name sections of stages')
    if name in order[:i]:
      raise types.UserError(f'stages.order has {name!r} twice; give each stage a name of its own')
    own = section.Section(f'stages.{name}', stages.take(name, object))
    spec = dataclasses.replace(
      whole,
      name=own.take('optimizer', str),
      **{key: own.take(key, float) for key in ('learning_rate', 'decay', 'momentum')},
    )
    own_monitoring = dataclasses.replace(
      monitoring, early_stopping_patience=own.take('early_stopping_patience', int)
    )
    yield Stage(
      plan.Stage(name, own.positive('epochs'), own_monitoring, own.take('is_candidate', bool)),
      staged.Spec(own.take('trainable', tuple), own.take('learning_rate_multipliers', tuple), spec),
      loss=own.choice('loss', LOSSES),
      output_layer=own.choice('output_layer', OUTPUT_LAYERS),
      auxiliary=own.take('auxiliary', int),
    )
    own.finish()


def ignored(given: Collection[str], order: Sequence[str]) -> list[str]:
  """Lines on keys of the command line that no stage reads, because each has its own.

  Args:
    given: dotted keys, without `config.`.
    order: names of the stages; without any, all keys are read.

  Example:
    >>> ignored(['seed', 'train.epochs'], ['head', 'block5'])
    ['config.train.epochs has no effect: each stage has its own; set config.stages.head.epochs and \
config.stages.block5.epochs']
    >>> ignored(['train.epochs'], []), ignored(['seed'], ['head'])
    ([], [])
  """
  lines = []
  for key in given:
    if order and key in OF_STAGES:
      own = ' and '.join(f'config.stages.{name}.{OF_STAGES[key]}' for name in order)
      lines.append(f'config.{key} has no effect: each stage has its own; set {own}')
  return lines


def check(stages: Sequence[Stage], model: zoo.Spec) -> None:
  """Checks the stages against the network and against one another.

  Raises:
    UserError: a stage needs a part that the network lacks, no stage can give the best epoch, or those that can differ
      in loss.
  """
  num = zoo.num_auxiliary(model)
  for stage in stages:
    key = f'stages.{stage.fit.name}'
    if not 0 <= stage.auxiliary <= num:
      reason = f'it has {num}' if num else 'model.auxiliary=True adds them to cnn_a, cnn_b and cnn_svr'
      raise types.UserError(
        f'{key}.auxiliary is {stage.auxiliary}; the network has no such auxiliary classifier: {reason}'
      )
    if stage.auxiliary and (stage.output_layer or stage.loss != CROSS_ENTROPY or stage.fit.is_candidate):
      raise types.UserError(
        f"{key}.auxiliary is {stage.auxiliary}; such a stage needs loss='cross_entropy', output_layer='' and "
        'is_candidate=False'
      )
    if stage.output_layer == rbf.NAME and model.head != rbf.NAME:
      raise types.UserError(
        f"{key}.output_layer is 'rbf', but model.head is {model.head!r}; set that to 'rbf'"
      )
  losses = {stage.loss for stage in stages if stage.fit.is_candidate}
  if not losses:
    raise types.UserError(
      'stages: none has is_candidate=True, so no epoch could be the best; set it for one stage or more'
    )
  if len(losses) > 1:
    raise types.UserError(
      'stages: those with is_candidate=True differ in loss, so their epochs cannot be compared; set it only for '
      'stages of one loss'
    )
