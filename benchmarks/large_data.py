"""Memory and time of a training as its images become more, with `data.cache=none`.

    python -m benchmarks.large_data FOLDER --images=10000,100000,1000000

Draws images of noise, no two alike, writes them as a TFDS data set in ArrayRecord files below FOLDER (1.3 GB for a
million), trains CNN A on them for a few updates, and prints what each run took. A data set that is there is used again.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import machine

SIDE = 48  # of the images, pixels
CLASSES = 4
ROWS_A_FILE = 50_000
SPLITS = {'train': 1.0, 'validation': 0.002, 'test': 0.002}  # sizes as fractions of the training images


@dataclasses.dataclass(frozen=True)
class Cost:
  """What a run took."""

  peak_mb: float  # largest resident memory of the process
  seconds: float
  processor: float  # seconds


def main() -> None:
  """Parses the command line, writes the data sets, runs and prints a table."""
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  parser.add_argument('folder', type=pathlib.Path, help='of the data sets')
  parser.add_argument('--images', default='10000,100000,1000000', help='numbers of training images')
  parser.add_argument('--caches', default='none', help='values of data.cache, separated by commas')
  arguments = parser.parse_args()
  print('| training images | data.cache | peak memory, MB | seconds | processor seconds |')
  print('|---:|---|---:|---:|---:|')
  for num in map(int, arguments.images.split(',')):
    folder = arguments.folder / str(num)
    if not (folder / 'dataset_info.json').exists():
      write(folder, num)
    for cache in arguments.caches.split(','):
      took = train(folder, cache)
      print(
        f'| {num:,} | {cache} | {took.peak_mb:,.0f} | {took.seconds:.0f} | {took.processor:.0f} |', flush=True
      )


def write(folder: pathlib.Path, num: int) -> None:
  """Writes the data set of `num` training images."""
  import tensorflow_datasets as tfds
  from tensorflow_datasets.core import sequential_writer

  folder.mkdir(parents=True, exist_ok=True)
  features = tfds.features.FeaturesDict(
    {
      'image': tfds.features.Image(shape=(SIDE, SIDE, 3), encoding_format='jpeg'),
      'label': tfds.features.ClassLabel(num_classes=CLASSES),
    }
  )
  identity = tfds.core.DatasetIdentity('noise', tfds.core.Version('1.0.0'), str(folder), '')
  info = tfds.core.DatasetInfo(builder=identity, features=features)
  writer = sequential_writer.SequentialWriter(info, ROWS_A_FILE, file_format='array_record')
  writer.initialize_splits(list(SPLITS))
  for seed, (split, share) in enumerate(SPLITS.items()):
    writer.add_examples({split: images(max(40, round(share * num)), seed)})
  writer.close_all()


def images(num: int, seed: int) -> Iterator[dict[str, Any]]:
  """Images of coarse noise, of a brightness that depends on the class."""
  generator = np.random.default_rng(seed)
  for i in range(num):
    coarse = generator.integers(0, 160, (6, 6, 3), np.uint8) + np.uint8(20 * (i % CLASSES))
    data = io.BytesIO()
    Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BILINEAR).save(data, 'JPEG', quality=90)
    data.seek(0)
    yield {'image': data, 'label': i % CLASSES}


def train(folder: pathlib.Path, cache: str) -> Cost:
  """Trains CNN A on the data set for 200 updates, in a process and a folder of its own."""
  with tempfile.TemporaryDirectory() as workdir:
    command = [
      sys.executable, 'main.py', '--config=configs/cnn_a.py', f'--workdir={workdir}/run', '--config.data.source=tfds',
      f'--config.data.dir={folder}', f'--config.data.cache={cache}', f'--config.data.image_size={SIDE}',
      '--config.train.steps_per_epoch=200', '--config.train.epochs=1',
    ]  # fmt: skip
    return cost(command)


def cost(command: Sequence[str]) -> Cost:
  """What a training by the command line takes, in a process of its own; ends this one where that fails."""
  began = time.monotonic()
  process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
  _, status, usage = os.wait4(process.pid, 0)
  if status:
    sys.exit(f'the training ended with status {status}: {" ".join(command)}')
  seconds, processor = time.monotonic() - began, usage.ru_utime + usage.ru_stime
  return Cost(machine.peak_mb(usage), seconds, processor)


if __name__ == '__main__':
  main()
