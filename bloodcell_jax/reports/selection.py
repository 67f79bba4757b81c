"""What was chosen or fitted on each split of a run, and hence on which splits its figures are evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bloodcell_jax.ensembles import method
from bloodcell_jax.storage import adaptation_file, ensemble_file, workdir

# Kinds of seen images, as an entry of `metrics.json` counts them.
_SEEN = ('trained', 'chosen', 'copies_trained', 'copies_chosen')
# Splits held out for evaluation, best first; `test` of the Kaggle data shares some fields with its training images.
OUT_OF_FOLD = 'out_of_fold'
_HELD_OUT = ('fold', OUT_OF_FOLD, 'test_clean', 'test')
_CALIBRATION = ('the temperature', 'the confidence threshold', 'the conformal sets')
VALIDATION, TRAIN = 'validation', 'train'
# Of an adapted run, the labelled images of its laboratory, each by a network fitted without its group.
CROSS_FITTED = 'cross_fitted'


def choices(folder: workdir.Workdir) -> dict[str, tuple[str, ...]]:
  """By split, what was chosen or fitted on it in this run; nothing was on a split that is missing here.

  Args:
    folder: of a run, an ensemble or a cross-validation.

  Example:
    {'train': ('the weights',), 'validation': ('the epoch', 'the temperature', ...)}
  """
  if folder.adaptation.exists():
    # The images of the old laboratory chose nothing here.
    entries = adaptation_file.read(folder)
    fitted = 'the output layer of the network'
    if entries and entries[adaptation_file.RESULT].get('updates'):
      fitted = 'the weights of the network but those of its first block'
    return {TRAIN: (fitted,), CROSS_FITTED: _CALIBRATION}
  config = folder.read_config()
  ensemble = ensemble_file.read(folder) if folder.ensemble.exists() else None
  is_parent = bool(config.get('train.folds')) and not config.get('train.fold')
  each = ' of each member' if ensemble else ' of each fold' if is_parent else ''
  chosen: dict[str, list[str]] = {TRAIN: [f'the weights of the network{each}'], VALIDATION: []}
  for split, what in _training_choices(config):
    chosen[split].append(what + each)
  if ensemble:
    for split, what in _ensemble_choices(config, ensemble):
      chosen.setdefault(split, []).append(what)
  if folder.calibration.exists():
    chosen[VALIDATION] += _CALIBRATION
  return {split: tuple(dict.fromkeys(choices)) for split, choices in chosen.items() if choices}


def _training_choices(config: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
  monitor = config.get('train.monitor', 'val_loss')
  split = VALIDATION if monitor.startswith('val_') else TRAIN
  yield split, 'the epoch'
  stages = [config.get(f'stages.{name}.early_stopping_patience') for name in config.get('stages.order', ())]
  if config.get('train.early_stopping_patience') or any(stages):
    yield split, 'the time of early stopping'
  if config.get('train.reduce_on_plateau_patience'):
    yield split, 'the reductions of the learning rate'


def _ensemble_choices(config: Mapping[str, Any], ensemble: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
  combine = ensemble['combine']
  if combine == method.SOUP:
    yield VALIDATION, 'which members are averaged'
  if combine in (method.WEIGHTED, *method.STACKED):
    is_stacked = combine in method.STACKED
    what = 'the meta-learner' if is_stacked else 'the weights of the members'
    yield VALIDATION, what
    # Predictions out of fold are of rows of train and validation.
    if ensemble.get('learned_on', OUT_OF_FOLD if is_stacked else VALIDATION) != VALIDATION:
      yield TRAIN, what
  if ensemble.get('method') in method.BOOSTING:
    yield TRAIN, 'the boosting weight of each member'
    if config.get('ensemble.patience'):
      yield VALIDATION, 'the number of members'
  if ensemble.get('best_member') is not None:
    yield VALIDATION, 'the member that the ensemble is compared with'


def calibrated_on(chosen: Mapping[str, Sequence[str]]) -> str:
  """The split that the temperature, the threshold and the sets were fitted on.

  Args:
    chosen: as from `choices`.
  """
  return next((split for split, what in chosen.items() if set(_CALIBRATION) <= set(what)), VALIDATION)


def unseen(metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
  """The splits of `metrics.json` without the scored folders whose images the run has seen, or may have seen."""
  return [
    split
    for split, entry in metrics.items()
    if 'seen' not in entry or (entry['seen'] and not any(entry['seen'].get(kind) for kind in _SEEN))
  ]


def headline(splits: Iterable[str], chosen: Mapping[str, Sequence[str]]) -> str:
  """The split whose figures lead the report: one held out for evaluation, else one on which nothing was chosen.

  Args:
    splits: those with figures, in order.
    chosen: as from `choices`.

  Returns:
    'cross_fitted' for an adapted run; 'validation' if something was chosen on every split.

  Example:
    >>> headline(['test', 'validation', 'test_clean'], {'validation': ('the epoch',)})
    'test_clean'
  """
  splits = list(splits)
  if CROSS_FITTED in splits:
    # What the run is for, whatever was fitted on it.
    return CROSS_FITTED
  clean = [split for split in splits if split not in (TRAIN, VALIDATION) and split not in chosen]
  return next((split for split in (*_HELD_OUT, *clean) if split in clean), VALIDATION)


def evidence(splits: Iterable[str], chosen: Mapping[str, Sequence[str]]) -> str:
  """On which splits the figures are evidence; empty if on none.

  Example:
    >>> evidence(['test', 'validation'], {'validation': ('the epoch',)})
    'Nothing in this run was chosen or fitted on test.'
  """
  clean = [split for split in splits if split not in chosen]
  plain = [split for split in clean if split != OUT_OF_FOLD]
  said = [f'Nothing in this run was chosen or fitted on {" or ".join(plain)}.'] if plain else []
  if OUT_OF_FOLD in clean:
    said.append(f'Each image of {OUT_OF_FOLD} is answered by what was trained and fitted without its group.')
  return ' '.join(said)


def sentence(split: str, chosen: Mapping[str, Sequence[str]]) -> str:
  """What was chosen on this split and what follows for its figures; empty if nothing was.

  Example:
    >>> sentence('validation', {'validation': ('a', 'b')})
    'Chosen on validation: a and b. The figures on validation are therefore optimistic and not evidence.'
  """
  if not chosen.get(split):
    return ''
  *others, last = chosen[split]
  listed = f'{", ".join(others)} and {last}' if others else last
  verb = 'Fitted' if split == TRAIN else 'Chosen'
  return f'{verb} on {split}: {listed}. The figures on {split} are therefore optimistic and not evidence.'
