"""Augmented images per second compared with Keras' ImageDataGenerator and Random layers, in turn within one process.

    python -m benchmarks.input --json=FILE

Both get the same decoded images and the study's ranges, and return float32 batches of 50 in [0, 1]. `stream` is the
whole pipeline from rows to batches: order, random draws, gathering, augmentation and rescaling through tf.data. Keras'
layers are mapped over batches of a tf.data pipeline, as Keras' own guide does: each layer interpolates anew, so that
their pixels are not those of the others. Quote the ratios, measured on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import numpy as np

from benchmarks import machine
from bloodcell_jax.system import process

process.set_up()

from bloodcell_jax.base import rng
from bloodcell_jax.data import stream
from bloodcell_jax.data.augmentation import augment, standardize
from bloodcell_jax.data.sources import smear
from bloodcell_jax.data.tensorflow_cpu import tf

OURS, KERAS = 'bloodcell_jax', 'keras_tensorflow'
NUM_IMAGES = 128
BATCH_SIZE = 50
# Of the study's network with augmentation.
RANGES: dict[str, Any] = {
  'rotation_range': 10.0,
  'width_shift_range': 0.3,
  'height_shift_range': 0.3,
  'shear_range': 0.3,
  'zoom_range': 0.2,
  'horizontal_flip': True,
  'fill_mode': 'nearest',
}
SPEC = augment.Spec(
  keras_version=3,
  brightness_range=(),
  channel_shift_range=0.0,
  cval=0.0,
  vertical_flip=False,
  interpolation_order=1,
  data_format='channels_last',
  **RANGES,
)
STANDARD = standardize.Spec(
  '', 1 / 255, False, False, False, False, False, 1e-6, 0, keras_version=3, data_format='channels_last'
)


@dataclasses.dataclass(frozen=True)
class Contestant:
  """A way to produce batches."""

  model: str  # augmentation or stream
  who: str
  batches: int  # per round; for the stream enough that prefetched batches do not matter
  run: Callable[[int], Any]  # produces this number of batches


def images(size: int) -> np.ndarray:
  """uint8 [N, S, S, 3], synthetic."""
  names = smear.CLASS_NAMES
  return np.stack(
    [smear.draw(names[i % len(names)], rng.generator(0, 'input', i), size, size) for i in range(NUM_IMAGES)]
  )


def _ours(image_NHWC: np.ndarray) -> Callable[[int], Any]:
  shape = image_NHWC.shape[1:]
  apply = augment.make_apply(SPEC, shape, standardize.make_apply(STANDARD, None))
  steps = itertools.count()
  image_BHWC = tf.constant(image_NHWC[:BATCH_SIZE])

  def run(batches: int) -> None:
    for step in itertools.islice(steps, batches):
      positions = step * BATCH_SIZE + np.arange(BATCH_SIZE)
      drawn = augment.draw(SPEC, 0, positions, shape)
      apply(image_BHWC, augment.operands(SPEC, drawn, shape)).numpy()

  return run


def _stream(image_NHWC: np.ndarray) -> Callable[[int], Any]:
  shape, num = image_NHWC.shape[1:], len(image_NHWC)
  arrays = stream.Arrays(image_NHWC, stream.one_hot(np.zeros(num, np.int32), 4), np.ones(num, np.float32))
  apply = augment.make_apply(SPEC, shape, standardize.make_apply(STANDARD, None))

  def drawn() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    for image_BHWC, rows_B, step in stream.raw(arrays, np.arange(num), BATCH_SIZE, 0, 0):
      positions = step * BATCH_SIZE + np.arange(BATCH_SIZE)
      yield image_BHWC, augment.operands(SPEC, augment.draw(SPEC, 0, positions, shape), shape), rows_B

  dataset = tf.data.Dataset.from_generator(
    drawn,
    output_signature=(
      tf.TensorSpec((BATCH_SIZE, *shape), tf.uint8),
      tf.TensorSpec((BATCH_SIZE, 10), tf.float64),
      tf.TensorSpec((BATCH_SIZE,), tf.int64),
    ),
  ).map(lambda image_BHWC, operands, rows_B: (apply(image_BHWC, operands), rows_B), 2, deterministic=True)
  iterator = dataset.prefetch(2).as_numpy_iterator()

  def run(batches: int) -> None:
    for image_BHWC, rows_B in itertools.islice(iterator, batches):
      stream.batch(arrays, image_BHWC, rows_B)

  return run


def _keras(image_NHWC: np.ndarray) -> tuple[Callable[[int], Any], Callable[[int], Any]]:
  """`flow` as a user calls it, and with batches from two threads, as with `workers=2` of `fit`."""
  from keras.src.legacy.preprocessing import image as legacy

  generator = legacy.ImageDataGenerator(rescale=1 / 255, **RANGES)
  flow = generator.flow(image_NHWC, batch_size=BATCH_SIZE, shuffle=True, seed=0)
  pool = futures.ThreadPoolExecutor(2)
  return (
    lambda batches: [next(flow) for _ in range(batches)],
    lambda batches: list(pool.map(lambda i: flow[i % (NUM_IMAGES // BATCH_SIZE)], range(batches))),
  )


def _keras_layers(image_NHWC: np.ndarray) -> Callable[[int], Any]:
  """The same ranges by the layers of Keras, in its own units: parts of a turn and of a side."""
  import keras
  from keras import layers

  keras.utils.set_random_seed(0)
  fill_mode = RANGES['fill_mode']
  augmentation = keras.Sequential(
    [
      layers.RandomFlip('horizontal'),
      layers.RandomRotation(RANGES['rotation_range'] / 360, fill_mode=fill_mode),
      layers.RandomTranslation(
        RANGES['height_shift_range'], RANGES['width_shift_range'], fill_mode=fill_mode
      ),
      layers.RandomShear(x_factor=np.deg2rad(RANGES['shear_range']), fill_mode=fill_mode),
      layers.RandomZoom(RANGES['zoom_range'], RANGES['zoom_range'], fill_mode=fill_mode),
      layers.Rescaling(1 / 255),
    ]
  )
  dataset = (
    tf.data.Dataset.from_tensor_slices(image_NHWC)
    .shuffle(NUM_IMAGES, seed=0)
    .repeat()
    .batch(BATCH_SIZE)
    .map(lambda image_BHWC: augmentation(image_BHWC, training=True), 2)
  )
  iterator = dataset.prefetch(2).as_numpy_iterator()

  def run(batches: int) -> None:
    for _ in itertools.islice(iterator, batches):
      pass

  return run


def compare(contestants: list[Contestant], rounds: int) -> list[dict[str, Any]]:
  """One row per contestant: medians over the rounds."""
  rates: dict[tuple[str, str], list[float]] = {(c.model, c.who): [] for c in contestants}
  for c in contestants:
    c.run(2)
  for i in range(rounds):
    # The order rotates, so that no contestant always follows the same one.
    for c in contestants[i % len(contestants) :] + contestants[: i % len(contestants)]:
      began = time.perf_counter()
      c.run(c.batches)
      rates[c.model, c.who].append(c.batches * BATCH_SIZE / (time.perf_counter() - began))
  base = rates['augmentation', KERAS]
  return [
    {
      'model': model,
      'who': who,
      'images_per_second': round(statistics.median(values), 1),
      'best': round(max(values), 1),
      # Paired in time, so that drift in the machine's speed does not matter.
      'times_keras': round(statistics.median(a / b for a, b in zip(values, base, strict=True)), 2),
    }
    for (model, who), values in rates.items()
  ]


def table(result: dict[str, Any]) -> str:
  """The result as text."""
  described = result['machine']
  lines = [
    f'{described["processor"]}, {described["num_cores"]} cores, load before {described["load_average"]}',
    f'{"model":<14}{"who":<28}{"images/s":>10}{"best":>10}{"x Keras":>9}',
  ]
  for r in result['rows']:
    lines.append(
      f'{r["model"]:<14}{r["who"]:<28}{r["images_per_second"]:>10.0f}{r["best"]:>10.0f}{r["times_keras"]:>9.2f}'
    )
  return '\n'.join(lines)


def main() -> None:
  """Prints the table and writes the JSON."""
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  parser.add_argument('--rounds', type=int, default=9)
  parser.add_argument('--image_size', type=int, default=150)
  parser.add_argument('--json', default='', help='file to write')
  flags = parser.parse_args()
  # Keras uses a name that SciPy has deprecated.
  warnings.filterwarnings('ignore', category=DeprecationWarning)
  image_NHWC = images(flags.image_size)
  flow, threads = _keras(image_NHWC)
  contestants = [
    Contestant('augmentation', KERAS, 2, flow),
    Contestant('augmentation', f'{KERAS}_two_threads', 3, threads),
    Contestant('augmentation', OURS, 30, _ours(image_NHWC)),
    Contestant('stream', OURS, 120, _stream(image_NHWC)),
    Contestant('stream', f'{KERAS}_layers', 60, _keras_layers(image_NHWC)),
  ]
  result = {'machine': machine.describe(), 'rows': compare(contestants, flags.rounds)}
  print(table(result))
  if flags.json:
    with open(flags.json, 'w', encoding='utf-8') as file:
      json.dump(result, file, indent=1)


if __name__ == '__main__':
  main()
