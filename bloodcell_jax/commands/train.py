"""Train or continue a run, evaluate its best checkpoint, write its report."""

from __future__ import annotations

from typing import Any

from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.ensemble_runs import dry_run, entry
from bloodcell_jax.runs import host_state
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import host_plan, hosts, signals
from bloodcell_jax.train import progress as progress_lib

# What to do where the results cannot be written.
WHERE_ELSE = 'name a folder that can be written with --workdir'


def define_flags() -> None:
  """Where the images are, and whether to train at all."""
  flags.DEFINE_string('data_dir', '', 'the same as --config.data.dir')
  flags.DEFINE_bool(
    'dry_run', False, 'print devices, memory and the time that it takes; train nothing, write no folder'
  )
  flags.DEFINE_string(
    'coordinator',
    '',
    'HOST:PORT of the first of several hosts that train together (docs/scale.md); auto under SLURM or Open MPI',
  )
  flags.DEFINE_integer('num_processes', None, 'how many hosts train together')
  flags.DEFINE_integer('process_id', None, 'which of them this is, from 0')
  flags.DEFINE_integer('initialization_timeout', 120, 'seconds to wait for the other hosts')


def run(request: commands.Request, stop: signals.Stop) -> None:
  """Trains to the end of the config's epochs, from the newest checkpoint if there is one."""
  if request.config is None:
    raise types.UserError('train needs a config, such as --config=configs/default.py')
  if request.paths:
    raise types.UserError(
      f'{request.paths[0]}: train takes no paths; name the folder with --config.data.source=folders --config.data.dir'
    )
  config = experiment.with_data_dir(request.config, commands.data_dir())
  folder, joined = workdir.Workdir(request.folder()), _hosts()
  # Called by code, the command has parsed no flags.
  if 'dry_run' in flags.FLAGS and flags.FLAGS['dry_run'].value:
    exp, num_hosts = experiment.resolve(config), joined.num if joined else 1
    host_state.check(exp, num_hosts)
    dry_run.run(experiment.flat(config), folder, stop, progress_lib.Progress(), num_hosts)
    return
  if joined:
    host_state.check(experiment.resolve(config), joined.num)
    hosts.connect(joined, _flag('initialization_timeout'))
  entry.train(config, folder, stop)


def _hosts() -> host_plan.Plan | None:
  """The hosts that the flags name; None for this one alone, or where no flags were parsed."""
  if 'coordinator' not in flags.FLAGS:
    return None
  coordinator, num, index = (_flag(name) for name in ('coordinator', 'num_processes', 'process_id'))
  return host_plan.read(coordinator, num, index)


def _flag(name: str) -> Any:
  return flags.FLAGS[name].value
