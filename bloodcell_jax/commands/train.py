"""Train or continue a run, evaluate its best checkpoint, write its report."""

from __future__ import annotations

from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.base import types
from bloodcell_jax.commands import host_flags
from bloodcell_jax.config import experiment, stages
from bloodcell_jax.ensemble_runs import dry_run
from bloodcell_jax.runs import host_state
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals

# What to do where the results cannot be written.
WHERE_ELSE = 'name a writable folder with --workdir'


def define_flags() -> None:
  """Where the images are, and whether to train at all."""
  flags.DEFINE_string('data_dir', '', 'the same as --config.data.dir')
  flags.DEFINE_bool(
    'dry_run',
    False,
    'print the devices, memory and time that training would take; train nothing, write no folder',
  )
  host_flags.define()


def run(request: commands.Request, stop: signals.Stop) -> None:
  """Trains to the end of the config's epochs, from the newest checkpoint if there is one."""
  if request.config is None:
    raise types.UserError('train needs a config, such as --config=configs/default.py')
  if request.paths:
    raise types.UserError(
      f'{request.paths[0]}: train takes no paths; name the folder with --config.data.source=folders --config.data.dir'
    )
  config = experiment.with_data_dir(request.config, commands.data_dir())
  exp, progress = experiment.resolve(config), progress_lib.Progress()
  for line in stages.ignored(request.given, config.stages.order):
    progress.line(line)
  # Called by code, the command has parsed no flags.
  if 'dry_run' in flags.FLAGS and flags.FLAGS['dry_run'].value:
    joined = host_flags.read()
    num_hosts = joined.num if joined else 1
    host_state.check(exp, num_hosts)
    folder = workdir.Workdir(request.folder())
    dry_run.run(experiment.flat(config), folder, stop, progress, num_hosts)
    return
  host_flags.train(config, request.folder(), stop)
