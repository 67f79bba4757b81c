"""Images per second from a folder of JPEG files to probabilities, decoding included, compared with Keras' `predict`.

    python -m benchmarks.predict --json=FILE

CNN B at 150x150 on synthetic smears of 320x240, nearest-neighbour resizing as in the study. This project runs its
`predict` command, including the journal on disk. Keras reads the folder in two ways: by
`image_dataset_from_directory`, and by `ImageDataGenerator.flow_from_directory` as in the study. Contestants are timed
in turn, each in its own process, idle while another is timed. Quote the ratios, measured on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import child, contestants, machine

OURS, KERAS, GENERATOR = 'bloodcell_jax', 'keras_tensorflow', 'keras_tensorflow_generator'
MODEL, SIDE, BATCH_SIZE = 'cnn_b', 150, 50
NUM_DRAWN = 50


def write_images(folder: pathlib.Path, num: int) -> None:
  """`num` distinct JPEG files in one class folder, which Keras requires."""
  from PIL import Image

  from bloodcell_jax.base import rng
  from bloodcell_jax.data.sources import smear

  names = smear.CLASS_NAMES
  smears = [
    smear.draw(names[i % len(names)], rng.generator(0, 'predict', i), 240, 320) for i in range(NUM_DRAWN)
  ]
  (folder / 'all').mkdir(parents=True)
  for i in range(num):
    # Rolled, so that no two files have the same bytes: this project would predict them once.
    image_HWC = np.roll(smears[i % NUM_DRAWN], i // NUM_DRAWN, axis=1)
    Image.fromarray(image_HWC).save(folder / 'all' / f'{i:06d}.jpg', quality=75)


def ours(folder: str) -> Callable[[int], float]:
  """The `predict` command between reading its configuration and writing its tables."""
  from bloodcell_jax.system import process

  process.set_up()
  from bloodcell_jax.config import experiment
  from bloodcell_jax.data import dataset
  from bloodcell_jax.data.sources import input_paths
  from bloodcell_jax.inference import classifier, file_predictions
  from bloodcell_jax.runs import job as job_lib
  from bloodcell_jax.storage import journal
  from bloodcell_jax.train import signals
  from configs import cnn_b

  exp = experiment.resolve(cnn_b.get_config())
  data = dataset.empty(('A', 'B', 'C', 'D'))
  job = job_lib.Job(exp, data, exp.transform.standardize, None, signals.Stop())
  loaded = classifier.from_network(job, job.params, None, '', {})
  loaded.probabilities(np.zeros((1, SIDE, SIDE, 3), np.uint8))  # compiled

  def run(_: int) -> float:
    with tempfile.TemporaryDirectory() as place:
      began = time.perf_counter()
      paths, _problems = input_paths.find([folder])
      known = journal.Journal(pathlib.Path(place, 'journal.jsonl'), 'benchmark', loaded.class_names)
      done = file_predictions.predict_files(
        loaded, paths, exp.data.decode, known, lambda done, total: None, file_predictions.cells_of
      )
      return len(done.cells) / (time.perf_counter() - began)

  return run


def keras(folder: str, by_generator: bool) -> Callable[[int], float]:
  """Keras' `predict` over the folder."""
  os.environ['KERAS_BACKEND'] = 'tensorflow'
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  import keras as library

  model = contestants.keras_model(MODEL)
  model.predict(np.zeros((BATCH_SIZE, SIDE, SIDE, 3), np.float32), verbose=0)

  def run(_: int) -> float:
    began = time.perf_counter()
    if by_generator:
      from keras.src.legacy.preprocessing import image as legacy

      source = legacy.ImageDataGenerator(rescale=1 / 255).flow_from_directory(
        folder, (SIDE, SIDE), batch_size=BATCH_SIZE, class_mode=None, shuffle=False
      )
    else:
      source = library.utils.image_dataset_from_directory(
        folder, labels=None, batch_size=BATCH_SIZE, image_size=(SIDE, SIDE), shuffle=False,
        interpolation='nearest', verbose=False,
      ).map(lambda image: image / 255)  # fmt: skip
    probs_NK = model.predict(source, verbose=0)
    return len(probs_NK) / (time.perf_counter() - began)

  return run


WHO: dict[str, Callable[[str], Callable[[int], float]]] = {
  OURS: ours,
  KERAS: lambda folder: keras(folder, by_generator=False),
  GENERATOR: lambda folder: keras(folder, by_generator=True),
}


def compare(folder: str, rounds: int) -> list[dict[str, Any]]:
  """One row per contestant: medians over the rounds, in turn."""
  children = {who: child.Child('benchmarks.predict', who, folder) for who in WHO}
  try:
    rates: dict[str, list[float]] = {who: [] for who in WHO}
    for c in children.values():
      c.ask(0)
    names = list(WHO)
    for i in range(rounds):
      for who in names[i % len(names) :] + names[: i % len(names)]:
        rates[who].append(children[who].ask(0))
  finally:
    for c in children.values():
      c.close()
  return [
    {
      'model': MODEL,
      'who': who,
      'images_per_second': round(statistics.median(values), 1),
      'best': round(max(values), 1),
      'ours_times': round(statistics.median(a / b for a, b in zip(rates[OURS], values, strict=True)), 2),
    }
    for who, values in rates.items()
  ]


def main() -> None:
  """Prints the table and writes the JSON."""
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  parser.add_argument('--rounds', type=int, default=5)
  parser.add_argument('--images', type=int, default=1000)
  parser.add_argument('--json', default='', help='file to write')
  flags = parser.parse_args()
  with tempfile.TemporaryDirectory() as place:
    folder = pathlib.Path(place, 'images')
    write_images(folder, flags.images)
    result: dict[str, Any] = {'machine': machine.describe(), 'rows': compare(str(folder), flags.rounds)}
  described = result['machine']
  print(f'{described["processor"]}, {described["num_cores"]} cores, load before {described["load_average"]}')
  print(f'{"who":<30}{"images/s":>10}{"best":>10}{"ours x":>8}')
  for r in result['rows']:
    print(f'{r["who"]:<30}{r["images_per_second"]:>10.0f}{r["best"]:>10.0f}{r["ours_times"]:>8.2f}')
  if flags.json:
    pathlib.Path(flags.json).write_text(json.dumps(result, indent=1))


if __name__ == '__main__':
  if '--child' in sys.argv:
    who, folder = sys.argv[sys.argv.index('--child') + 1 :][:2]
    child.serve(lambda: WHO[who](folder))
  else:
    main()
