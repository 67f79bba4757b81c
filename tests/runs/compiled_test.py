"""Jobs of equal networks and settings share their programs; others do not, and each asks for memory itself."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset, reading
from bloodcell_jax.models import zoo
from bloodcell_jax.runs import job, resident_updates
from bloodcell_jax.system import memory
from bloodcell_jax.train import signals
from configs import default

TRACED = '/jax/core/compile/jaxpr_trace_duration'
CHANGES = {
  'data.embedded.num_train': 3, 'data.embedded.num_test': 1, 'data.embedded.num_copies': 1,
  'data.embedded.height': 48, 'data.embedded.width': 64, 'data.image_size': 32, 'data.pipeline': 'numpy',
  'data.cache': 'memory', 'data.validation_fraction': 0.5, 'model.name': 'cnn_svr', 'train.batch_size': 4,
  'train.num_devices': 1, 'evaluate.batch_size': 4, 'evaluate.tta': 'mirrors',
}  # fmt: skip


def resolve(**changes: Any) -> experiment.Experiment:
  return experiment.resolve(experiment.nest({**experiment.flat(default.get_config()), **CHANGES, **changes}))


@functools.cache
def images() -> dataset.Dataset:
  exp = resolve()
  return reading.build(exp.data, exp.seed, '/nonexistent', lambda done, total: None)


def build(**changes: Any) -> job.Job:
  exp = resolve(**changes)
  return job.Job(exp, images(), exp.transform.standardize, None, signals.Stop())


def use(made: job.Job) -> list[np.ndarray]:
  """Outputs, outputs with the embedding, and all weights after an update."""
  batch, stage = next(iter(made.in_order(made.data.rows['train']))), made.experiment.stages[0]
  state = made.initial_state(stage, made.params, 0)
  state, _ = made.train_step(stage, made.model)(state, batch, made.dropout_key(), np.float32(1))
  weights = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(state.params)])
  return [made.apply_with_tta(made.params, batch), made.apply_with_embedding(made.params, batch), weights]


def traces(call: Callable[[], object]) -> int:
  """How many functions a call traces that take longer than a single operation does."""
  seconds: list[float] = []

  def listen(name: str, duration: float, **more: object) -> None:
    if name == TRACED:
      seconds.append(duration)

  jax.monitoring.register_event_duration_secs_listener(listen)
  try:
    call()
  finally:
    jax.monitoring.unregister_event_duration_listener(listen)
  return len(seconds)


def test_jobs_that_differ_in_their_seed_trace_nothing_anew_and_others_do():
  first, second = build(seed=0), build(seed=1)
  answers = use(first)
  assert traces(lambda: use(second)) == 0
  # Negative controls: the answers are those of other weights, and another network or loss is traced.
  assert all(np.abs(a - b).max() > 0 for a, b in zip(answers, use(second), strict=True))
  for changes in ({'model.dropout_rate': 0.1}, {'train.label_smoothing': 0.3}, {'optimizer.momentum': 0.7}):
    assert traces(lambda changes=changes: use(build(**changes))) > 0, changes


def test_the_settings_of_a_step_reach_the_program():
  for name in ('train.label_smoothing', 'train.l2'):
    one, other = use(build(**{name: 0.2}))[-1], use(build(**{name: 0.4}))[-1]
    assert np.abs(one - other).max() > 0, name


def test_each_job_asks_for_memory_although_the_program_is_there(monkeypatch):
  first, second = build(seed=2), build(seed=3)
  batch = next(iter(first.in_order(first.data.rows['train'])))
  first.apply(first.params, batch)
  monkeypatch.setattr(memory, 'free', lambda device: 0)
  with pytest.raises(types.RunError, match=r'lower evaluate\.batch_size'):
    second.apply(second.params, batch)
  # Negative control: one that has asked does not ask again.
  first.apply(first.params, batch)


def test_a_checkpoint_is_read_by_shapes_that_are_those_of_a_state_without_computing_one(monkeypatch):
  made = build(**{'train.ema_momentum': 0.9})
  stage = made.experiment.stages[0]
  state = made.initial_state(stage, made.params, 0)
  monkeypatch.setattr(zoo, 'init', lambda *given: pytest.fail('computed'))
  template = build(**{'train.ema_momentum': 0.9}).template(stage.fit.name)
  expected, found = (
    jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.sharding), tree) for tree in (state, template)
  )
  assert found == expected
  # Negative control: without the moving average there are fewer.
  fewer = build().template(stage.fit.name)
  assert len(jax.tree.leaves(fewer)) < len(jax.tree.leaves(template))


def use_resident(made: job.Job) -> list[np.ndarray]:
  """All weights after a call of updates on images that lie on the device, and the figures of validation."""
  stage = made.experiment.stages[0]
  resident = resident_updates.build(made, stage, None)
  assert resident is not None
  batches = resident.batches(0)
  one = next(batches)
  batches.close()
  input_U = jax.tree.map(lambda *leaf_U: np.stack(leaf_U), *[one] * resident.many.size)
  state, _ = resident.many.step(
    made.initial_state(stage, made.params, 0), input_U, 1, made.dropout_key(), np.float32(1)
  )
  weights = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(state.params)])
  return [weights, np.array(list(resident.evaluate(made.params).values()))]


def test_updates_on_the_device_are_shared_as_well():
  on_device = {'data.pipeline': 'device', 'augment.rotation_range': 20.0, 'augment.zoom_range': (0.9, 1.1)}
  answers = use_resident(build(seed=0, **on_device))
  second = build(seed=1, **on_device)
  # Drawing the parameters of another seed is traced with the first.
  assert second.params is not None
  assert traces(lambda: use_resident(second)) == 0
  assert np.abs(answers[0] - use_resident(second)[0]).max() > 0
  for changes in ({'augment.fill_mode': 'constant'}, {'train.label_smoothing': 0.2}):
    assert traces(lambda changes=changes: use_resident(build(**on_device, **changes))) > 0, changes
