"""What a kill costs at most: one interval of `train.checkpoint_every`, whatever it is counted in."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.optim import keras
from bloodcell_jax.train import (
  checkpoint,
  checkpoint_folder,
  history,
  loop,
  plan,
  progress,
  signals,
  state,
  step,
)

OPTIMIZER = keras.Spec('sgd', 0.1, 0.0, 0.9, 0.9, False, 0.9, 0.999, 1e-7, 0.0, 0.0, 0.0)
PLAN = history.Spec('val_loss', 0.0, 0, 0, 0.5, 0.0)
STEPS, EPOCHS, SECONDS = 5, 4, 20.0
STAGE_INFO = checkpoint_folder.StageInfo('train', '', {})


class Killed(Exception):
  """Stands for a kill."""


class Disk:
  """A store whose writing takes no time."""

  def __init__(self) -> None:
    self.newest: checkpoint.Saved | None = None

  def save(self, saved: checkpoint.Saved, is_candidate: bool) -> None:
    self.newest = saved

  def wait(self) -> None:
    """Nothing is under way."""


def run(disk: Disk, every: float, unit: str, kill_at: int, monkeypatch) -> None:
  """A run, each of whose updates takes SECONDS, that ends before this update."""
  clock = [0.0]
  monkeypatch.setattr(time, 'monotonic', lambda: clock[0])

  def update(current: Any, *rest: Any) -> Any:
    if int(current.step) == kill_at:
      raise Killed
    clock[0] += SECONDS
    report = step.Report(jnp.float32(1), jnp.float32(0.5), jnp.bool_(True))
    sums = dataclasses.replace(current.sums, weight=current.sums.weight + 1)
    return dataclasses.replace(current, step=current.step + 1, sums=sums), report

  def batches(start: int) -> Any:
    while True:
      yield types.Batch(np.zeros((1, 1, 1, 3)), np.ones((1, 2)), np.ones(1), np.zeros(1, np.int32))

  parts = plan.Parts(
    step=update,
    many=None,
    batches=batches,
    # Ever worse, so that no epoch but the first is saved for being the best.
    evaluate=lambda params: {'val_loss': clock[0], 'val_accuracy': 0.5},
    learning_rate=keras.schedule(OPTIMIZER),
    batch_size=1,
    key=jax.random.key(0),
    store=disk,  # type: ignore[arg-type]
    stop=signals.Stop(),
    progress=progress.Progress(),
    on_epoch=lambda records: None,
  )
  fresh = state.create({'dense': {'kernel': np.ones((2, 2), np.float32)}}, keras.build(OPTIMIZER), False, 0)
  begin = disk.newest or checkpoint.Saved(fresh, [], 0.0, STAGE_INFO)
  loop.fit(begin, plan.Stage('train', EPOCHS, PLAN, True), plan.Spec(STEPS, every, unit), parts)


def lost(every: float, unit: str, kill_at: int, monkeypatch) -> int:
  """The updates that have to be made again after a kill before this one."""
  disk = Disk()
  with pytest.raises(Killed):
    run(disk, every, unit, kill_at, monkeypatch)
  return kill_at - (int(disk.newest.state.step) if disk.newest else 0)


@pytest.mark.parametrize(
  ('every', 'unit', 'most'),
  [
    (1.0, 'steps', 1),
    (3.0, 'steps', 3),
    (1.0, 'epochs', STEPS),
    (2.0, 'epochs', 2 * STEPS),
    (1.0, 'minutes', 3),
  ],
)
def test_a_kill_costs_at_most_one_interval(every, unit, most, monkeypatch):
  costs = [lost(every, unit, kill_at, monkeypatch) for kill_at in range(STEPS * EPOCHS)]
  assert max(costs) <= most
  # The bound is not a wide one: some kill costs nearly all of it.
  assert max(costs) >= most - 1
