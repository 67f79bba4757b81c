"""A whole epoch of CNN B compared with Keras' `fit`: updates, evaluation and checkpoint.

    python -m benchmarks.epoch --data_dir=FOLDER --json=FILE

The images are those of the Kaggle set in FOLDER, or the package's synthetic ones without FOLDER. Both read decoded
bytes, shuffle and rescale them through tf.data, evaluate on the same validation images, and write a checkpoint of
weights and optimizer, whose write to disk is part of the time.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import queue
import statistics
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import child, contestants, machine, step_cases
from bloodcell_jax.system import process

OURS, KERAS = 'bloodcell_jax', 'keras_tensorflow'
if OURS in sys.argv:
  # Before JAX is imported, and not in the process of Keras, whose allocator keeps its defaults.
  process.set_up()

from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset, reading
from bloodcell_jax.optim import keras as keras_optim
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.train import checkpoint, checkpoint_folder, history, loop, plan, progress, signals
from configs import cnn_b

MANY = 10**6  # epochs; the parent kills the child


def data(data_dir: str, cache: pathlib.Path) -> tuple[experiment.Experiment, dataset.Dataset]:
  """CNN B by RMSprop as the study ran it, and its images."""
  config = cnn_b.get_config('rmsprop')
  config.train.epochs = MANY
  if data_dir:
    config.data.source, config.data.dir = 'kaggle', data_dir
  exp = experiment.resolve(config)
  return exp, reading.build(exp.data, exp.seed, cache, lambda done, total: None)


def stepwise(train: Callable[[Callable[[], None]], None]) -> Callable[[int], float]:
  """A function that lets a training go on for one epoch and returns its seconds.

  Args:
    train: trains for ever and calls what it is given at the end of each epoch.
  """
  go: queue.Queue[None] = queue.Queue()
  done: queue.Queue[float] = queue.Queue()
  began = 0.0

  def wait() -> None:
    nonlocal began
    go.get()
    began = time.perf_counter()

  def epoch_is_done() -> None:
    done.put(time.perf_counter() - began)
    wait()

  def work() -> None:
    wait()
    try:
      train(epoch_is_done)
    except BaseException:
      traceback.print_exc()
      # Nobody else would tell the parent, which waits for an answer.
      os._exit(1)

  threading.Thread(target=work, daemon=True).start()

  def run(_: int) -> float:
    go.put(None)
    return done.get()

  return run


def ours(data_dir: str, folder: pathlib.Path) -> Callable[[int], float]:
  """Seconds of an epoch in this project."""
  exp, images = data(data_dir, folder)
  job = job_lib.Job(exp, images, exp.transform.standardize, None, signals.Stop())
  store, stage = checkpoint.Store(folder / 'checkpoints', exp.monitor), exp.stages[0]
  stage_info = checkpoint_folder.StageInfo(stage.fit.name, '', dataclasses.asdict(job.transform.standardize))
  begin = checkpoint.Saved(job.initial_state(stage, job.params, 0), [], 0.0, stage_info)

  def train(epoch_is_done: Callable[[], None]) -> None:
    def on_epoch(records: list[history.Record]) -> None:
      store.wait()
      epoch_is_done()

    parts = plan.Parts(
      step=job.train_step(stage, job.model),
      many=None,
      batches=job.batches,
      evaluate=job.evaluator(stage),
      learning_rate=keras_optim.schedule(stage.weights.optimizer),
      batch_size=exp.batch_size,
      key=job.dropout_key(),
      store=store,
      stop=job.stop,
      progress=progress.Progress(),
      on_epoch=on_epoch,
    )
    loop.fit(begin, stage.fit, job.loop_spec, parts)

  return stepwise(train)


def keras(data_dir: str, folder: pathlib.Path) -> Callable[[int], float]:
  """Seconds of an epoch of Keras' `fit`."""
  os.environ['KERAS_BACKEND'] = 'tensorflow'
  exp, source = data(data_dir, folder)
  import keras as k
  import tensorflow as tf

  target_NK = np.eye(step_cases.CLASSES, dtype=np.float32)[source.table.label]

  def images(rows: np.ndarray) -> Any:
    return tf.data.Dataset.from_tensor_slices((source.image_NHWC[rows], target_NK[rows]))

  def rescaled(chosen: Any) -> Any:
    return chosen.batch(exp.batch_size).map(lambda x, y: (tf.cast(x, tf.float32) / 255.0, y)).prefetch(2)

  def train(epoch_is_done: Callable[[], None]) -> None:
    rows = source.rows['train']
    contestants.keras_model('cnn_b').fit(
      rescaled(images(rows).shuffle(len(rows), seed=0).repeat()),
      steps_per_epoch=exp.loop.steps_per_epoch,
      epochs=MANY,
      validation_data=rescaled(images(source.rows['validation'])),
      callbacks=[
        k.callbacks.ModelCheckpoint(str(folder / 'model.keras')),
        k.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epoch_is_done()),
      ],
      verbose=0,
    )

  return stepwise(train)


WHO = {OURS: ours, KERAS: keras}


def compare(data_dir: str, rounds: int) -> list[dict[str, Any]]:
  """One row a contestant; the first epoch of each, which compiles, stands apart."""
  children = {name: child.Child('benchmarks.epoch', name, data_dir) for name in WHO}
  try:
    first = {name: c.ask(1) for name, c in children.items()}
    times: dict[str, list[float]] = {name: [] for name in WHO}
    for i in range(rounds):
      for name in list(WHO)[:: -1 if i % 2 else 1]:
        times[name].append(children[name].ask(1))
  finally:
    for c in children.values():
      c.close()
  pairs = zip(times[OURS], times[KERAS], strict=True)
  paired = {OURS: 1.0, KERAS: round(statistics.median(a / b for a, b in pairs), 3)}
  median = {name: statistics.median(values) for name, values in times.items()}
  return [
    {
      'model': 'cnn_b',
      'who': name,
      'ms': round(1e3 * median[name]),
      'ms_min': round(1e3 * min(times[name])),
      'first_ms': round(1e3 * first[name]),
      'ratio': round(median[OURS] / median[name], 3),
      'paired_ratio': paired[name],
    }
    for name in WHO
  ]


def main() -> None:
  """Prints the table and writes the JSON, or is the child of such a run."""
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  parser.add_argument(
    '--data_dir', default='', help='the folder of the Kaggle images; synthetic ones without'
  )
  parser.add_argument('--rounds', type=int, default=4, help='epochs of each')
  parser.add_argument('--json', default='', help='file to write')
  parser.add_argument('--child', nargs=2, metavar=('WHO', 'DATA_DIR'), help=argparse.SUPPRESS)
  flags = parser.parse_args()
  if flags.child:
    who, data_dir = flags.child
    with tempfile.TemporaryDirectory() as folder:
      child.serve(lambda: WHO[who](data_dir, pathlib.Path(folder)))
    return
  result: dict[str, Any] = {'machine': machine.describe(), 'rows': compare(flags.data_dir, flags.rounds)}
  print(f'{result["machine"]["processor"]}, {result["machine"]["num_cores"]} cores')
  print(f'{"who":<18}{"epoch, s":>10}{"fastest":>9}{"first":>8}{"ours/this":>11}{"paired":>8}')
  for r in result['rows']:
    print(
      f'{r["who"]:<18}{r["ms"] / 1e3:>10.1f}{r["ms_min"] / 1e3:>9.1f}{r["first_ms"] / 1e3:>8.1f}'
      f'{r["ratio"]:>11.2f}{r["paired_ratio"]:>8.2f}'
    )
  if flags.json:
    pathlib.Path(flags.json).write_text(json.dumps(result, indent=1), encoding='utf-8')


if __name__ == '__main__':
  main()
