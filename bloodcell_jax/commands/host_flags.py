"""The flags that name the hosts of a training, and the training by them."""

from __future__ import annotations

import pathlib
from typing import Any

from absl import flags

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.ensemble_runs import entry
from bloodcell_jax.runs import host_state
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import host_plan, hosts, hosts_apart, signals

# The flags belong to the command that defines them.
flags.disclaim_key_flags()


def define() -> None:
  """Which hosts, and which of them this is."""
  flags.DEFINE_string(
    'coordinator',
    '',
    'HOST:PORT of the first of several hosts that train together (docs/scale.md); auto under SLURM or Open MPI',
  )
  flags.DEFINE_integer('num_processes', None, 'how many hosts train together')
  flags.DEFINE_integer('process_id', None, 'number of this host, from 0')
  flags.DEFINE_integer('initialization_timeout', 120, 'seconds to wait for the other hosts')


def read() -> host_plan.Plan | None:
  """The hosts that the flags name; None for this one alone, or where no flags were parsed."""
  # Called by code, a command has parsed no flags.
  if 'coordinator' not in flags.FLAGS:
    return None
  coordinator, num, index = (_value(name) for name in ('coordinator', 'num_processes', 'process_id'))
  return host_plan.read(coordinator, num, index)


def check_alone(joined: host_plan.Plan | None, what: str) -> None:
  """Refuses hosts for what one host does.

  Raises:
    UserError: there are several.
  """
  if joined:
    raise types.UserError(f'--coordinator: {what} runs on one host; leave the flag out')


def train(config: Any, folder: pathlib.Path, stop: signals.Stop) -> None:
  """Trains what the config describes: on this host, together with others, or a share of its members or folds."""
  joined, apart = read(), None
  if joined:
    exp = experiment.resolve(config)
    host_state.check(exp, joined.num)
    if host_state.is_divided(exp):
      apart = connect_apart(joined, 'members or folds')
    else:
      hosts.connect(joined, _value('initialization_timeout'))
  entry.train(config, workdir.Workdir(folder), stop, apart)


def connect_apart(joined: host_plan.Plan, work: str) -> hosts.Hosts:
  """As `hosts_apart.connect`, waiting as long as the flag says."""
  return hosts_apart.connect(joined, work, _value('initialization_timeout'))


def _value(name: str) -> Any:
  return flags.FLAGS[name].value
