"""Training batches by tf.data: gathered and augmented in the background while the step runs."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator, Iterator

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data import stream
from bloodcell_jax.data.augmentation import mixing, standardize, transform
from bloodcell_jax.data.tensorflow_cpu import tf
from bloodcell_jax.system import memory

# Batches kept ready: one being copied to the device, and the next.
PREFETCH = 2
# Batches augmented concurrently, on cores that the step leaves idle.
PARALLEL = 2
# Batches of float32 in memory: those kept ready, three for each augmentation (input, transformed, output), and the
# one in use.
COPIES = PREFETCH + 3 * PARALLEL + 1


def training(
  arrays: stream.Arrays,
  rows: np.ndarray,
  batch_size: int,
  seed: int,
  start: int,
  spec: transform.Spec,
  statistics: standardize.Statistics | None,
) -> Generator[types.Batch, None, None]:
  """The endless training batches from step `start` on.

  **Guarantees**: a batch depends only on (seed, step); without random changes it equals that of `stream.training`, bit
  for bit, unless images are mixed, whitened, or standardized sample by sample.
  """
  shape = arrays.image_NHWC.shape[1:]
  num_bytes = np.dtype(np.float32).itemsize * batch_size * math.prod(shape)
  advice = 'lower train.batch_size or data.image_size'
  memory.require(
    COPIES * num_bytes, memory.obtainable(), 'batches ahead', advice, peak_factor=memory.PEAK_FACTOR
  )
  operands = transform.make_operands(spec, seed, arrays.image_NHWC, rows)
  apply = transform.make_apply(spec, statistics, shape)

  is_stopped = False

  def generate() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
    for image_BHWC, rows_B, step in stream.raw(arrays, rows, batch_size, seed, start):
      if is_stopped:
        return
      positions = step * batch_size + np.arange(batch_size)
      yield image_BHWC, operands(positions, rows_B), rows_B, step

  dataset = tf.data.Dataset.from_generator(
    generate,
    output_signature=(
      tf.TensorSpec((batch_size, *shape), tf.uint8),
      tf.TensorSpec((batch_size, transform.NUM_OPERANDS), tf.float64),
      tf.TensorSpec((batch_size,), tf.int64),
      tf.TensorSpec((), tf.int64),
    ),
  )
  dataset = dataset.map(
    lambda image_BHWC, operand_BD, rows_B, step: (apply(image_BHWC, operand_BD), rows_B, step),
    num_parallel_calls=PARALLEL,
    deterministic=True,
  )
  iterator = dataset.prefetch(PREFETCH).as_numpy_iterator()
  try:
    for image_BHWC, rows_B, step in iterator:
      batch = stream.batch(arrays, image_BHWC, rows_B)
      if spec.mixing.is_active:
        batch = mixing.apply(mixing.draw(spec.mixing, seed, int(step), batch_size, shape), batch)
      yield batch
  finally:
    # tf.data's threads call back into Python. Deleting the iterator joins them while it holds the GIL and would
    # deadlock, so the generator is stopped and the queue drained first.
    is_stopped = True
    with contextlib.suppress(tf.errors.OpError):
      for _ in iterator:
        pass
    del iterator
