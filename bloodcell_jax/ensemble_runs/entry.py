"""Where training begins, whatever the config describes: one run, a cross-validation or an ensemble."""

from __future__ import annotations

from typing import Any

from bloodcell_jax.config import experiment
from bloodcell_jax.ensemble_runs import training as ensemble_training
from bloodcell_jax.runs import cross_validation
from bloodcell_jax.runs import training as run_training
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import lock
from bloodcell_jax.train import progress, signals


def train(config: Any, folder: workdir.Workdir, stop: signals.Stop) -> None:
  """Trains what the config describes, from the newest checkpoint if there is one, scores it and writes its report.

  Args:
    config: a `ConfigDict`.
    folder: taken for this process; nothing is written to it before the config has been checked.
    stop: asked between batches.

  Raises:
    UserError: the config is wrong, the folder is in use or holds another run, or the data cannot be trained on.
    RunError: a loss was not finite, or a frozen weight has changed.
    signals.Stopped: a stop was asked for; the same call continues.
  """
  experiment.resolve(config)
  lock.take(folder.path)
  flat = folder.with_format(experiment.flat(config))
  exp = experiment.from_flat(flat)
  if exp.cross_validation.folds:
    cross_validation.run(flat, folder, stop, progress.Progress())
  elif exp.ensemble.method:
    ensemble_training.run(flat, folder, stop, progress.Progress())
  else:
    run_training.run(flat, folder, stop, progress.Progress())
