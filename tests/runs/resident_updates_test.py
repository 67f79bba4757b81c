"""Training on images that lie on the device: what the host's pipeline trains, continued to the same bits."""

from __future__ import annotations

import dataclasses
import functools

import few_filters
import jax
import numpy as np
import pytest

from bloodcell_jax.base import tree, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset, reading
from bloodcell_jax.runs import cost, forward, frozen_features, job, resident_updates, stage_training
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import checkpoint, devices, plan, progress, signals
from configs import default, finetune

CHANGES = {
  'data.embedded.num_train': 8, 'data.embedded.num_test': 1, 'data.embedded.num_copies': 2,
  'data.embedded.height': 48, 'data.embedded.width': 64, 'data.image_size': 32, 'data.cache': 'memory',
  'data.validation_fraction': 0.5, 'model.name': 'cnn_svr', 'train.batch_size': 6, 'train.epochs': 2,
  'train.steps_per_epoch': 6, 'train.num_devices': 1, 'optimizer.name': 'sgd', 'optimizer.learning_rate': 0.01,
  'augment.rotation_range': 20.0, 'augment.horizontal_flip': True, 'augment.quarter_turns': True,
  'data.pipeline': 'device',
}  # fmt: skip


def resolve(**changes) -> experiment.Experiment:
  return experiment.resolve(experiment.nest({**experiment.flat(default.get_config()), **CHANGES, **changes}))


@functools.cache
def images() -> dataset.Dataset:
  exp = resolve()
  return reading.build(exp.data, exp.seed, '/nonexistent', lambda done, total: None)


def make(**changes) -> job.Job:
  exp = resolve(**changes)
  return job.Job(exp, images(), exp.transform.standardize, None, signals.Stop())


class Killed(Exception):
  """Stands for a process that ends without a word."""


def run(folder, monkeypatch=None, kill_at=None, **changes):
  """The state and the records after a run in `folder`, killed before the call that would make this update."""
  made, original = make(**changes), resident_updates.build

  def build(*args):
    built = original(*args)
    if built is None or kill_at is None:
      return built

    def step(current, input_U, num, *rest):
      if int(current.step) + num > kill_at:
        raise Killed
      return built.many.step(current, input_U, num, *rest)

    return dataclasses.replace(built, many=plan.Many(built.many.size, step))

  if kill_at is not None:
    monkeypatch.setattr(resident_updates, 'build', build)
  place = workdir.Workdir(folder)
  try:
    records = stage_training.run(made, None, place, progress.Progress())
  finally:
    monkeypatch.undo() if monkeypatch else None
  store = checkpoint.Store(place.checkpoints, made.experiment.monitor)
  found = store.latest(lambda stage_info: made.template(stage_info.stage))
  store.close()
  return found.state, records


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
  return functools.cache(lambda **changes: run(tmp_path_factory.mktemp('undisturbed'), **changes))


def same_bits(a, b) -> bool:
  pairs = zip(jax.tree.leaves(a[0]), jax.tree.leaves(b[0]), strict=True)
  losses = [[(r.epoch, r.step, r.loss, r.val_loss) for r in records] for _, records in (a, b)]
  return all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in pairs) and losses[0] == losses[1]


def close(a, b) -> None:
  for name, leaf in tree.names(a[0].params).items():
    np.testing.assert_allclose(leaf, tree.names(b[0].params)[name], atol=2e-5, err_msg=name)
  for x, y in zip(a[1], b[1], strict=True):
    assert (x.loss, x.val_loss) == pytest.approx((y.loss, y.val_loss), rel=1e-3)


def test_the_device_trains_what_tf_data_trains(undisturbed, tmp_path):
  host = run(tmp_path / 'host', **{'data.pipeline': 'tf_data'})
  close(undisturbed(), host)
  assert [record.step for record in undisturbed()[1]] == [6, 12]
  with pytest.raises(AssertionError):
    close(
      undisturbed(), run(tmp_path / 'plain', **{'data.pipeline': 'tf_data', 'augment.quarter_turns': False})
    )


def test_two_devices_train_what_one_does(undisturbed, tmp_path):
  close(undisturbed(), run(tmp_path, **{'train.num_devices': 2}))


def test_a_run_killed_twice_continues_to_the_same_bits(undisturbed, tmp_path, monkeypatch):
  # Checkpoints every second update: calls end elsewhere than in the run that saves at the ends of its epochs.
  often = {'train.checkpoint_unit': 'steps', 'train.checkpoint_every': 2.0}
  for kill_at in (3, 8):
    with pytest.raises(Killed):
      run(tmp_path, monkeypatch, kill_at, **often)
  assert same_bits(run(tmp_path), undisturbed())
  assert not same_bits(run(tmp_path / 'other', seed=1), undisturbed())


def test_a_loss_that_is_not_finite_names_its_step_within_a_call(tmp_path, monkeypatch):
  original = resident_updates.build

  def build(*args):
    built = original(*args)

    def step(*given):
      state, report_U = built.many.step(*given)
      return state, dataclasses.replace(report_U, finite=report_U.finite.at[2].set(False))

    return dataclasses.replace(built, many=plan.Many(built.many.size, step))

  monkeypatch.setattr(resident_updates, 'build', build)
  with pytest.raises(types.RunError, match=r'^step 3: the loss, a gradient or an update is not finite'):
    run(tmp_path)
  assert not list((tmp_path / 'checkpoints').glob('[0-9]*')), 'nothing of it is saved'


def test_images_that_do_not_fit_are_refused_with_what_to_do(monkeypatch, tmp_path):
  monkeypatch.setattr(resident_updates.memory, 'free', lambda device: 1000)
  with pytest.raises(
    types.RunError, match=r'the training images on each device: .*; set data\.pipeline=tf_data'
  ):
    run(tmp_path)


def test_cached_features_lie_on_the_device_too(tmp_path):
  changes = {
    **{key: CHANGES[key] for key in CHANGES if key.startswith('data.') and key != 'data.image_size'},
    'data.image_size': 36, 'weights.path': '', 'augment.preprocessing_function': '', 'augment.rescale': 1 / 255,
    'train.batch_size': 4, 'train.num_devices': 1, 'train.steps_per_epoch': 5, 'stages.head.epochs': 1,
    'stages.block5.epochs': 1,
  }  # fmt: skip
  with few_filters.blocks(((2, 4), (2, 6), (3, 8), (3, 12), (3, 16))):
    found = {}
    for pipeline in ('device', 'numpy'):
      flat = {**experiment.flat(finetune.get_config('sgd')), **changes, 'data.pipeline': pipeline}
      exp = experiment.resolve(experiment.nest(flat))
      data = reading.build(exp.data, exp.seed, '/nonexistent', lambda done, total: None)
      made = job.Job(exp, data, exp.transform.standardize, None, signals.Stop())
      shown, stage = progress.Progress(), exp.stages[1]
      features = frozen_features.build(made, stage, made.params, tmp_path, shown)
      assert features is not None
      resident = resident_updates.build(made, stage, features)
      assert (resident is None) == (pipeline == 'numpy')
      state, place = made.initial_state(stage, made.params, 0), workdir.Workdir(tmp_path / pipeline)
      with stage_training.opened(made, place) as (store, on_epoch):
        parts = stage_training.parts(made, stage, features, shown, store, on_epoch, made.stop)
        batches = parts.batches(0)
        for _ in range(2):
          one = next(batches)
          if parts.many:
            input_U = jax.tree.map(lambda *leaf_U: np.stack(leaf_U), *[one] * parts.many.size)
            state, _ = parts.many.step(state, input_U, 1, parts.key, np.float32(1))
          else:
            state, _ = parts.step(state, one, parts.key, np.float32(1))
      found[pipeline] = tree.names(state.params)
  moved = 0.0
  for name, leaf in found['device'].items():
    np.testing.assert_allclose(leaf, found['numpy'][name], atol=1e-6, err_msg=name)
    moved = max(moved, np.abs(np.asarray(leaf) - np.asarray(tree.names(made.params)[name])).max())
  assert moved > 3e-5, 'the tolerance is far below what training does'


def test_the_validation_is_that_of_the_host():
  made = make(**{'evaluate.batch_size': 7, 'train.num_devices': 2})
  stage = made.experiment.stages[0]
  resident = resident_updates.build(made, stage, None)
  assert len(made.data.rows['validation']) % 7, 'the last batch is padded'
  expected = made.evaluator(stage)(made.params)
  assert resident.evaluate(made.params) == pytest.approx(expected, rel=1e-5)
  other = jax.tree.map(lambda leaf: 1.1 * leaf, made.params)
  assert resident.evaluate(other) != pytest.approx(expected, rel=1e-5)


def test_what_an_update_costs_is_measured_there_too():
  measured = cost.measure(resolve(), ('a', 'b'), signals.Stop())
  assert measured.update_seconds[0] > 0


@pytest.mark.parametrize('pipeline', ['device', 'numpy'])
def test_updates_on_cached_features_are_timed_as_they_are_made(monkeypatch, pipeline):
  """On the devices where the features will lie there, in both stages; else fed by the host."""
  changes = {
    'data.image_size': 36, 'weights.path': '', 'augment.preprocessing_function': '', 'train.batch_size': 4,
    'train.num_devices': 1, 'stages.feature_dtype': 'bfloat16', 'data.pipeline': pipeline, 'evaluate.batch_size': 4,
  }  # fmt: skip
  placed, place = [], resident_updates._place

  def kept(image_NHWC, split, on):
    placed.append((split, image_NHWC.shape[1:], str(image_NHWC.dtype)))
    return place(image_NHWC, split, on)

  monkeypatch.setattr(resident_updates, '_place', kept)
  with few_filters.blocks(((2, 4), (2, 6), (3, 8), (3, 12), (3, 16))):
    exp = experiment.resolve(experiment.nest({**experiment.flat(finetune.get_config('sgd')), **changes}))
    measured = cost.measure(exp, ('a', 'b'), signals.Stop())
  assert measured.is_cached
  assert all(seconds > 0 for seconds in measured.update_seconds)
  features = [('training', (1, 1, 16), 'bfloat16'), ('training', (2, 2, 12), 'bfloat16')]
  assert placed == (features if pipeline == 'device' else [])


def test_an_evaluation_moves_the_parameters_to_the_devices_once_and_not_with_each_batch(monkeypatch):
  made, moved = make(**{'evaluate.batch_size': 7, 'train.num_devices': 2}), []
  replicate = devices.replicate

  def counted(tree, on):
    found = replicate(tree, on)
    moved.append(found is not tree)
    return found

  monkeypatch.setattr(devices, 'replicate', counted)
  made.predict(made.params, 'validation')
  num_batches = len(list(made.in_order(made.data.rows['validation'])))
  assert num_batches > 1
  assert moved == [True, *[False] * num_batches], 'before the first batch'
  moved.clear()
  rows = made.data.rows['validation']
  forward.run(made.apply, made.params, made.in_order(rows), made.data.table.take(rows), made.poll)
  assert moved == [True] * num_batches, 'of parameters that lie elsewhere each batch moves them'
