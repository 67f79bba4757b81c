"""What may no longer change once a part of a run is trained: keys that are free before that."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from bloodcell_jax.base import types
from bloodcell_jax.ensembles import method
from bloodcell_jax.train import history

EPOCHS, FOLDS = 'train.epochs', 'ensemble.folds'
# Members of these depend on what the earlier ones learned.
_IN_TURN = (method.SNAPSHOT, *method.BOOSTING)


def check(path: pathlib.Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
  """Refuses to continue a run with keys that do not fit what is trained of it.

  Args:
    path: the folder of the run, an ensemble or a cross-validation.
    old: its flat config.
    new: that of the command, which differs from it in free keys only.

  Raises:
    UserError: stacking asks for other folds although networks out of fold are there; the epochs of an ensemble change
      whose later members depend on the earlier ones, and one of them is begun; fewer epochs than are trained.
  """
  _check_folds(path, old, new)
  _check_epochs(path, old, new)


def is_kept(key: str, new: Mapping[str, Any]) -> bool:
  """Whether a run keeps its value of this key because the command does not use its own."""
  return key == FOLDS and new.get('ensemble.combine') not in method.STACKED


def _check_folds(path: pathlib.Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
  before = old.get(FOLDS)
  if before == new.get(FOLDS) or is_kept(FOLDS, new):
    return
  if any(_is_begun(part) for part in path.glob('members/*/out_of_fold/folds/*')):
    raise types.UserError(
      f'{path}: {FOLDS} was {before} and is {new.get(FOLDS)}, but members have networks out of fold; set it to '
      f'{before}, or choose another --workdir'
    )


def _check_epochs(path: pathlib.Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
  before, now = old.get(EPOCHS), new.get(EPOCHS)
  # With stages, each has its own epochs, which may not change.
  if before == now or now is None or new.get('stages.order'):
    return
  kind = new.get('ensemble.method')
  if kind in _IN_TURN and any(_is_begun(part) for part in path.glob('members/*') if part.name != '1'):
    raise types.UserError(
      f'{path}: {EPOCHS} was {before} and is {now}, but members after the first are begun, and with {kind} each '
      f'depends on those before it; set it to {before}, or choose another --workdir'
    )
  places = ('', 'folds/*/', 'members/*/', 'members/*/out_of_fold/folds/*/')
  trained = max((_length(one) for place in places for one in path.glob(f'{place}history.jsonl')), default=0)
  if now < trained:
    raise types.UserError(
      f'{path}: {EPOCHS} was {before} and is {now}, but {trained} epochs are trained; set it to {trained} or more, or '
      'choose another --workdir'
    )


def _is_begun(part: pathlib.Path) -> bool:
  """Whether a member or fold has anything that was trained."""
  return (part / 'history.jsonl').exists() or next(part.glob('checkpoints/*'), None) is not None


def _length(path: pathlib.Path) -> int:
  """The number of epochs in a history; 0 where it is damaged, which training writes anew."""
  try:
    return len(history.read(path))
  except types.UserError:
    return 0
