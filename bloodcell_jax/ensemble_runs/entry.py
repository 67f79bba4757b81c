"""The entry point of training: one run, a cross-validation or an ensemble, as the config describes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from typing import Any

from bloodcell_jax.base import run_format
from bloodcell_jax.config import experiment
from bloodcell_jax.ensemble_runs import training as ensemble_training
from bloodcell_jax.runs import adopted, cross_validation, host_state, run_data
from bloodcell_jax.runs import training as run_training
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import console, lock
from bloodcell_jax.train import agreed_stop, hosts, signals, work_queue
from bloodcell_jax.train import progress as progress_lib


def train(config: Any, folder: workdir.Workdir, stop: signals.Stop, apart: hosts.Hosts | None = None) -> None:
  """Trains, or continues, what the config describes, evaluates it and writes its report.

  Args:
    config: a `ConfigDict`.
    folder: locked for this process, after the config has been checked. Of several hosts host 0 alone writes there,
      but for caches and what it trains apart.
    stop: polled between batches.
    apart: hosts that divide the members or folds of the config, of which each trains alone; None for those of
      `hosts.current`, which train one network together.

  Raises:
    UserError: the config is wrong, the folder is in use or holds another run, or the data cannot be trained on.
    RunError: a loss was not finite, or a frozen weight has changed.
    signals.Stopped: a stop was requested; the same call continues.
  """
  exp, group, flat = experiment.resolve(config), apart or hosts.current(), experiment.flat(config)
  with group.together():
    if group.num > 1:
      host_state.check(exp, group.num)
      host_state.agree(json.loads(json.dumps(flat)), 'config', group)
    if group.is_first:
      lock.take(folder.path)
      console.keep(folder.log)
    number = group.from_first('format of the run', lambda: folder.with_format(flat)[run_format.KEY])
    queue = None
    if group.num > 1:
      stop = agreed_stop.shared(stop, group)
    if apart:
      queue = work_queue.Queue(apart, folder.path, lambda new: adopted.put_places(new, flat))
    progress = progress_lib.Progress(is_shown=group.is_first or queue is not None)
    if group.is_first:
      run(flat, folder, stop, progress, run_data.read_images, queue)
    else:
      what = 'combines what all hosts have trained' if queue else 'prints the progress and writes the run'
      print(f'host {group.index} of {group.num} has joined; host 0 {what}')
      with tempfile.TemporaryDirectory() as place:
        own = workdir.Workdir(place, folder.cache / f'host_{group.index}')
        run({**flat, run_format.KEY: number}, own, stop, progress, run_data.read_images, queue)
    group.from_first('end', lambda: None)


def run(
  flat: Mapping[str, Any],
  folder: workdir.Workdir,
  stop: signals.Stop,
  progress: progress_lib.Progress,
  read_images: run_data.ReadImages,
  queue: work_queue.Queue | None = None,
) -> None:
  """As `train`, of a flat config, in a folder that is locked.

  Args:
    flat: the config, checked.
    folder: the run's.
    stop: polled between batches.
    progress: where progress is printed.
    read_images: reads the images.
    queue: of the members or folds, where several hosts divide them.
  """
  config = folder.with_format(flat)
  exp = experiment.from_flat(config)
  if exp.cross_validation.folds:
    cross_validation.run(config, folder, stop, progress, read_images, queue)
  elif exp.ensemble.method:
    ensemble_training.run(config, folder, stop, progress, read_images, queue)
  else:
    run_training.run(config, folder, stop, progress, read_images)
