"""The training batches through tf.data: drawn ahead in the background while the step runs."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from bloodcell_jax import types
from bloodcell_jax.data import stream
from bloodcell_jax.data.tensorflow_cpu import tf

# Batches kept ready: one being copied to the device and one behind it.
PREFETCH = 2


def training(
  arrays: stream.Arrays, rows: np.ndarray, batch_size: int, seed: int, start: int
) -> Generator[types.Batch, None, None]:
  """The endless training batches from step `start` on.

  **Guarantees**: the batches of `stream.training`, bit for bit.
  """
  _, *shape = arrays.image_NHWC.shape
  dataset = tf.data.Dataset.from_generator(
    lambda: stream.raw(arrays, rows, batch_size, seed, start),
    output_signature=(
      tf.TensorSpec((batch_size, *shape), tf.uint8),
      tf.TensorSpec((batch_size,), tf.int64),
      tf.TensorSpec((), tf.int64),
    ),
  )
  dataset = dataset.map(
    lambda image_BHWC, rows_B, step: (tf.cast(image_BHWC, tf.float32) / 255.0, rows_B),
    num_parallel_calls=1,
    deterministic=True,
  )
  iterator = dataset.prefetch(PREFETCH).as_numpy_iterator()
  try:
    for image_BHWC, rows_B in iterator:
      yield stream.batch(arrays, image_BHWC, rows_B)
  finally:
    # Its threads call Python, which must not happen any more when the interpreter goes down.
    del iterator
