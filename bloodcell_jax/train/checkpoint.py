"""Checkpoints of a run: the latest two and the best one, written atomically and verified when they are read."""

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
from bloodcell_jax.train import checkpoint_folder, checksums, history
from bloodcell_jax.train import state as state_lib


@dataclasses.dataclass(frozen=True)
class Saved:
  """The state of a run, at its start or in a checkpoint."""

  state: state_lib.State
  records: list[history.Record]  # of the epochs finished
  seconds: float  # spent so far in the unfinished epoch
  stage_info: checkpoint_folder.StageInfo


# Holds checkpoints that are being deleted; `atomic.clear` knows the name.
_REMOVED = '.removed.00000000.tmp'


def _badness(metrics: Any) -> float:
  return metrics['badness']


class Store:
  """The `checkpoints/` folder of a run.

  A checkpoint's number counts the saves of the run and not its steps: the same step can be saved twice, before
  and after its evaluation. Files are written in the background; `close` waits for them.

  **Guarantees**: a checkpoint gets its name once all its files and checksums are on the disk. A damaged one is never
  read: it is reported on standard error, and the newest undamaged one before it is used if the best epoch up to there
  is undamaged as well. Reading changes no file. Before the first save, damaged checkpoints and those newer than the
  one that was used are renamed.

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
    # Epoch of the best checkpoint, and its monitored figure (lower is better).
    self._best: tuple[int, float] | None = None
    self._checkpoints = checkpoint_folder.CheckpointFolder(self._folder)
    self._find()

  def save(self, saved: Saved, is_candidate: bool) -> None:
    """Starts to write a checkpoint.

    Args:
      saved: the state, with the record of this epoch if it has been evaluated.
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
      'stamp': {**vars(saved.stage_info), 'pixels': dict(saved.stage_info.pixels)},
      'best': self._best,
    }
    with self._write_errors():
      manager = self._opened()
      # `_add_sums` looks for one unfinished folder.
      manager.wait_until_finished()
      self._remove()
      self._writing = (manager.latest_step() or 0) + 1
      manager.save(
        self._writing,
        args=ocp.args.Composite(state=ocp.args.StandardSave(state), progress=ocp.args.JsonSave(progress)),
        metrics=None if badness is None else {'badness': badness},
      )

  def stage_info(self) -> checkpoint_folder.StageInfo | None:
    """The stage of the newest checkpoint; None where there is none yet."""
    self._find()
    return None if self._checkpoints.used is None else self._checkpoints.stage_info(self._checkpoints.used)

  def num_epochs(self) -> int:
    """How many epochs are finished in the newest checkpoint; no state is read."""
    self.wait()
    self._find()
    return (
      0
      if self._checkpoints.used is None
      else len(self._checkpoints.progress(self._checkpoints.used)['records'])
    )

  def latest(self, like: Callable[[checkpoint_folder.StageInfo], state_lib.State]) -> Saved | None:
    """The newest checkpoint; None where there is none yet. `like` gives a state with its stage's shapes and dtypes.

    Raises:
      UserError: there are checkpoints, but the run can continue from none.
    """
    self.wait()
    self._find()
    return None if self._checkpoints.used is None else self._read(self._checkpoints.used, like)

  def best(self, like: Callable[[checkpoint_folder.StageInfo], state_lib.State]) -> Saved:
    """The checkpoint whose epoch had the best monitored figure.

    Raises:
      UserError: there is none, or the run can continue from none.
    """
    self.wait()
    self._find()
    number = None if self._checkpoints.used is None else self._checkpoints.best(self._checkpoints.used)
    if number is None:
      raise types.UserError(f'{self._folder}: no checkpoint of a finished epoch; train first')
    return self._read(number, like)

  def wait(self) -> None:
    """Waits until everything is on the disk. Raises RunError where that fails."""
    if self._manager is not None:
      with self._write_errors():
        self._manager.wait_until_finished()
        self._remove()

  def close(self) -> None:
    """Waits, then releases the folder. Raises RunError where the last checkpoint could not be written."""
    if self._manager is not None:
      with self._write_errors():
        self._manager.close()
        self._remove()

  def _remove(self) -> None:
    """Deletes the checkpoints that are no longer kept."""
    shutil.rmtree(self._folder / _REMOVED, ignore_errors=True)

  def _find(self) -> None:
    self._checkpoints.look()
    if self._checkpoints.used is not None and self._manager is None:
      best = self._checkpoints.best(self._checkpoints.used)
      self._best = (
        None if best is None else (self._checkpoints.epoch(best), self._checkpoints.badness(best) or 0.0)
      )

  def _read(self, number: int, like: Callable[[checkpoint_folder.StageInfo], state_lib.State]) -> Saved:
    progress = self._checkpoints.progress(number)
    stage_info = checkpoint_folder.StageInfo(**progress['stamp'])
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like(stage_info))
    folder = self._checkpoints.path(number)
    try:
      handler = ocp.StandardCheckpointHandler(multiprocessing_options=_processes())
      with ocp.Checkpointer(handler, multiprocessing_options=_processes()) as reader:
        state = reader.restore(folder / 'state', args=ocp.args.StandardRestore(abstract))
    except Exception as error:
      # With valid checksums the reason is another one, such as memory.
      if checksums.are_known(folder):
        raise
      raise types.UserError(
        f'{folder}: cannot be read ({_line(error)}); restore it from a copy, or move it away, and the run continues '
        'from the one before'
      ) from None
    records = [history.Record(**record) for record in progress['records']]
    return Saved(state, records, progress['seconds'], stage_info)

  def _opened(self) -> ocp.CheckpointManager:
    """Orbax' manager, created at the first save, because creating it changes the folder."""
    if self._manager is not None:
      return self._manager
    for number in self._checkpoints.unusable:
      aside = self._folder / f'damaged-{number}'
      while aside.exists():
        aside = aside.with_name(f'{aside.name}-again')
      self._checkpoints.path(number).rename(aside)
      print(f'{aside}: set aside; remove it when you no longer want it', file=sys.stderr, flush=True)
    keep = checkpoint_managers.AnyPreservationPolicy(
      [
        checkpoint_managers.LatestN(2),
        checkpoint_managers.BestN(
          get_metric_fn=_badness, reverse=True, n=1, keep_checkpoints_without_metrics=False
        ),
      ]
    )
    among = _processes()
    self._folder.mkdir(parents=True, exist_ok=True)
    self._manager = ocp.CheckpointManager(
      self._folder,
      options=ocp.CheckpointManagerOptions(
        preservation_policy=keep,
        # Without a best_fn Orbax passes no metrics to the policy above.
        best_fn=_badness,
        best_mode='min',
        cleanup_tmp_directories=True,
        # Renamed before it is deleted: a kill in between would leave a checkpoint that looks damaged.
        todelete_subdir=_REMOVED,
        async_options=ocp.AsyncOptions(post_finalization_callback=self._add_sums),
        create=False,
        multiprocessing_options=among,
      ),
      item_handlers={
        'state': ocp.StandardCheckpointHandler(multiprocessing_options=among),
        'progress': ocp.JsonCheckpointHandler(multiprocessing_options=among),
      },
    )
    return self._manager

  def _add_sums(self) -> None:
    """Called by Orbax when all files are written and the folder still has its temporary name."""
    (folder,) = self._folder.glob(f'{self._writing}.*')
    checksums.write(folder)

  @contextlib.contextmanager
  def _write_errors(self) -> Iterator[None]:
    try:
      yield
    except types.UserError:
      raise
    except Exception as error:
      raise types.RunError(
        f'{self._folder}: a checkpoint could not be written ({_line(error)}); earlier ones are kept, and the same '
        'command continues from there'
      ) from error


def _processes() -> Any:
  """For Orbax, which otherwise waits for all hosts: this one saves and reads alone."""
  if jax.process_count() == 1:
    return ocp.options.MultiprocessingOptions()
  return ocp.options.MultiprocessingOptions(
    primary_host=jax.process_index(), active_processes={jax.process_index()}
  )


def _line(error: BaseException) -> str:
  """The operating system's message anywhere in the chain of errors; else the error itself, in one line."""
  link: BaseException | None = error
  while link is not None:
    if isinstance(link, OSError) and link.strerror:
      return link.strerror
    known = next((message for message in _MESSAGES if message in str(link)), None)
    if known:
      return known
    link = link.__cause__ or link.__context__
  return ' '.join(str(error).split())[:200] or type(error).__name__


# TensorStore wraps these in long texts.
_MESSAGES = tuple(
  os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO)
)
