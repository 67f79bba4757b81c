"""The training batches through tf.data: drawn and augmented ahead in the background while the step runs."""

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

# Batches kept ready: one being copied to the device and one behind it.
PREFETCH = 2
# Batches augmented at once; each takes what a step leaves free of the cores.
PARALLEL = 2
# Batches of float32 that there are at once: what is kept ready, what each augmentation reads, moves and writes, and the
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

  **Guarantees**: a batch depends on (seed, step) alone; without random changes it is that of `stream.training`, bit
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

  is_closed = False

  def drawn() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
    for image_BHWC, rows_B, step in stream.raw(arrays, rows, batch_size, seed, start):
      if is_closed:
        return
      positions = step * batch_size + np.arange(batch_size)
      yield image_BHWC, operands(positions, rows_B), rows_B, step

  dataset = tf.data.Dataset.from_generator(
    drawn,
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
    # Its threads call Python, which must not happen any more when the interpreter goes down; nor while the iterator is
    # deleted, which waits for them and lets no other thread have the interpreter. So what is drawn ahead is used up.
    is_closed = True
    with contextlib.suppress(tf.errors.OpError):
      for _ in iterator:
        pass
    del iterator
