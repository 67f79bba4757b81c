"""Members trained together in one program: each is what it is alone, on one device and on two."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bloodcell_jax.base import rng, types
from bloodcell_jax.models import cnn
from bloodcell_jax.optim import keras, staged
from bloodcell_jax.train import devices, state, step

# Momentum rather than RMSprop, whose division by the root of a small gradient makes much of a last bit.
OPTIMIZER = keras.Spec('sgd', 0.1, 1e-2, 0.9, 0.9, True, 0.9, 0.999, 1e-7, 0.0, 0.0, 1.0)
MODEL = cnn.CNN((4, 6), ((3, 3), (3, 3)), (6,), 1, 0.5, 4, 3, 0, False, 'float32', 'direct')
SEEDS, STEPS = (3, 5, 8), 4
SCALES = np.array([1.0, 0.5, 0.25], np.float32)


def batch(seed: int, at: int, num: int) -> types.Batch:
  generator = rng.generator(seed, 'batch', at)
  image_BHWC, label_B = generator.random((num, 14, 14, 3), np.float32), generator.integers(0, 4, num)
  target_BK, weight_B = np.eye(4, dtype=np.float32)[label_B], generator.random(num, np.float32)
  return types.Batch(image_BHWC, target_BK, weight_B, np.arange(num, dtype=np.int32))


@functools.cache
def pieces():
  """The step, and a function from a seed to a fresh state."""

  def apply(params, image_BHWC, position_B, key):
    return MODEL.apply({'params': params}, image_BHWC, position_B, True, rngs={'dropout': key})

  @jax.jit
  def params(key):
    return MODEL.init(key, jnp.zeros((1, 14, 14, 3)), jnp.zeros(1, jnp.int32), False)['params']

  weights = staged.Spec(('.*',), (), OPTIMIZER)
  tx, is_trained = (
    staged.build(weights, params(rng.key(0, 'init'))),
    staged.trainable(weights, params(rng.key(0, 'init'))),
  )
  made = step.make(apply, step.softmax(0.1, 1e-3), tx, 0.9, is_trained, devices.AXIS)
  return made, lambda seed: state.create(params(rng.key(seed, 'init')), tx, True, 0)


@functools.cache
def compiled(how: str, num_devices: int, parallel: str = 'pmap'):
  on = devices.devices(num_devices, parallel)
  return (
    devices.make_train(pieces()[0], on)
    if how == 'alone'
    else devices.make_train_members(pieces()[0], on, how)
  )


@functools.cache
def alone(num_devices: int, seeds=SEEDS, num: int = 6, parallel: str = 'pmap'):
  """Final states and reports of members trained one after the other."""
  run, ends = compiled('alone', num_devices, parallel), []
  for seed, scale in zip(seeds, SCALES, strict=True):
    current = pieces()[1](seed)
    for at in range(STEPS):
      current, report = run(current, batch(seed, at, num), rng.key(seed, 'dropout'), scale)
    ends.append((current, report))
  return jax.tree.map(lambda *leaves: np.stack([np.asarray(x) for x in leaves]), *ends)


def together(how: str, num_devices: int, seeds=SEEDS, num: int = 6, parallel: str = 'pmap'):
  """The same in one program."""
  run = compiled(how, num_devices, parallel)
  state_M = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(pieces()[1](seed) for seed in seeds))
  key_M = jnp.stack([rng.key(seed, 'dropout') for seed in seeds])
  for at in range(STEPS):
    batch_M = jax.tree.map(lambda *leaves: np.stack(leaves), *(batch(seed, at, num) for seed in seeds))
    state_M, report_M = run(state_M, batch_M, key_M, SCALES)
  return jax.tree.map(np.asarray, (state_M, report_M))


def close(a, b) -> None:
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), a, b)


@pytest.mark.parametrize(('num_devices', 'num'), [(1, 6), (2, 6), (2, 5)], ids=['one', 'even', 'padded'])
@pytest.mark.parametrize('how', devices.MEMBERS)
def test_members_trained_together_are_those_trained_alone(how, num_devices, num):
  close(together(how, num_devices, num=num), alone(num_devices, num=num))


@pytest.mark.parametrize('num', [6, 5], ids=['even', 'padded'])
def test_jit_over_a_mesh_gives_the_bits_of_pmap_on_one_device_and_nearly_on_two(num):
  by_pmap, by_jit = (alone(1, num=num, parallel=parallel) for parallel in devices.PARALLEL)
  jax.tree.map(np.testing.assert_array_equal, by_jit, by_pmap)
  close(alone(2, num=num, parallel='jit'), by_pmap)


def test_members_over_a_mesh_are_those_trained_alone():
  close(together('map', 2, num=5, parallel='jit'), alone(1, num=5))


@pytest.mark.parametrize('how', devices.MEMBERS)
def test_the_comparison_sees_swapped_seeds(how):
  with pytest.raises(AssertionError):
    close(together(how, 1, seeds=(5, 3, 8)), alone(1))


def test_the_state_of_the_members_is_donated():
  run = compiled('map', 1)
  state_M = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(pieces()[1](seed) for seed in SEEDS))
  state_M = devices.replicate(state_M, devices.devices(1, 'pmap'))
  batch_M = jax.tree.map(lambda *leaves: np.stack(leaves), *(batch(seed, 0, 6) for seed in SEEDS))
  run(state_M, batch_M, jnp.stack([rng.key(seed, 'dropout') for seed in SEEDS]), SCALES)
  assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state_M.params))


@pytest.mark.parametrize('num_devices', [1, 2])
def test_a_replicated_tree_is_returned_as_it_is_and_another_one_is_moved(num_devices):
  on = devices.devices(num_devices, 'pmap')
  tree = devices.replicate({'a': np.ones(3, np.float32), 'b': jnp.zeros(2)}, on)
  # The tree itself: `device_put` would build another one of the same arrays.
  assert devices.replicate(tree, on) is tree
  assert all(leaf.sharding.device_set == set(on) and leaf.is_fully_replicated for leaf in tree.values())
  # One leaf in another layout is enough, be it on other devices or in NumPy.
  for other in (jax.device_put(tree['b'], jax.local_devices()[-1]), np.asarray(tree['b'])):
    moved = devices.replicate({**tree, 'b': other}, on)
    assert moved['b'] is not other
    assert moved['a'] is tree['a'], 'the other leaf stays where it is'
    assert moved['b'].sharding == tree['b'].sharding
    np.testing.assert_array_equal(moved['b'], tree['b'])


@pytest.mark.parametrize('parallel', devices.PARALLEL)
def test_the_state_after_an_update_needs_no_move(parallel):
  run, on = compiled('alone', 2, parallel), devices.devices(2, parallel)
  current, _ = run(pieces()[1](3), batch(3, 0, 6), rng.key(3, 'dropout'), SCALES[0])
  assert devices.replicate(current, on) is current


def test_one_two_four_and_eight_devices_end_at_the_same_parameters():
  """Twenty updates with dropout, by a process that sees eight devices."""
  env = {**os.environ, 'XLA_FLAGS': '--xla_force_host_platform_device_count=8', 'JAX_PLATFORMS': 'cpu'}
  done = subprocess.run(
    [sys.executable, '-m', 'tests.train.many_devices'], env=env, capture_output=True, text=True, check=False
  )
  assert done.returncode == 0, done.stderr[-2000:]
  gaps = json.loads(done.stdout)
  assert len(gaps) == 8
  assert max(gaps[name] for name in gaps if name != 'one image less') < 1e-5
  assert gaps['one image less'] > 1e-3, 'the comparison sees a difference'


def test_another_way_is_an_error_that_names_the_two():
  with pytest.raises(ValueError, match='vmap, map'):
    devices.make_train_members(pieces()[0], devices.devices(1, 'pmap'), 'scan')
