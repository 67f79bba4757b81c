"""Checkpoints: the latest two and the best one, each whole, checked when it is read, or not there."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import pathlib
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from bloodcell_jax.base import types
from bloodcell_jax.system import memory
from bloodcell_jax.train import checksums, history, shelf
from bloodcell_jax.train import state as state_lib


@dataclasses.dataclass(frozen=True)
class Saved:
  """Where a run stands: at its start, or as a checkpoint says."""

  state: state_lib.State
  records: list[history.Record]  # of the epochs finished
  seconds: float  # spent in the epoch under way
  stamp: shelf.Stamp


# Where checkpoints go that are no longer kept; `atomic.clear` knows the name.
_REMOVED = '.removed.00000000.tmp'


def _badness(metrics: Any) -> float:
  return metrics['badness']


class Store:
  """The `checkpoints/` folder of a run.

  A checkpoint's number counts the saves of the run and not its steps: the same step can be saved twice, before
  and after its evaluation. Writing goes on in the background; `close` waits for it.

  **Guarantees**: a checkpoint gets its name when all of it and its checksums are on the disk; one whose files are no
  longer what was written is never read: it is named on standard error and the newest sound one before it is used, if
  the best epoch up to there is sound as well; what is only read is not changed. Before the first save what is damaged,
  and what came after the checkpoint that was used, is set aside under another name.

  Args:
    directory: the folder; need not exist.
    monitor: the figure that the best epoch is chosen by, one of `history.MONITORS`.
    is_latest_best: which of equally good epochs is the best: the latest, or else the earliest.
  """

  def __init__(self, directory: str | os.PathLike[str], monitor: str, is_latest_best: bool = False):
    self._folder = pathlib.Path(directory).absolute()
    self._monitor = monitor
    self._is_latest_best = is_latest_best
    self._manager: ocp.CheckpointManager | None = None
    self._writing = 0
    # Of the best checkpoint that is a candidate: its epoch and how bad it is.
    self._best: tuple[int, float] | None = None
    self._shelf = shelf.Shelf(self._folder)
    self._find()

  def save(self, saved: Saved, is_candidate: bool) -> None:
    """Starts to write one checkpoint; its records end with this epoch's if it has been evaluated.

    Args:
      saved: where the run stands.
      is_candidate: whether it may be the best.

    Raises:
      RunError: this one or the one before it cannot be written.
    """
    state, records = saved.state, saved.records
    num_bytes = memory.WRITING + sum(x.nbytes for x in jax.tree.leaves(state))
    memory.require(num_bytes, memory.obtainable(), f'{self._folder}: a checkpoint', 'give this process more')
    # Copied, because the step donates these arrays while the writing goes on.
    state = jax.tree.map(lambda x: np.array(x, copy=True), state)
    ranked = is_candidate and bool(records) and records[-1].step == int(state.step)
    badness = history.badness(records[-1], self._monitor) if ranked else None
    # Only a gain is ranked, because Orbax keeps the latest among equals.
    if badness is not None and self._best is not None:
      is_gain = badness <= self._best[1] if self._is_latest_best else badness < self._best[1]
      badness = badness if is_gain else None
    if badness is not None:
      self._best = records[-1].epoch, badness
    progress = {
      'records': [dataclasses.asdict(record) for record in records],
      'seconds': saved.seconds,
      'stamp': {**vars(saved.stamp), 'pixels': dict(saved.stamp.pixels)},
      'best': self._best,
    }
    with self._explained():
      manager = self._opened()
      # The finished one before it, so that its folder is not taken for this one's.
      manager.wait_until_finished()
      self._remove()
      self._writing = (manager.latest_step() or 0) + 1
      manager.save(
        self._writing,
        args=ocp.args.Composite(state=ocp.args.StandardSave(state), progress=ocp.args.JsonSave(progress)),
        metrics=None if badness is None else {'badness': badness},
      )

  def stamp(self) -> shelf.Stamp | None:
    """What the newest checkpoint says of itself, or None where there is none yet."""
    self._find()
    return None if self._shelf.used is None else self._shelf.stamp(self._shelf.used)

  def num_epochs(self) -> int:
    """How many epochs are finished in the newest checkpoint; no state is read."""
    self.wait()
    self._find()
    return 0 if self._shelf.used is None else len(self._shelf.progress(self._shelf.used)['records'])

  def latest(self, like: Callable[[shelf.Stamp], state_lib.State]) -> Saved | None:
    """The newest checkpoint, or None where there is none yet. `like` gives a state of its stage's shapes and dtypes.

    Raises:
      UserError: there are checkpoints, but the run cannot go on from any.
    """
    self.wait()
    self._find()
    return None if self._shelf.used is None else self._read(self._shelf.used, like)

  def best(self, like: Callable[[shelf.Stamp], state_lib.State]) -> Saved:
    """The checkpoint whose epoch had the best monitored figure.

    Raises:
      UserError: there is none, or the run cannot go on from any.
    """
    self.wait()
    self._find()
    number = None if self._shelf.used is None else self._shelf.best(self._shelf.used)
    if number is None:
      raise types.UserError(f'{self._folder}: no checkpoint of a finished epoch; train first')
    return self._read(number, like)

  def wait(self) -> None:
    """Returns once everything is on disk. Raises RunError where it cannot be."""
    if self._manager is not None:
      with self._explained():
        self._manager.wait_until_finished()
        self._remove()

  def close(self) -> None:
    """Waits, then frees the folder. Raises RunError where what was saved last cannot be written."""
    if self._manager is not None:
      with self._explained():
        self._manager.close()
        self._remove()

  def _remove(self) -> None:
    """Frees the room of what is no longer kept."""
    shutil.rmtree(self._folder / _REMOVED, ignore_errors=True)

  def _find(self) -> None:
    self._shelf.look()
    if self._shelf.used is not None and self._manager is None:
      best = self._shelf.best(self._shelf.used)
      self._best = None if best is None else (self._shelf.epoch(best), self._shelf.badness(best) or 0.0)

  def _read(self, number: int, like: Callable[[shelf.Stamp], state_lib.State]) -> Saved:
    progress = self._shelf.progress(number)
    stamp = shelf.Stamp(**progress['stamp'])
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like(stamp))
    folder = self._shelf.path(number)
    try:
      with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as reader:
        state = reader.restore(folder / 'state', args=ocp.args.StandardRestore(abstract))
    except Exception as error:
      # What passed its checksums fails for another reason, such as memory.
      if checksums.are_known(folder):
        raise
      raise types.UserError(
        f'{folder}: cannot be read ({_line(error)}); remove it, and the run goes on from the one before'
      ) from None
    records = [history.Record(**record) for record in progress['records']]
    return Saved(state, records, progress['seconds'], stamp)

  def _opened(self) -> ocp.CheckpointManager:
    """What writes; made with the first save, so that whoever only reads changes nothing."""
    if self._manager is not None:
      return self._manager
    for number in self._shelf.unusable:
      aside = self._folder / f'damaged-{number}'
      while aside.exists():
        aside = aside.with_name(f'{aside.name}-again')
      self._shelf.path(number).rename(aside)
      print(f'{aside}: set aside; remove it when you no longer want it', file=sys.stderr, flush=True)
    keep = checkpoint_managers.AnyPreservationPolicy(
      [
        checkpoint_managers.LatestN(2),
        checkpoint_managers.BestN(
          get_metric_fn=_badness, reverse=True, n=1, keep_checkpoints_without_metrics=False
        ),
      ]
    )
    self._manager = ocp.CheckpointManager(
      self._folder,
      options=ocp.CheckpointManagerOptions(
        preservation_policy=keep,
        # Without a best_fn Orbax keeps no metrics at all, and the policy above would see none.
        best_fn=_badness,
        best_mode='min',
        cleanup_tmp_directories=True,
        # Renamed first: a kill while files are removed would leave a checkpoint that looks damaged.
        todelete_subdir=_REMOVED,
        async_options=ocp.AsyncOptions(post_finalization_callback=self._add_sums),
      ),
      item_names=('state', 'progress'),
    )
    return self._manager

  def _add_sums(self) -> None:
    """Called by Orbax when all files are written and the folder still has its temporary name."""
    (folder,) = self._folder.glob(f'{self._writing}.*')
    checksums.write(folder)

  @contextlib.contextmanager
  def _explained(self) -> Iterator[None]:
    try:
      yield
    except types.UserError:
      raise
    except Exception as error:
      raise types.RunError(
        f'{self._folder}: a checkpoint could not be written ({_line(error)}); those before it are kept, and the same '
        'command continues from there'
      ) from error


def _line(error: BaseException) -> str:
  """What the system said, wherever in the chain of errors it stands; else the error itself, in one line."""
  link: BaseException | None = error
  while link is not None:
    if isinstance(link, OSError) and link.strerror:
      return link.strerror
    known = next((said for said in _SAID if said in str(link)), None)
    if known:
      return known
    link = link.__cause__ or link.__context__
  return ' '.join(str(error).split())[:200] or type(error).__name__


# What TensorStore wraps in long texts.
_SAID = tuple(
  os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO)
)
