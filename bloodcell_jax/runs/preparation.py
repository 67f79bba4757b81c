"""A run made ready to train: its config written, its job built, its first parameters there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.runs import input_pixels, job, starting_weights
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import lock
from bloodcell_jax.train import progress, signals


def prepare(
  config: Mapping[str, Any],
  exp: experiment.Experiment,
  folder: workdir.Workdir,
  data: dataset.Dataset,
  stop: signals.Stop,
  shown: progress.Progress,
) -> tuple[job.Job, Any]:
  """The job of a run that is to be trained, and the parameters that it begins with; its config is written down.

  Raises:
    UserError: the folder holds a run of another config, or weights that are read do not fit.
    signals.Stopped: a stop was asked for.
  """
  lock.take(folder.path)
  folder.write_config(config)
  read = starting_weights.read(exp.weights.path, exp.model.name) if exp.weights.path else None
  spec = input_pixels.choose(exp, read)
  made = job.Job(exp, data, spec, input_pixels.statistics(folder, spec, data, shown), stop)
  # Before what is compiled, which takes longer than all so far.
  stop.poll()
  if read:
    taken = 'all weights' if exp.weights.include_top else 'features'
    pixels_as = read.convention.name if read.convention else 'there'
    shown.line(f'{taken} from {read.origin}, pixels as {pixels_as}')
  return made, made.initial(read)
