"""Several updates a call: each is what it is alone, and the same bits wherever a call begins and ends."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bloodcell_jax.base import rng, types
from bloodcell_jax.models import cnn
from bloodcell_jax.optim import keras, staged
from bloodcell_jax.train import devices, many_updates, state, step

OPTIMIZER = keras.Spec('sgd', 0.1, 1e-2, 0.9, 0.9, True, 0.9, 0.999, 1e-7, 0.0, 0.0, 0.0)
MODEL = cnn.CNN((4,), ((3, 3),), (6,), 1, 0.5, 4, 3, 0, False, 'float32', 'direct')
KEY, ONE, STEPS, BATCH, SIZE = rng.key(3, 'dropout'), np.float32(1), 6, 7, 4


@functools.cache
def pieces():
  """The step before compilation, and the state before the first update."""

  def apply(params, image_BHWC, position_B, key):
    return MODEL.apply({'params': params}, image_BHWC, position_B, True, rngs={'dropout': key})

  params = MODEL.init(rng.key(3, 'init'), jnp.zeros((1, 8, 8, 3)), jnp.zeros(1, jnp.int32), False)['params']
  weights = staged.Spec(('.*',), (), OPTIMIZER)
  tx, is_trained = staged.build(weights, params), staged.trainable(weights, params)
  return step.make(apply, step.softmax(0.0, 0.0), tx, 0.0, is_trained, devices.AXIS), lambda: state.create(
    params, tx, False, 0
  )


@functools.cache
def images() -> np.ndarray:
  return rng.generator(3, 'images').integers(0, 256, (20, 8, 8, 3), np.uint8)


def rows(at: int) -> types.Batch:
  """The batch of a step with rows in place of images."""
  row_B = rng.generator(3, 'rows', at).integers(0, 20, BATCH).astype(np.int32)
  return types.Batch(
    row_B,
    np.eye(4, dtype=np.float32)[row_B % 4],
    np.ones(BATCH, np.float32),
    np.arange(BATCH, dtype=np.int32),
  )


def filled(data, batch: types.Batch) -> types.Batch:
  image_BHWC = jnp.asarray(data)[batch.image_BHWC].astype(jnp.float32) * np.float32(1 / 255)
  return types.Batch(image_BHWC, batch.target_BK, batch.weight_B, batch.position_B)


@functools.cache
def compiled(num_devices: int, parallel: str):
  on = devices.devices(num_devices, parallel)
  many = devices.map_train(many_updates.make(pieces()[0], filled), on, 1)
  return devices.check_train(many, on, 1), devices.replicate(images(), on)


def in_calls(sizes: tuple[int, ...], num_devices: int = 1, parallel: str = 'pmap'):
  """The state, and the losses of the updates, made in calls of these sizes."""
  run, data = compiled(num_devices, parallel)
  current, losses, at = pieces()[1](), [], 0
  for num in sizes:
    batches = [rows(min(at + i, at + num - 1)) for i in range(SIZE)]
    input_U = jax.tree.map(lambda *leaf_U: np.stack(leaf_U), *batches)
    current, report_U = run(current, input_U, many_updates.Common(KEY, data, np.int32(num)), ONE)
    assert np.asarray(report_U.finite).tolist() == [True] * num + [False] * (SIZE - num)
    losses += np.asarray(report_U.loss)[:num].tolist()
    at += num
  return current, losses


@functools.cache
def one_by_one():
  run = devices.make_train(pieces()[0], devices.devices(1, 'pmap'))
  current, losses = pieces()[1](), []
  for at in range(STEPS):
    current, report = run(current, jax.tree.map(np.asarray, filled(images(), rows(at))), KEY, ONE)
    losses.append(float(report.loss))
  return current, losses


def same_bits(a, b) -> bool:
  pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  return all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in pairs)


@pytest.mark.parametrize(('num_devices', 'parallel'), [(1, 'pmap'), (2, 'pmap'), (2, 'jit')])
def test_many_updates_are_those_of_the_step(num_devices, parallel):
  alone, losses = one_by_one()
  together, found = in_calls((4, 2), num_devices, parallel)
  np.testing.assert_allclose(found, losses, rtol=1e-5)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), together.params, alone.params
  )
  assert int(together.step) == STEPS
  short, _ = in_calls((4, 1), num_devices, parallel)
  with pytest.raises(AssertionError):
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), short.params, alone.params
    )


@pytest.mark.parametrize('num_devices', [1, 2])
def test_an_update_has_the_same_bits_wherever_a_call_ends(num_devices):
  whole, losses = in_calls((4, 2), num_devices)
  for sizes in ((1, 1, 1, 1, 1, 1), (3, 3), (2, 4)):
    other, found = in_calls(sizes, num_devices)
    assert same_bits(whole, other), sizes
    assert found == losses
  assert not same_bits(whole, in_calls((4, 1), num_devices)[0])
