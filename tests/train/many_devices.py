"""Twenty updates on 1, 2, 4 and 8 devices by each way; prints the largest difference of a parameter from one device.

XLA_FLAGS=--xla_force_host_platform_device_count=8 python -m tests.train.many_devices
"""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np

from bloodcell_jax.base import rng, types
from bloodcell_jax.models import cnn
from bloodcell_jax.optim import keras, staged
from bloodcell_jax.train import batch_part, devices, state, step

MODEL = cnn.CNN((4,), ((3, 3),), (6,), 1, 0.5, 4, 3, 0, False, 'float32', 'direct')
OPTIMIZER = keras.Spec('sgd', 0.05, 1e-2, 0.9, 0.9, True, 0.9, 0.999, 1e-7, 0.0, 0.0, 1.0)
STEPS, BATCH = 20, 13  # thirteen images are divided evenly over one device alone


def batch(at: int, num: int) -> types.Batch:
  """The batch of a step."""
  generator = rng.generator(3, 'batch', at)
  image_BHWC, label_B = generator.random((BATCH, 8, 8, 3), np.float32), generator.integers(0, 4, BATCH)
  weight_B = np.ones(BATCH, np.float32)
  whole = types.Batch(
    image_BHWC, np.eye(4, dtype=np.float32)[label_B], weight_B, np.arange(BATCH, dtype=np.int32)
  )
  return jax.tree.map(lambda x: x[:num], whole)


def train(num_devices: int, parallel: str, num: int = BATCH, move: int = 0) -> np.ndarray:
  """All parameters after the last update; each host gives its part of a batch, or rows that lie `move` before it."""

  def apply(params, image_BHWC, position_B, key):
    return MODEL.apply({'params': params}, image_BHWC, position_B, True, rngs={'dropout': key})

  params = MODEL.init(rng.key(3, 'init'), jnp.zeros((1, 8, 8, 3)), jnp.zeros(1, jnp.int32), False)['params']
  weights = staged.Spec(('.*',), (), OPTIMIZER)
  tx, is_trained = staged.build(weights, params), staged.trainable(weights, params)
  update = step.make(apply, step.softmax(0.0, 0.0), tx, 0.0, is_trained, devices.AXIS)
  on = devices.devices(num_devices, parallel)
  run, part = devices.make_train(update, on), batch_part.own(on, num)
  rows = np.arange(num)[part.rows] - move
  made = (jax.tree.map(lambda x: x[rows], batch(at, num)) for at in range(STEPS))
  current = state.create(params, tx, False, 0)
  for one in batch_part.filled(made, part):
    current, _ = run(current, one, rng.key(3, 'dropout'), np.float32(1))
  return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(current.params)])


def main() -> None:
  """Prints the differences as JSON."""
  one = train(1, 'pmap')
  gaps = {
    f'{parallel}, {num}': float(abs(train(num, parallel) - one).max())
    for num in (1, 2, 4, 8)
    for parallel in devices.PARALLEL
    if (num, parallel) != (1, 'pmap')
  }
  gaps['one image less'] = float(abs(train(1, 'pmap', BATCH - 1) - one).max())
  print(json.dumps(gaps))


if __name__ == '__main__':
  main()
