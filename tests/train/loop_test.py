"""The training loop on both of the study's networks: interrupted anywhere, it ends in the same bits."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import time

import jax
import numpy as np
import pytest

from bloodcell_jax.base import rng, tree, types
from bloodcell_jax.data import stream
from bloodcell_jax.models import zoo
from bloodcell_jax.optim import keras
from bloodcell_jax.train import (
  checkpoint,
  checkpoint_folder,
  devices,
  history,
  loop,
  plan,
  progress,
  signals,
  state,
  step,
)

SIZES = {'cnn_a': 46, 'cnn_b': 94}
OPTIMIZER = keras.Spec('rmsprop', 1e-3, 1e-4, 0.9, 0.0, False, 0.9, 0.999, 1e-7, 0.0, 0.0, 0.0)
PLAN = history.Spec('val_loss', 0.0, 0, 0, 0.5, 0.0)
EPOCHS, STEPS, BATCH = 3, 3, 4
STAGE_INFO = checkpoint_folder.StageInfo('train', '', {})


@functools.cache
def parts_of(name: str):
  """Arrays, network, parameters and compiled step; compiled once for all tests."""
  generator = np.random.default_rng(0)
  image_NHWC = generator.integers(0, 256, (14, SIZES[name], SIZES[name], 3), np.uint8)
  label_N = np.arange(14, dtype=np.int32) % 4
  arrays = stream.Arrays(image_NHWC, stream.one_hot(label_N, 4), np.ones(14, np.float32))
  model = zoo.build(zoo.Spec(name, 0.4, 'flatten', 8, 3, 1, False), 4)
  params = zoo.init(model, SIZES[name], 0)

  def apply(params, image_BHWC, position_B, key):
    return model.apply({'params': params}, image_BHWC, position_B, True, rngs={'dropout': key})

  tx = keras.build(OPTIMIZER)
  everything = jax.tree.map(lambda leaf: True, params)
  update = step.make(apply, step.softmax(0.0, 0.0), tx, 0.9, everything, devices.AXIS)
  made = devices.make_train(update, devices.devices(0, 'pmap'))
  return arrays, params, tx, made


class Interrupted(Exception):
  """Stands for a kill: raised where a test wants the run to end."""


def fit(
  name,
  folder,
  *,
  epochs=EPOCHS,
  seed=0,
  kill_at=None,
  stop_at=None,
  start_wrong=0,
  unit='epochs',
  poison=None,
  lost=None,
):
  """Trains in `folder`; `kill_at` ends the process' part before this step, `stop_at` asks it to stop there."""
  arrays, params, tx, made = parts_of(name)
  store = checkpoint.Store(folder, 'val_loss')
  stop, evaluated = signals.Stop(), []

  def train(current, batch, key, scale):
    now = int(current.step)
    if now == kill_at:
      raise Interrupted
    if now == stop_at:
      stop.requested = True
    if now == poison:
      batch = dataclasses.replace(batch, image_BHWC=np.full_like(batch.image_BHWC, np.nan))
    return made(current, batch, key, scale)

  def evaluate(params):
    value = float(sum(abs(np.asarray(leaf)).sum() for leaf in jax.tree.leaves(params)))
    evaluated.append(value)
    value = float('nan') if len(evaluated) == lost else value
    return {'val_loss': value, 'val_accuracy': 0.5}

  rows = np.arange(14)
  made_parts = plan.Parts(
    step=train,
    many=None,
    batches=lambda start: stream.training(
      arrays, rows, BATCH, seed, start + start_wrong * (start > 0), lambda x: x.astype(np.float32) / 255
    ),
    evaluate=evaluate,
    learning_rate=keras.schedule(OPTIMIZER),
    batch_size=BATCH,
    key=rng.key(seed, 'dropout'),
    store=store,
    stop=stop,
    progress=progress.Progress(),
    on_epoch=lambda records: None,
  )
  spec = plan.Spec(STEPS, 1.0 if unit == 'epochs' else 2.0, unit)
  fresh = state.create(params, tx, True, 0)
  begin = store.latest(lambda stage_info: fresh) or checkpoint.Saved(fresh, [], 0.0, STAGE_INFO)
  try:
    return loop.fit(begin, plan.Stage('train', epochs, PLAN, True), spec, made_parts)
  finally:
    store.close()


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
  return functools.cache(lambda name: fit(name, tmp_path_factory.mktemp(name)))


def same(a, b) -> None:
  """State bit for bit; history but for the seconds."""
  for x, y in zip(jax.tree.leaves(a[0]), jax.tree.leaves(b[0]), strict=True):
    np.testing.assert_array_equal(x, y)

  def timeless(records):
    return [dataclasses.replace(r, seconds=0.0, images_per_second=0.0, wait_share=0.0) for r in records]

  assert timeless(a[1]) == timeless(b[1])


# What goes wrong after any of several interruptions of one run would be in its bits at the end.
@pytest.mark.parametrize('name', SIZES)
def test_a_run_killed_again_and_again_continues_to_the_same_bits(name, undisturbed, tmp_path):
  for kill_at in (2, 3, 4, 7, 8):
    with pytest.raises(Interrupted):
      fit(name, tmp_path, kill_at=kill_at)
  same(fit(name, tmp_path), undisturbed(name))


@pytest.mark.parametrize('name', SIZES)
def test_a_run_stopped_again_and_again_continues_to_the_same_bits(name, undisturbed, tmp_path):
  for stop_at in (0, 2, 4):
    with pytest.raises(signals.Stopped):
      fit(name, tmp_path, stop_at=stop_at)
  same(fit(name, tmp_path), undisturbed(name))


def test_a_run_lengthened_after_any_epoch_is_the_long_run(undisturbed, tmp_path):
  for epochs in (1, 2):
    fit('cnn_a', tmp_path, epochs=epochs)
  same(fit('cnn_a', tmp_path), undisturbed('cnn_a'))


def test_a_run_killed_within_an_epoch_continues_to_the_same_bits_from_its_checkpoint_by_steps(
  undisturbed, tmp_path, capsys
):
  for kill_at, before in ((2, 0), (5, 2), (8, 4)):
    with pytest.raises(Interrupted):
      fit('cnn_a', tmp_path, kill_at=kill_at, unit='steps')
    assert (f'continuing after step {before} of 9' in capsys.readouterr().out) == (before > 0)
  same(fit('cnn_a', tmp_path, unit='steps'), undisturbed('cnn_a'))
  assert 'continuing after step 8 of 9' in capsys.readouterr().out


def test_a_complete_run_is_left_as_it_is(undisturbed, tmp_path):
  fit('cnn_a', tmp_path)
  same(fit('cnn_a', tmp_path, kill_at=9), undisturbed('cnn_a'))


@pytest.mark.parametrize('broken', [{'seed': 1}, {'start_wrong': 1}], ids=str)
def test_the_comparison_sees_another_seed_and_a_stream_that_starts_wrong(broken, undisturbed, tmp_path):
  with pytest.raises(Interrupted):
    fit('cnn_a', tmp_path, kill_at=4)
  with pytest.raises(AssertionError):
    same(fit('cnn_a', tmp_path, **broken), undisturbed('cnn_a'))


def test_a_loss_that_is_not_finite_ends_the_run_by_its_step_and_is_not_saved(undisturbed, tmp_path):
  with pytest.raises(types.RunError, match='step 5: the loss, a gradient or an update is not finite'):
    fit('cnn_a', tmp_path, poison=4)
  same(fit('cnn_a', tmp_path), undisturbed('cnn_a'))


@pytest.mark.parametrize(
  'poison', [2, 3, 8], ids=['before an evaluation', 'after a checkpoint', 'the last step']
)
def test_at_a_border_too_it_is_seen_before_anything_is_saved(poison, undisturbed, tmp_path):
  with pytest.raises(types.RunError, match=f'step {poison + 1}: '):
    fit('cnn_a', tmp_path, poison=poison, unit='steps')
  same(fit('cnn_a', tmp_path, unit='steps'), undisturbed('cnn_a'))


def test_a_figure_that_is_not_finite_ends_the_run_by_its_epoch_and_is_not_saved(undisturbed, tmp_path):
  with pytest.raises(types.RunError, match=r'epoch 2: val_loss is nan.*Checkpoints saved before are kept'):
    fit('cnn_a', tmp_path, lost=2)
  same(fit('cnn_a', tmp_path), undisturbed('cnn_a'))


def test_the_running_mean_of_the_weights_is_what_is_evaluated(undisturbed):
  final, _ = undisturbed('cnn_a')
  mean = state.inference_params(final)
  assert tree.fingerprint(mean) == tree.fingerprint(final.ema_params) != tree.fingerprint(final.params)


def test_the_share_of_time_spent_waiting_for_input_is_recorded(tmp_path, monkeypatch):
  # Each look at the clock moves it a little; waiting for a batch moves it far.
  training, clock, wait = stream.training, itertools.count(), [0.0]
  monkeypatch.setattr(time, 'monotonic', lambda: next(clock) * 1e-3 + wait[0])
  quick = fit('cnn_a', tmp_path / 'quick')[1]

  def slow(*args):
    for batch in training(*args):
      # The device ends its step before the batch comes, or it would not wait for it.
      for array in jax.live_arrays():
        if not array.is_deleted():
          array.block_until_ready()
      wait[0] += 1000
      yield batch

  monkeypatch.setattr(stream, 'training', slow)
  late = fit('cnn_a', tmp_path / 'late')[1]
  assert all(0.99 < record.wait_share <= 1 for record in late)
  assert all(record.wait_share < 0.9 for record in quick)


@pytest.mark.parametrize(('key', 'value'), [('steps_per_epoch', -1), ('checkpoint_every', 0.0)])
def test_a_length_of_nothing_is_named(key, value):
  with pytest.raises(types.UserError, match=f'train.{key}'):
    dataclasses.replace(plan.Spec(1, 1.0, 'epochs'), **{key: value})


@pytest.mark.parametrize(('every', 'unit'), [(0.3, 'epochs'), (0.5, 'epochs'), (2.5, 'steps')])
def test_a_fraction_of_what_is_saved_at_whole_numbers_is_refused(every, unit):
  line = f'^train.checkpoint_every is {every}; it must be a whole number of {unit}$'
  with pytest.raises(types.UserError, match=line):
    plan.Spec(1, every, unit)
  # Negative controls.
  assert plan.Spec(1, every, 'minutes').checkpoint_every == every
  assert plan.Spec(1, 2.0, unit).checkpoint_every == 2.0
