"""The phases of a run in a stage: what may be called when."""

from __future__ import annotations

import types as python_types

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.train import (
  checkpoint,
  checkpoint_folder,
  history,
  plan,
  progress,
  signals,
  state,
  step,
  tracker,
)

MONITORING = history.Spec('val_loss', 0.0, 0, 0, 0.5, 0.0)
Phase = tracker.Phase


class Disk:
  """A store that counts the saves."""

  num_saves = 0

  def save(self, saved: checkpoint.Saved, is_candidate: bool) -> None:
    self.num_saves += 1


def make_run(evaluate=lambda params: {'val_loss': 1.0, 'val_accuracy': 0.5}) -> tracker.RunTracker:
  """A run of one epoch of two steps."""

  def batches(start: int):
    while True:
      yield types.Batch(np.zeros((1, 1, 1, 3)), np.ones((1, 2)), np.ones(1), np.zeros(1, np.int32))

  parts = plan.Parts(
    step=lambda *_: None,
    many=None,
    batches=batches,
    evaluate=evaluate,
    learning_rate=optax.constant_schedule(0.1),
    batch_size=1,
    key=jnp.zeros(2),
    store=Disk(),  # type: ignore[arg-type]
    stop=signals.Stop(),
    progress=progress.Progress(),
    on_epoch=lambda records: None,
  )
  saved = checkpoint.Saved(make_state(), [], 0.0, checkpoint_folder.StageInfo('train', '', {}))
  return tracker.RunTracker(
    saved, plan.Stage('train', 1, MONITORING, True), plan.Spec(2, 1.0, 'epochs'), parts
  )


def make_state() -> state.State:
  fresh = state.create({'kernel': np.ones(2, np.float32)}, optax.sgd(0.1), False, 0)
  return fresh.replace(sums=state.Sums(jnp.float32(1), jnp.float32(1), jnp.float32(2)))


def update(run: tracker.RunTracker, finite: bool = True) -> None:
  _, waited = run.next_batch()
  run.record_update(step.Report(jnp.float32(1), jnp.float32(1), jnp.bool_(finite)), 1, waited)


def test_a_stage_goes_through_the_phases_in_their_order():
  run, now = make_run(), make_state()
  phases = [run.phase]
  for call in (
    run.begin_epoch,
    run.next_batch,
    lambda: run.record_update(step.Report(jnp.float32(1), jnp.float32(1), jnp.bool_(True)), 1, 0.0),
    lambda: update(run),
    run.end_training,
    lambda: run.evaluate(now),
    lambda: run.end_epoch(now),
    run.close,
  ):
    call()
    phases.append(run.phase)
  assert [phase.name for phase in phases] == [
    'BETWEEN_EPOCHS',
    'TRAINING',
    'UPDATING',
    'TRAINING',
    'TRAINING',
    'TRAINED',
    'EVALUATED',
    'FINISHED',
    'CLOSED',
  ]


@pytest.mark.parametrize('name', tracker.TRANSITIONS)
def test_a_method_in_another_phase_is_refused_by_its_name_and_the_phase(name):
  wrong = [phase for phase in Phase if phase not in tracker.TRANSITIONS[name]]
  assert bool(wrong) != (name == 'close'), 'only close is allowed everywhere'
  for phase in wrong:
    run = make_run()
    run.phase = phase
    with pytest.raises(AssertionError, match=f'^{name} called in phase {phase.name}$'):
      getattr(run, name)()


def test_every_public_method_stands_in_the_table_and_nothing_else():
  methods = {
    name
    for name, value in vars(tracker.RunTracker).items()
    if isinstance(value, python_types.FunctionType) and not name.startswith('_')
  }
  assert methods == set(tracker.TRANSITIONS)
  assert all(hasattr(getattr(tracker.RunTracker, name), '__wrapped__') for name in methods)


def test_a_stop_within_the_evaluation_leaves_the_epoch_to_be_evaluated():
  def stop(params):
    raise signals.Stopped

  run = make_run(stop)
  run.begin_epoch()
  update(run)
  update(run)
  run.end_training()
  with pytest.raises(signals.Stopped):
    run.evaluate(make_state())
  assert (run.phase, run.records) == (Phase.TRAINED, [])
  run.save(make_state())


@pytest.mark.parametrize('finite', [True, False])
def test_nothing_is_saved_of_an_update_that_is_not_finite(finite):
  run = make_run()
  run.begin_epoch()
  update(run, finite)
  if finite:
    run.save(make_state())
  else:
    with pytest.raises(types.RunError, match='step 1: the loss'):
      run.save(make_state())
  assert run.parts.store.num_saves == int(finite)
