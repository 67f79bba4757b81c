"""Hosts of which each trains networks alone, on its own devices, and which share values and finished folders."""

from __future__ import annotations

import jax

from bloodcell_jax.system import host_store
from bloodcell_jax.train import host_plan, hosts


def connect(joined: host_plan.Plan, work: str, seconds: float) -> hosts.Hosts:
  """Joins the other hosts; to be called before JAX is first used. `hosts.current` stays this host alone.

  Args:
    joined: who they are.
    work: what they train, such as 'members'.
    seconds: how long to wait for them.

  Raises:
    UserError: they did not come in time, or do not fit together.
  """
  token = host_plan.meet(joined, work, seconds)
  if joined.device_ids is not None:
    # As `jax.distributed` does it.
    visible = ','.join(map(str, joined.device_ids))
    for platform in ('cuda', 'rocm'):
      jax.config.update(f'jax_{platform}_visible_devices', visible)
  store = host_store.Remote(joined.coordinator, token) if joined.index else host_store.Store()
  if not joined.index:
    store.serve(joined.coordinator, token)
  group = hosts.Hosts(joined.index, joined.num, store)
  group.start()
  return group
