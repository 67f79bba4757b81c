"""One update: the same on any number of devices, padding without weight, what the objective adds."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from bloodcell_jax.base import types
from bloodcell_jax.models import cnn
from bloodcell_jax.optim import keras, staged
from bloodcell_jax.train import devices, state, step

OPTIMIZER = keras.Spec('sgd', 0.1, 0.0, 0.9, 0.0, False, 0.9, 0.999, 1e-7, 0.0, 0.0, 0.0)
MODEL = cnn.CNN((4,), ((3, 3),), (6,), 1, 0.5, 4, 3, 0, False, 'float32', 'direct')
KEY, ONE = jax.random.key(0), np.float32(1)


def batch(num: int, weight=None) -> types.Batch:
  rng = np.random.default_rng(0)
  image_BHWC, label_B = rng.random((num, 10, 10, 3), np.float32), rng.integers(0, 4, num)
  weight_B = np.ones(num, np.float32) if weight is None else np.asarray(weight, np.float32)
  return types.Batch(
    image_BHWC, np.eye(4, dtype=np.float32)[label_B], weight_B, np.arange(num, dtype=np.int32)
  )


def make(
  num_devices: int, label_smoothing=0.0, ema=0.0, l2=0.0, trainable=('.*',), optimizer=OPTIMIZER, trace=None
):
  def apply(params, image_BHWC, position_B, key):
    if trace is not None:
      trace.append(image_BHWC.shape)
    return MODEL.apply({'params': params}, image_BHWC, position_B, True, rngs={'dropout': key})

  params = MODEL.init(jax.random.key(1), jnp.zeros((1, 10, 10, 3)), jnp.zeros(1, jnp.int32), False)['params']
  weights = staged.Spec(trainable, (), optimizer)
  tx, is_trained = staged.build(weights, params), staged.trainable(weights, params)
  made = step.make(apply, step.softmax(label_smoothing, l2), tx, ema, is_trained, devices.AXIS)
  return devices.make_train(made, devices.devices(num_devices, 'pmap')), state.create(params, tx, ema > 0, 0)


def update(num_devices: int, given: types.Batch, **options):
  run, before = make(num_devices, **options)
  return run(before, given, KEY, ONE)


def close(a, b, **tolerance):
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


@pytest.mark.parametrize('num', [6, 5])
def test_one_and_two_devices_make_the_same_update(num):
  (one, report_1), (two, report_2) = update(1, batch(num)), update(2, batch(num))
  close(one.params, two.params, rtol=1e-5, atol=1e-7)
  close((report_1.loss, report_1.accuracy), (report_2.loss, report_2.accuracy), rtol=1e-5)


def test_the_comparison_sees_a_batch_with_one_image_less():
  with pytest.raises(AssertionError):
    close(update(1, batch(6))[0].params, update(2, batch(5))[0].params, rtol=1e-5, atol=1e-7)


def test_a_row_without_weight_changes_nothing():
  whole = batch(4)
  padded = batch(6, [1, 1, 1, 1, 0, 0])
  padded = jax.tree.map(lambda w, p: np.concatenate([w, p[4:]]), whole, padded)
  (a, report_a), (b, report_b) = update(1, whole), update(1, padded)
  close(a.params, b.params, rtol=1e-5, atol=1e-7)
  close((report_a.loss, a.sums.weight), (report_b.loss, b.sums.weight), rtol=1e-6)
  heavy = update(1, dataclasses.replace(padded, weight_B=np.ones(6, np.float32)))[0]
  with pytest.raises(AssertionError):
    close(a.params, heavy.params, rtol=1e-5, atol=1e-7)


def test_a_weight_of_two_counts_like_the_row_twice():
  once = batch(4)
  # At the same position, so that dropout is the same.
  twice = jax.tree.map(lambda leaf: np.concatenate([leaf, leaf[:1]]), once)
  heavy = dataclasses.replace(once, weight_B=np.array([2, 1, 1, 1], np.float32))
  (a, report_a), (b, report_b) = update(1, heavy), update(1, twice)
  close(a.params, b.params, rtol=1e-5, atol=1e-7)
  close((report_a.loss, report_a.accuracy), (report_b.loss, report_b.accuracy), rtol=1e-6)
  with pytest.raises(AssertionError):
    close(a.params, update(1, once)[0].params, rtol=1e-5, atol=1e-7)


def test_the_loss_is_the_cross_entropy():
  rng = np.random.default_rng(1)
  logits_BK, target_BK = rng.standard_normal((3, 4)), np.eye(4)[[0, 1, 2]]
  loss_B = np.asarray(step.cross_entropy(logits_BK, target_BK, 0.0))
  np.testing.assert_allclose(
    loss_B, -np.log(special.softmax(logits_BK, 1))[np.arange(3), [0, 1, 2]], rtol=1e-5
  )


def test_label_smoothing_is_keras():
  # Keras: y * (1 - s) + s / classes.
  logits_BK, target_BK = np.array([[1.0, 2.0, 3.0, 4.0]]), np.array([[0.0, 1.0, 0.0, 0.0]])
  smoothed = np.array([0.05, 0.85, 0.05, 0.05])
  expected = -(smoothed * np.log(special.softmax(logits_BK[0]))).sum()
  np.testing.assert_allclose(step.cross_entropy(logits_BK, target_BK, 0.2), [expected], rtol=1e-6)


def test_the_running_mean_moves_by_its_momentum():
  run, before = make(1, ema=0.9)
  start = jax.tree.map(np.array, before.params)
  after, _ = run(before, batch(4), KEY, ONE)
  close(
    after.ema_params, jax.tree.map(lambda s, p: 0.9 * s + 0.1 * p, start, after.params), rtol=1e-5, atol=1e-7
  )


def test_the_running_mean_of_a_frozen_weight_keeps_its_bits():
  # Here one that is rounded: of most numbers the mean with themselves is exact.
  m, value = np.float32(0.98), np.float32(1.7)
  assert m * value + (np.float32(1 - 0.98) * value) != value
  run, current = make(1, ema=0.98, trainable=('dense_.*',))
  params = jax.tree.map(lambda leaf: jnp.full_like(leaf, value), current.params)
  current = dataclasses.replace(current, params=params, ema_params=jax.tree.map(jnp.array, params))
  for _ in range(3):
    current, _ = run(current, batch(4), KEY, ONE)
  for layer, leaves in current.ema_params.items():
    if layer.startswith('conv2d'):
      assert all((np.asarray(leaf) == value).all() for leaf in leaves.values()), layer
    else:
      assert any((np.asarray(leaf) != value).any() for leaf in leaves.values()), layer


def test_the_scale_multiplies_the_update():
  run, before = make(1)
  start = jax.tree.map(np.array, before.params)
  half, _ = run(before, batch(4), KEY, np.float32(0.5))
  whole, _ = update(1, batch(4))
  close(
    jax.tree.map(lambda s, p: 2 * (p - s), start, half.params),
    jax.tree.map(lambda s, p: p - s, start, whole.params),
    rtol=1e-3, atol=1e-6,
  )  # fmt: skip


def test_what_is_not_finite_is_reported():
  given = batch(4)
  assert bool(update(1, given)[1].finite)
  given.image_BHWC[0, 0, 0, 0] = np.inf
  assert not bool(update(1, given)[1].finite)


def test_the_step_is_traced_once_and_its_state_donated():
  seen: list = []
  run, current = make(2, trace=seen)
  first = current
  for _ in range(4):
    current, _ = run(current, batch(6), KEY, ONE)
  assert seen == [(3, 10, 10, 3)]
  assert all(leaf.is_deleted() for leaf in jax.tree.leaves(first.params))
  run(current, batch(8), KEY, ONE)
  assert len(seen) == 2, 'the count must see another shape'


@pytest.mark.parametrize('key', ['label_smoothing', 'ema_momentum'])
def test_values_out_of_range_are_named(key):
  with pytest.raises(types.UserError, match=f'train.{key}'):
    step.Spec(**{'label_smoothing': 0.0, 'ema_momentum': 0.0, 'l2': 0.0, key: 1.0})


@pytest.mark.parametrize('num_devices', [1, 2])
def test_a_frozen_weight_keeps_its_bits_and_has_no_optimizer_state(num_devices):
  rmsprop = dataclasses.replace(OPTIMIZER, name='rmsprop')
  options = {'trainable': ('dense_.*',), 'l2': 0.1, 'optimizer': rmsprop}
  before = make(1, **options)[1]
  minus_zero = jax.tree.map(lambda p: jnp.where(p == 0, -0.0, p), before.params)
  run, _ = make(num_devices, **options)
  fresh = dataclasses.replace(make(1, **options)[1], params=jax.tree.map(jnp.array, minus_zero))
  after, _ = run(fresh, batch(6), KEY, ONE)
  for layer, leaves in minus_zero.items():
    same = all(
      np.asarray(leaf).tobytes() == np.asarray(after.params[layer][k]).tobytes() for k, leaf in leaves.items()
    )
    assert same == layer.startswith('conv2d'), layer
  moments = [leaf for leaf in jax.tree.leaves(before.opt_state) if leaf.ndim]
  trained = [
    leaf
    for name in before.params
    if name.startswith('dense')
    for leaf in jax.tree.leaves(before.params[name])
  ]
  assert sorted(leaf.shape for leaf in moments) == sorted(leaf.shape for leaf in trained)


def test_l2_is_the_gradient_of_its_sum_of_squares_on_dense_kernels_alone():
  plain, _ = update(1, batch(6))
  held, _ = update(1, batch(6), l2=0.3)
  before = make(1)[1].params
  for name in ('dense_1', 'dense_2'):
    # Plain SGD at rate 0.1: the difference is the rate times 2 x 0.3 x the kernel.
    expected = -0.1 * 2 * 0.3 * np.asarray(before[name]['kernel'])
    found = np.asarray(held.params[name]['kernel']) - np.asarray(plain.params[name]['kernel'])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(held.params[name]['bias'], plain.params[name]['bias'])
  np.testing.assert_array_equal(held.params['conv2d_1']['kernel'], plain.params['conv2d_1']['kernel'])
  assert np.abs(expected).max() > 1e-3
