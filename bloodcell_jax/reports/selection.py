"""Which split of a run chose what, and hence of which splits its figures are evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bloodcell_jax.ensembles import method
from bloodcell_jax.storage import ensemble_file, workdir

# What was held out for judging, best first; `test` of the Kaggle images shows some fields of its training images.
_HELD_OUT = ('fold', 'out_of_fold', 'test_clean', 'test')
_CALIBRATION = ('the temperature', 'the confidence threshold', 'the conformal sets')
VALIDATION, TRAIN = 'validation', 'train'


def choices(folder: workdir.Workdir) -> dict[str, tuple[str, ...]]:
  """By split, what it chose or fitted in this run; a split that is missing chose nothing.

  Args:
    folder: of a run, an ensemble or a cross-validation.

  Example:
    {'train': ('the weights',), 'validation': ('the epoch', 'the temperature', ...)}
  """
  config = folder.read_config()
  ensemble = ensemble_file.read(folder) if folder.ensemble.exists() else None
  is_parent = bool(config.get('train.folds')) and not config.get('train.fold')
  each = ' of each member' if ensemble else ' of each fold' if is_parent else ''
  found: dict[str, list[str]] = {TRAIN: [f'the weights of the network{each}'], VALIDATION: []}
  for split, what in _of_training(config):
    found[split].append(what + each)
  if ensemble:
    for split, what in _of_members(config, ensemble):
      found.setdefault(split, []).append(what)
  if folder.calibration.exists():
    found[VALIDATION] += _CALIBRATION
  return {split: tuple(dict.fromkeys(chosen)) for split, chosen in found.items() if chosen}


def _of_training(config: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
  monitor = config.get('train.monitor', 'val_loss')
  split = VALIDATION if monitor.startswith('val_') else TRAIN
  yield split, 'the epoch'
  stages = [config.get(f'stages.{name}.early_stopping_patience') for name in config.get('stages.order', ())]
  if config.get('train.early_stopping_patience') or any(stages):
    yield split, 'when training stopped'
  if config.get('train.reduce_on_plateau_patience'):
    yield split, 'when the learning rate fell'


def _of_members(config: Mapping[str, Any], ensemble: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
  combine = ensemble['combine']
  if combine == method.WEIGHTED:
    yield VALIDATION, 'the weights of the members'
  if combine == method.SOUP:
    yield VALIDATION, 'which members are averaged'
  if combine in method.STACKED:
    # Twins of the members predict the rows of train and validation that they did not see.
    learned_on = ensemble.get('learned_on', 'out_of_fold')
    yield VALIDATION, 'the meta-learner'
    if learned_on != VALIDATION:
      yield TRAIN, 'the meta-learner'
  if ensemble.get('method') in method.BOOSTING:
    yield TRAIN, 'the share of each member'
    if config.get('ensemble.patience'):
      yield VALIDATION, 'the number of members'
  if ensemble.get('best_member') is not None:
    yield VALIDATION, 'the member that the ensemble is compared with'


def headline(splits: Iterable[str], chosen: Mapping[str, Sequence[str]]) -> str:
  """The split whose figures stand first: held out for judging if there is one, else one that chose nothing.

  Args:
    splits: those with figures, in order.
    chosen: as from `choices`.

  Returns:
    'validation' where every split chose something.

  Example:
    >>> headline(['test', 'validation', 'test_clean'], {'validation': ('the epoch',)})
    'test_clean'
  """
  clean = [split for split in splits if split not in (TRAIN, VALIDATION) and split not in chosen]
  return next((split for split in (*_HELD_OUT, *clean) if split in clean), VALIDATION)


def sentence(split: str, chosen: Mapping[str, Sequence[str]]) -> str:
  """What this split chose and what follows for its figures; empty where it chose nothing.

  Example:
    >>> sentence('validation', {'validation': ('the epoch', 'the temperature')})
    'validation chose the epoch and the temperature: its figures are optimistic and no evidence.'
  """
  if not chosen.get(split):
    return ''
  *others, last = chosen[split]
  listed = f'{", ".join(others)} and {last}' if others else last
  verb = 'fitted' if split == TRAIN else 'chose'
  return f'{split} {verb} {listed}: its figures are optimistic and no evidence.'
