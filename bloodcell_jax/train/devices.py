"""Functions compiled over several devices; the only file that uses `jax.pmap`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.system import memory

AXIS = 'device'
# Ways to train many members in one program.
MEMBERS = ('vmap', 'map')


def devices(num_devices: int) -> list[jax.Device]:
  """The first `num_devices` local devices; all of them when it is 0.

  Raises:
    UserError: there are fewer.
  """
  local = jax.local_devices()
  if num_devices > len(local):
    raise types.UserError(
      f'train.num_devices is {num_devices}, but this process sees {len(local)} ({local[0].platform})'
    )
  return local[: num_devices or len(local)]


def shard(batch: types.Batch, num_devices: int) -> types.Batch:
  """The batch as [devices, rows a device, ...], padded with rows of weight 0.

  **Guarantees**: every row of the batch is in exactly one shard, in order.
  """
  return jax.tree.map(lambda x: _split(x, num_devices, 0), batch)


def _split(x: Any, num_devices: int, axis: int) -> np.ndarray:
  """The array with its axis `axis` of rows divided over devices, a new first axis; padded with zeros."""
  x = np.asarray(x)
  size = x.shape[axis]
  per_device = -(-size // num_devices)
  if missing := per_device * num_devices - size:
    x = np.pad(x, [(0, missing if i == axis else 0) for i in range(x.ndim)])
  return np.moveaxis(x.reshape(*x.shape[:axis], num_devices, per_device, *x.shape[axis + 1 :]), axis, 0)


def replicate(tree: Any, on: Sequence[jax.Device]) -> Any:
  """The tree on every device, in the layout of a mapped function's outputs; the tree itself if it is so already.

  Inputs in another layout would recompile the mapped function in each of a run's first two steps and in the first step
  of every epoch.
  """
  replicated = _replicated(tuple(on))
  # With nothing to move, `device_put` still takes as long as a small network's update.
  if all(isinstance(leaf, jax.Array) and leaf.sharding == replicated for leaf in jax.tree.leaves(tree)):
    return tree
  return jax.device_put(tree, replicated)


@functools.cache
def _replicated(on: tuple[jax.Device, ...]) -> jax.sharding.NamedSharding:
  return jax.sharding.NamedSharding(jax.sharding.Mesh(np.array(on), (AXIS,)), jax.sharding.PartitionSpec())


def _map_step(step: Callable[..., Any], on: Sequence[jax.Device]) -> Any:
  return jax.pmap(
    step,
    axis_name=AXIS,
    in_axes=(None, 0, None, None),
    out_axes=(None, None),
    devices=list(on),
    donate_argnums=0,
  )


def needed_bytes(
  step: Callable[..., Any],
  on: Sequence[jax.Device],
  state: Any,
  batch: types.Batch,
  key: jax.Array,
  scale: np.ndarray | np.float32,
) -> int:
  """Bytes that a call of `make_train(step, on)` takes on a device: inputs, outputs and temporaries.

  Compiles the program without running it; arguments may be shapes instead of arrays.
  """
  stats = _map_step(step, on).lower(state, shard(batch, len(on)), key, scale).compile().memory_analysis()
  return stats.argument_size_in_bytes + _added_bytes(stats)


def _added_bytes(stats: Any) -> int:
  """Bytes that a compiled call takes beside its arguments."""
  # A donated buffer is counted both as an argument and as an output.
  return stats.output_size_in_bytes - stats.alias_size_in_bytes + stats.temp_size_in_bytes


def _with_memory_check(mapped: Any, on: Sequence[jax.Device], work: str, key: str) -> Callable[..., Any]:
  """The mapped function, which before its first call checks that enough memory is free; else the system may kill it.

  JAX reuses the compilation of the check for the call. `work` is named in the error with `key`, which makes it smaller.
  """
  is_checked = False

  def run(*args: Any) -> Any:
    nonlocal is_checked
    if not is_checked:
      stats = mapped.lower(*args).compile().memory_analysis()
      if stats:
        advice = f'lower {key} or data.image_size'
        # XLA's estimate is exact except on CPUs.
        factor = memory.PEAK_FACTOR if on[0].platform == 'cpu' else 1
        memory.require(_added_bytes(stats), memory.free(on[0]), work, advice, peak_factor=factor)
      is_checked = True
    return mapped(*args)

  return run


def make_train(step: Callable[..., Any], on: Sequence[jax.Device]) -> Callable[..., Any]:
  """`step(state, batch, key, scale)` compiled over the devices; state in and out without a device axis.

  The state is donated: the caller's copy is deleted by the call. `step` itself sums over devices
  with `jax.lax.psum(..., AXIS)`, so that its outputs are equal on all of them.

  The compiled function raises RunError before its first call where too little memory is free.
  """
  mapped = _with_memory_check(_map_step(step, on), on, 'an update', 'train.batch_size')
  return lambda state, batch, key, scale: mapped(replicate(state, on), shard(batch, len(on)), key, scale)


def make_train_members(step: Callable[..., Any], on: Sequence[jax.Device], how: str) -> Callable[..., Any]:
  """As `make_train`, for many members in one program: all inputs and outputs have a leading axis M of members.

  **Guarantees**: each member's update equals that of `make_train` for it alone, to float tolerance; the batch of
  every member is divided over the devices as there. The state is donated.

  Args:
    step: as for `make_train`, of one member.
    on: the devices.
    how: 'vmap', all members at once, or 'map', one after the other within the step. On a CPU `vmap` turns
      convolutions into grouped ones, which take twice as long.
  """
  if how not in MEMBERS:
    raise ValueError(f'how is {how!r}; choose one of {", ".join(MEMBERS)}')

  def one_by_one(*args_M: Any) -> Any:
    return jax.lax.map(lambda args: step(*args), args_M)

  parallel = _map_step(jax.vmap(step) if how == 'vmap' else one_by_one, on)
  mapped = _with_memory_check(
    parallel, on, 'an update of all members', 'ensemble.vectorized, train.batch_size'
  )

  def run(state_M: Any, batch_M: types.Batch, key_M: jax.Array, scale_M: np.ndarray) -> Any:
    batch = jax.tree.map(lambda x: _split(x, len(on), 1), batch_M)
    return mapped(replicate(state_M, on), batch, key_M, scale_M)

  return run


def make_apply(function: Callable[..., Any], on: Sequence[jax.Device]) -> Callable[..., Any]:
  """`function(params, batch) -> array_B...` compiled over the devices, without the rows of padding.

  The compiled function raises RunError before its first call where too little memory is free.
  """
  parallel = jax.pmap(function, axis_name=AXIS, in_axes=(None, 0), out_axes=0, devices=list(on))
  mapped = _with_memory_check(parallel, on, 'a batch', 'evaluate.batch_size')

  def apply(params: Any, batch: types.Batch) -> np.ndarray:
    out = np.asarray(mapped(replicate(params, on), shard(batch, len(on))))
    return out.reshape(-1, *out.shape[2:])[: len(batch.weight_B)]

  return apply
