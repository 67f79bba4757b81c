"""Training batches by tf.data: gathered and augmented in the background while the step runs."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator, Iterator

import jax
import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data import stream
from bloodcell_jax.data.augmentation import mixing, standardize, transform
from bloodcell_jax.data.images import nuclei as nuclei_lib
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
  nuclei: nuclei_lib.Nuclei,
  part: slice = stream.WHOLE,
) -> Generator[types.Batch, None, None]:
  """The endless training batches from step `start` on.

  **Guarantees**: a batch depends only on (seed, step); without random changes it equals that of `stream.training`, bit
  for bit, unless images are mixed, whitened, or standardized sample by sample. Parts of a batch together are the batch.
  """
  shape = arrays.image_NHWC.shape[1:]
  # An image is mixed with any of the batch.
  made = stream.WHOLE if spec.mixing.is_active else part
  num = len(range(batch_size)[made])
  num_bytes = np.dtype(np.float32).itemsize * num * math.prod(shape)
  advice = 'lower train.batch_size or data.image_size'
  memory.require(
    COPIES * num_bytes, memory.obtainable(), 'batches ahead', advice, peak_factor=memory.PEAK_FACTOR
  )
  operands = transform.make_operands(spec, seed, nuclei, rows)
  apply = transform.make_apply(spec, statistics, shape)

  is_stopped = False

  def generate() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, int]]:
    for image_BHWC, rows_B, step in stream.raw(arrays, rows, batch_size, seed, start, made):
      if is_stopped:
        return
      positions = step * batch_size + np.arange(batch_size)[made]
      yield image_BHWC, operands(positions, rows_B), rows_B, step

  dataset = tf.data.Dataset.from_generator(
    generate,
    output_signature=(
      tf.TensorSpec((num, *shape), tf.uint8),
      tf.TensorSpec((num, transform.NUM_OPERANDS), tf.float64),
      tf.TensorSpec((num,), tf.int64),
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
      batch = stream.batch(arrays, image_BHWC, rows_B, made.start or 0)
      if spec.mixing.is_active:
        whole = mixing.apply(mixing.draw(spec.mixing, seed, int(step), batch_size, shape), batch)
        batch = jax.tree.map(lambda x: x[part], whole)
      yield batch
  finally:
    # tf.data's threads call back into Python. Deleting the iterator joins them while it holds the GIL and would
    # deadlock, so the generator is stopped and the queue drained first.
    is_stopped = True
    with contextlib.suppress(tf.errors.OpError):
      for _ in iterator:
        pass
    del iterator
