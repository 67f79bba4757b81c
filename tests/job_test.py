"""Data and network put together from the study's configs."""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np
import pytest
from scipy import special

from bloodcell_jax import experiment, job, types
from bloodcell_jax.data import dataset, tensorflow_cpu
from bloodcell_jax.train import signals
from configs import cnn_a, cnn_b

# The smallest sides that leave a pixel after the last pooling.
SIZES = {'cnn_a': 46, 'cnn_b': 94}
STUDY = {'cnn_a': cnn_a, 'cnn_b': cnn_b}
# Small enough for seconds, with all on that changes an update: dropout, class weights, plateaus, running mean.
CHANGES = {
  'data.embedded.num_train': 2, 'data.embedded.num_test': 1, 'data.embedded.num_views': 2,
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
  return dataset.build(exp.data, exp.seed, '/nonexistent', lambda done, total: None)


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


def test_a_split_within_another_is_not_predicted_again(monkeypatch):
  made = build('cnn_a')
  whole = made.data.rows['test']
  made.data = dataclasses.replace(made.data, rows={**made.data.rows, 'test_clean': whole[1::2]})
  asked = []
  predict = made.predict
  monkeypatch.setattr(made, 'predict', lambda params, split: asked.append(split) or predict(params, split))
  found = dict(made.predict_each(made.params, ('validation', 'test', 'test_clean')))
  assert asked == ['validation', 'test']
  again = predict(made.params, 'test_clean')
  for column in ('file_N', 'label_N', 'group_N'):
    np.testing.assert_array_equal(getattr(found['test_clean'], column), getattr(again, column))
  np.testing.assert_allclose(found['test_clean'].probs_NK, again.probs_NK, atol=1e-6)
  # Negative control: the other rows of test have other predictions.
  assert not np.allclose(found['test'].take(np.arange(len(again))).probs_NK, again.probs_NK)


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
