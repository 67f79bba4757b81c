"""Data and network put together from the study's configs."""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np
import pytest
from scipy import special

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset, reading, tensorflow_cpu
from bloodcell_jax.data.images import locate
from bloodcell_jax.runs import compiled as compiled_lib
from bloodcell_jax.runs import frozen_features, job
from bloodcell_jax.train import devices, signals
from configs import cnn_a, cnn_b

# The smallest sides that leave a pixel after the last pooling.
SIZES = {'cnn_a': 46, 'cnn_b': 94}
STUDY = {'cnn_a': cnn_a, 'cnn_b': cnn_b}
# Small enough for seconds, with all on that changes an update: dropout, class weights, plateaus, running mean.
CHANGES = {
  'data.embedded.num_train': 2, 'data.embedded.num_test': 1, 'data.embedded.num_copies': 2,
  'data.embedded.height': 48, 'data.embedded.width': 64, 'data.pipeline': 'numpy', 'data.cache': 'memory',
  'data.validation_fraction': 0.5, 'train.batch_size': 4, 'train.epochs': 3, 'train.steps_per_epoch': 3,
  'train.class_weight': 'balanced', 'train.ema_momentum': 0.9, 'train.label_smoothing': 0.1,
  'train.reduce_on_plateau_patience': 1, 'train.reduce_on_plateau_factor': 0.5, 'evaluate.batch_size': 5,
}  # fmt: skip


def resolve(name: str, **changes) -> experiment.Experiment:
  flat = {**experiment.flat(STUDY[name].get_config()), **CHANGES, 'data.image_size': SIZES[name]}
  return experiment.resolve(experiment.nest({**flat, **changes}))


@functools.cache
def read(name: str) -> dataset.Dataset:
  exp = resolve(name)
  return reading.build(exp.data, exp.seed, '/nonexistent', lambda done, total: None)


def new(exp: experiment.Experiment, data: dataset.Dataset) -> job.Job:
  return job.Job(exp, data, exp.transform.standardize, None, signals.Stop())


@functools.cache
def compiled(name: str):
  """The evaluation, compiled once for all tests of a network."""
  return new(resolve(name), read(name)).apply


@functools.cache
def fresh(name: str, seed: int):
  """The parameters before the first update."""
  return new(resolve(name, seed=seed), read(name)).params


def build(name: str, **changes) -> job.Job:
  """A job of its own stop, sharing what takes long to compile: no change here touches that."""
  made = new(resolve(name, **changes), read(name))
  made.apply, made.params = compiled(name), fresh(name, made.experiment.seed)
  return made


def numbers(dtype: str) -> tuple[bool, bool]:
  """Whether an update, and whether the evaluation, computes in bfloat16 anywhere."""
  made = new(resolve('cnn_a', **{'train.dtype': dtype}), read('cnn_a'))
  stage = made.experiment.stages[0]
  state = made.template(stage.fit.name)
  batch = next(made.batches(0))
  step = jax.make_jaxpr(made.update(stage, made.model), axis_env=[(devices.AXIS, 1)])
  update = step(state, batch, made.dropout_key(), np.float32(1))
  whole = jax.make_jaxpr(lambda p: made.model.apply({'params': p}, batch.image_BHWC, batch.position_B, False))
  return 'bf16' in str(update), 'bf16' in str(whole(made.shapes))


def test_bfloat16_is_for_updates_alone_and_auto_has_none_on_a_cpu():
  assert numbers('bfloat16') == (True, False)
  assert numbers('auto') == (False, False)


def test_an_evaluation_is_of_every_image_of_the_split_once():
  made = build('cnn_a')
  found = made.predict(made.params, 'validation')
  table = made.data.table.take(made.data.rows['validation'])
  assert found.file_N.tolist() == table.file.tolist()
  assert len(set(found.file_N)) == len(found) == 8
  image_NHWC = made.data.image_NHWC[made.data.rows['validation']].astype(np.float32) / 255
  logits_NK = jax.jit(lambda p, x: made.model.apply({'params': p}, x, np.arange(8), False))(
    made.params, image_NHWC
  )
  expected = special.softmax(np.asarray(logits_NK, np.float64), 1)
  np.testing.assert_allclose(found.probs_NK, expected, rtol=1e-4)
  figures = made.evaluate(made.params)
  assert figures['val_loss'] == pytest.approx(-np.log(expected[np.arange(8), table.label]).mean(), rel=1e-4)
  assert figures['val_accuracy'] == np.mean(expected.argmax(1) == table.label)
  assert not np.allclose(found.probs_NK[::-1], expected, rtol=1e-4), 'another order is seen'


def test_an_evaluation_stops_when_asked():
  made = build('cnn_a')
  made.stop.requested = True
  with pytest.raises(signals.Stopped):
    made.evaluate(made.params)
  made.stop.requested = False
  assert set(made.evaluate(made.params)) == {'val_loss', 'val_accuracy'}


def test_class_weights_are_those_of_the_training_rows_and_touch_no_evaluation():
  data = read('cnn_a')
  rows = {**data.rows, 'train': data.rows['train'][1:]}
  made = {}
  for kind in ('none', 'balanced'):
    exp = resolve('cnn_a', **{'train.class_weight': kind})
    made[kind] = new(exp, dataclasses.replace(data, rows=rows))
    made[kind].apply, made[kind].params = compiled('cnn_a'), fresh('cnn_a', 0)
  label_N, weight_N = data.table.label[rows['train']], made['balanced'].arrays.weight_N[rows['train']]
  sums = np.bincount(label_N, weight_N, 4)
  np.testing.assert_allclose(sums, len(label_N) / 4, rtol=1e-6)
  assert set(made['none'].arrays.weight_N) == {1}
  assert (made['none'].is_weighted, made['balanced'].is_weighted) == (False, True)
  assert len(set(weight_N)) == 2, 'one class has a row less'
  assert made['none'].evaluate(made['none'].params) == made['balanced'].evaluate(made['none'].params)


def test_parameters_and_dropout_follow_the_seed():
  first, again, other = (new(resolve('cnn_a', seed=seed), read('cnn_a')) for seed in (0, 0, 1))

  def drawn(made):
    return [*jax.tree.leaves(made.params), jax.random.key_data(made.dropout_key())]

  assert all(np.array_equal(a, b) for a, b in zip(drawn(first), drawn(again), strict=True))
  assert not np.array_equal(first.params['conv2d_1']['kernel'], other.params['conv2d_1']['kernel'])
  assert not np.array_equal(drawn(first)[-1], drawn(other)[-1])


def test_without_tensorflow_one_line_says_what_to_set(monkeypatch):
  def missing():
    raise ImportError('no such library')

  monkeypatch.setattr(tensorflow_cpu, 'load', missing)
  with pytest.raises(types.UserError, match=r'--config\.data\.pipeline=numpy') as caught:
    build('cnn_a', **{'data.pipeline': 'tf_data'}).batches(0)
  assert '\n' not in str(caught.value)
  batch = next(build('cnn_a').batches(0))
  assert batch.image_BHWC.shape == (4, 46, 46, 3)


@pytest.mark.parametrize('num', [3, 100])
def test_more_devices_than_there_are_is_named(num):
  with pytest.raises(types.UserError, match=r'train\.num_devices'):
    build('cnn_a', **{'train.num_devices': num})
  assert len(build('cnn_a', **{'train.num_devices': 1}).devices) == 1


def targets(data: dataset.Dataset, seed: int, is_residual: bool) -> np.ndarray:
  """Random shares of classes, or random numbers whose rows sum to 0."""
  drawn_NK = np.random.default_rng(seed).dirichlet(np.ones(4), len(data.table)).astype(np.float32)
  return drawn_NK - drawn_NK.mean(1, keepdims=True) if is_residual else drawn_NK


def updated(made: job.Job, batch: types.Batch):
  """The parameters after one update of this batch."""
  (stage,) = made.experiment.stages
  state = made.initial_state(stage, made.params, 0)
  state, _ = made.train_step(stage, made.model)(state, batch, made.dropout_key(), np.float32(1))
  return jax.tree.map(np.asarray, state.params)


def differs(a, b) -> bool:
  return not all(
    np.allclose(x, y, rtol=1e-5, atol=1e-7) for x, y in zip(*map(jax.tree.leaves, (a, b)), strict=True)
  )


# Plain gradient descent: RMSprop hides how large a gradient is. One device, so that half a batch is not padded.
SGD = {
  'optimizer.name': 'sgd', 'optimizer.learning_rate': 0.1, 'optimizer.momentum': 0.0, 'optimizer.decay': 0.0,
  'train.num_devices': 1, 'train.batch_size': 8, 'train.class_weight': 'none', 'train.label_smoothing': 0.0,
}  # fmt: skip


def test_rows_of_weight_0_are_to_an_update_as_if_they_were_not_there():
  made = build('cnn_a', **SGD)
  weight_N = np.zeros(len(made.data.table), np.float32)
  weight_N[made.data.rows['train'][::2]] = 1
  one_hot_NK = made.arrays.target_NK
  changed = made.with_targets(job.Targets(weight_N, one_hot_NK, False))
  batch, plain = next(changed.batches(0)), next(made.batches(0))
  np.testing.assert_array_equal(batch.image_BHWC, plain.image_BHWC)
  kept = np.flatnonzero(batch.weight_B)
  assert 0 < len(kept) < len(batch.weight_B)
  half = jax.tree.map(lambda column: column[kept], plain)
  assert not differs(updated(changed, batch), updated(made, half))
  assert differs(updated(changed, batch), updated(made, plain)), (
    'the other rows would have changed the update'
  )


def test_the_weight_of_a_row_is_how_often_it_counts():
  made = build('cnn_a', **SGD)
  weight_N = np.ones(len(made.data.table), np.float32)
  weight_N[made.data.rows['train'][::2]] = 3
  changed = made.with_targets(job.Targets(weight_N, made.arrays.target_NK, False))
  batch, plain = next(changed.batches(0)), next(made.batches(0))
  assert set(batch.weight_B.tolist()) == {1, 3}
  # The gradients of the two parts, each a mean over its rows, in the ratio of their weights.
  parts = [np.flatnonzero(batch.weight_B == weight) for weight in (1, 3)]
  fresh = jax.tree.map(np.asarray, made.params)
  steps = [
    jax.tree.map(
      lambda new, old: new - old, updated(made, jax.tree.map(lambda x, rows=rows: x[rows], plain)), fresh
    )
    for rows in parts
  ]
  light, heavy = len(parts[0]), 3 * len(parts[1])
  expected = jax.tree.map(lambda p, a, b: p + (light * a + heavy * b) / (light + heavy), fresh, *steps)
  assert not differs(updated(changed, batch), expected)
  assert differs(updated(made, plain), expected)


def test_residual_targets_are_what_an_update_goes_towards():
  made = build('cnn_a', **SGD)
  one_N = np.ones(len(made.data.table), np.float32)
  residuals = [job.Targets(one_N, targets(made.data, seed, True), True) for seed in (1, 2)]
  biases, means = [], []
  for residual in residuals:
    changed = made.with_targets(residual)
    batch = next(changed.batches(0))
    biases.append(updated(changed, batch)['dense_2']['bias'])
    means.append(batch.target_BK.mean(0))
  # The gradient of the squares by the last bias is twice the mean of outputs less targets; the outputs are the same.
  moved_K, expected_K = biases[1] - biases[0], 0.1 * 2 * (means[1] - means[0])
  np.testing.assert_allclose(moved_K, expected_K, rtol=1e-3, atol=1e-6)
  assert abs(expected_K).max() > 1e-3
  # Negative control: labels, by the cross-entropy, lead elsewhere.
  plain = updated(made, next(made.batches(0)))['dense_2']['bias']
  assert abs(plain - biases[0]).max() > 1e-3


def test_validation_judges_an_epoch_by_the_residuals_that_are_left():
  made = build('cnn_a', **SGD)
  residual = job.Targets(np.ones(len(made.data.table), np.float32), targets(made.data, 1, True), True)
  changed = made.with_targets(residual)
  (stage,) = made.experiment.stages
  rows = made.data.rows['validation']
  table = made.data.table.take(rows)
  exact = changed.figures(stage, residual.target_NK[rows], table)
  assert exact['val_loss'] == 0
  assert made.figures(stage, residual.target_NK[rows], table)['val_loss'] > 0.5, 'the cross-entropy of labels'


@pytest.mark.parametrize('tta', ['none', 'mirrors'])
def test_outputs_with_the_embedding_are_those_without_it(tta):
  exp = resolve('cnn_a', **{'evaluate.tta': tta})
  made = new(exp, read('cnn_a'))
  batch = next(iter(made.in_order(made.data.rows['train'][:3])))
  expected = made.apply_with_tta(made.params, batch)
  both = made.apply_with_embedding(made.params, batch)
  np.testing.assert_allclose(both[:, : made.num_classes], expected, atol=1e-5)
  embedding = made.make_apply(made.model, method=compiled_lib.embedding)(made.params, batch)
  np.testing.assert_allclose(both[:, made.num_classes :], embedding, atol=1e-5)
  # Negative control: another image has another embedding.
  assert np.abs(embedding[0] - embedding[1]).max() > 1e-3


def test_nuclei_for_crops_are_looked_for_once_in_all_stages_folds_and_members(monkeypatch):
  seen, find = [], locate.nucleus
  monkeypatch.setattr(
    locate, 'nucleus', lambda image_HWC: seen.append(image_HWC.tobytes()) or find(image_HWC)
  )
  crops = {'data.pipeline': 'tf_data', 'augment.crop_range': (0.7, 0.9)}
  whole = dataclasses.replace(read('cnn_a'))
  rows = whole.rows['train']

  def train(data: dataset.Dataset, train_rows: np.ndarray, seed: int) -> None:
    made = new(resolve('cnn_a', seed=seed, **crops), data.with_rows({'train': train_rows}))
    batches = made.batches(0)
    next(batches)
    batches.close()
    # Another stage, on cached features.
    frozen_features._images(made, 'train', 2, True)

  train(whole, rows[: len(rows) // 2], 0)
  train(whole, np.repeat(rows, 2), 1)
  assert len(seen) == len(set(seen)) == len(rows)
  train(dataclasses.replace(whole), rows, 0)
  assert len(seen) == 2 * len(rows), 'images that are read once more are others'
