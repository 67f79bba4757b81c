"""Checkpoints: the latest two and the best one, each whole or not there."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from bloodcell_jax import types
from bloodcell_jax.train import history
from bloodcell_jax.train import state as state_lib


@dataclasses.dataclass(frozen=True)
class Stamp:
  """What a checkpoint says of the stage it belongs to."""

  stage: str  # its name
  frozen: str  # fingerprint of the weights that the stage does not train; empty where it trains all
  pixels: Mapping[str, Any]  # how an image's grey levels become the network's input, for those who load it


@dataclasses.dataclass(frozen=True)
class Saved:
  """Where a run stands: at its start, or as a checkpoint says."""

  state: state_lib.State
  records: list[history.Record]  # of the epochs finished
  seconds: float  # spent in the epoch under way
  stamp: Stamp


def _badness(metrics: Any) -> float:
  return metrics['badness']


class Store:
  """The `checkpoints/` folder of a run.

  A checkpoint's number counts the saves of the run and not its steps: the same step can be saved twice, before
  and after its evaluation. Writing goes on in the background; `close` waits for it.
  """

  def __init__(self, directory: str | os.PathLike[str], monitor: str):
    keep = checkpoint_managers.AnyPreservationPolicy(
      [
        checkpoint_managers.LatestN(2),
        checkpoint_managers.BestN(
          get_metric_fn=_badness, reverse=True, n=1, keep_checkpoints_without_metrics=False
        ),
      ]
    )
    self._monitor = monitor
    self._manager = ocp.CheckpointManager(
      pathlib.Path(directory).absolute(),
      options=ocp.CheckpointManagerOptions(
        preservation_policy=keep,
        # Without a best_fn Orbax keeps no metrics at all, and the policy above would see none.
        best_fn=_badness,
        best_mode='min',
        cleanup_tmp_directories=True,
      ),
      item_names=('state', 'progress'),
    )

  def save(self, saved: Saved, is_candidate: bool) -> None:
    """Starts to write one checkpoint; its records end with this epoch's if it has been evaluated.

    Args:
      saved: where the run stands.
      is_candidate: whether it may be the best.
    """
    state, records = saved.state, saved.records
    # Copied, because the step donates these arrays while the writing goes on.
    state = jax.tree.map(lambda x: np.array(x, copy=True), state)
    progress = {
      'records': [dataclasses.asdict(record) for record in records],
      'seconds': saved.seconds,
      'stamp': {**vars(saved.stamp), 'pixels': dict(saved.stamp.pixels)},
    }
    ranked = is_candidate and bool(records) and records[-1].step == int(state.step)
    self._manager.save(
      (self._manager.latest_step() or 0) + 1,
      args=ocp.args.Composite(state=ocp.args.StandardSave(state), progress=ocp.args.JsonSave(progress)),
      metrics={'badness': history.badness(records[-1], self._monitor)} if ranked else None,
    )

  def stamp(self) -> Stamp | None:
    """What the newest checkpoint says of itself, or None where there is none yet."""
    number = self._manager.latest_step()
    return None if number is None else Stamp(**self._progress(number)['stamp'])

  def latest(self, like: Callable[[Stamp], state_lib.State]) -> Saved | None:
    """The newest checkpoint, or None where there is none yet. `like` gives a state of its stage's shapes and dtypes."""
    number = self._manager.latest_step()
    return None if number is None else self._read(number, like)

  def best(self, like: Callable[[Stamp], state_lib.State]) -> Saved:
    """The checkpoint whose epoch had the best monitored figure."""
    self._manager.wait_until_finished()
    number = self._manager.best_step()
    if number is None:
      raise types.UserError(f'{self._manager.directory}: no checkpoint of a finished epoch; train first')
    return self._read(number, like)

  def _progress(self, number: int) -> dict[str, Any]:
    return self._manager.restore(number, args=ocp.args.Composite(progress=ocp.args.JsonRestore()))['progress']

  def _read(self, number: int, like: Callable[[Stamp], state_lib.State]) -> Saved:
    progress = self._progress(number)
    stamp = Stamp(**progress['stamp'])
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like(stamp))
    restored = self._manager.restore(
      number, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract))
    )
    records = [history.Record(**record) for record in progress['records']]
    return Saved(restored['state'], records, progress['seconds'], stamp)

  def wait(self) -> None:
    """Returns once everything is on disk."""
    self._manager.wait_until_finished()

  def close(self) -> None:
    """Waits, then frees the folder."""
    self._manager.close()
