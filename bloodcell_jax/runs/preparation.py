"""Prepares a run for training: writes its config, builds its job and its initial parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bloodcell_jax.base import pipelines
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.models import zoo
from bloodcell_jax.runs import (
  convolution_record,
  input_pixels,
  pipeline_choice,
  starting_weights,
  traced_weights,
)
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import lock
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals


def claim(config: Mapping[str, Any], exp: experiment.Experiment, folder: workdir.Workdir) -> None:
  """Writes the config to the folder, which then belongs to this run.

  **Guarantees**: a folder whose `weights.path` cannot be read, or whose network takes larger images, is left without a
  config, so that the corrected command is not refused as another run.

  Raises:
    UserError: the folder holds a run of another config, the weights cannot be read, or the images are too small.
  """
  if not folder.config.exists():
    zoo.check_size(exp.model, exp.data.decode.image_size)
    if exp.weights.path:
      starting_weights.read(exp.weights.path, exp.model.name)
  folder.write_config(config)


def prepare(
  config: Mapping[str, Any],
  exp: experiment.Experiment,
  folder: workdir.Workdir,
  data: dataset.Dataset,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> tuple[job_lib.Job, Any]:
  """Writes the config of a run; returns its job and its initial parameters, None for newly initialized ones.

  Raises:
    UserError: the folder holds a run of another config, or the initial weights cannot be read or do not fit.
    signals.Stopped: a stop was requested.
  """
  lock.take(folder.path)
  read = starting_weights.read(exp.weights.path, exp.model.name) if exp.weights.path else None
  exp = pipeline_choice.settle(exp, folder, data, progress)
  folder.write_config({**config, pipelines.KEY: exp.pipeline})
  if line := convolution_record.note(exp, folder):
    progress.line(line)
  spec = input_pixels.choose(exp, read)
  job = job_lib.Job(exp, data, spec, input_pixels.statistics(folder, spec, data, progress), stop)
  # Compilation, which comes next, takes long and cannot be interrupted.
  stop.poll()
  if read:
    taken = 'all weights' if exp.weights.include_top else 'features'
    pixels_as = read.convention.name if read.convention else 'there'
    left = starting_weights.fresh(job)
    but = f'; weights.exclude leaves newly initialized: {", ".join(left)}' if left else ''
    progress.line(f'{taken} from {read.origin}, pixels as {pixels_as}{but}')
    if line := traced_weights.note(exp.weights.path):
      progress.line(line)
  return job, starting_weights.put(read, job) if read else None
