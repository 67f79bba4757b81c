"""Which hosts train together, by the flags of the command or as a cluster says."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

import bloodcell_jax
from bloodcell_jax.base import types
from bloodcell_jax.system import rendezvous

AUTO = 'auto'


@dataclasses.dataclass(frozen=True)
class Plan:
  """Who trains together."""

  coordinator: str  # HOST:PORT, of host 0
  num: int  # 2 or more
  index: int  # of this one, from 0
  device_ids: tuple[int, ...] | None  # the GPUs of this process; None for all that it sees


def read(coordinator: str, num_processes: int | None, process_id: int | None) -> Plan | None:
  """The hosts that flags ask for; None for this one alone.

  Args:
    coordinator: HOST:PORT; auto to take all from SLURM or Open MPI as JAX reads them; empty for this host alone.
    num_processes: hosts in all; None if not given.
    process_id: of this one; None if not given.

  Raises:
    UserError: one is missing or out of range, or there is no cluster to take them from.
  """
  ids: Any = None
  if not coordinator:
    if num_processes is not None or process_id is not None:
      raise types.UserError(
        '--num_processes and --process_id need the address of host 0; give --coordinator=HOST:PORT, or '
        '--coordinator=auto alone under SLURM or Open MPI'
      )
    return None
  if coordinator == AUTO:
    coordinator, num_processes, process_id, ids = _detected(num_processes, process_id)
  else:
    rendezvous.address(coordinator)
  if num_processes is None or process_id is None:
    raise types.UserError(
      f'--coordinator={coordinator} needs the number of hosts and that of this one; add --num_processes=N and '
      '--process_id=K, from 0 to N - 1'
    )
  if num_processes < 1 or not 0 <= process_id < num_processes:
    raise types.UserError(
      f'--process_id is {process_id} with --num_processes={num_processes}; choose 0 to N - 1 of N hosts'
    )
  if num_processes == 1:
    return None
  return Plan(coordinator, num_processes, process_id, None if ids is None else tuple(ids))


def meet(joined: Plan, work: str, seconds: float) -> str:
  """Waits for the other hosts, which must have the same versions and be about to train the same kind of `work`."""
  versions = f'{bloodcell_jax.__version__} and {jax.__version__}'
  about = {'the version of bloodcell_jax and JAX': versions, 'what is trained': work}
  return rendezvous.meet(joined.coordinator, joined.num, joined.index, about, seconds)


def _detected(num_processes: int | None, process_id: int | None) -> Any:
  # JAX has no public name for it.
  from jax._src import clusters

  found = clusters.ClusterEnv.auto_detect_unset_distributed_params(
    None, num_processes, process_id, None, None, 60
  )
  if found[0] is None:
    raise types.UserError(
      '--coordinator=auto finds neither SLURM nor Open MPI here; give --coordinator=HOST:PORT, --num_processes and '
      '--process_id'
    )
  return found
