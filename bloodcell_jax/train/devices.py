"""Functions compiled over several devices, by `jax.pmap` or `jax.jit` over a mesh; the only file that knows which."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import PartitionSpec

from bloodcell_jax.base import types
from bloodcell_jax.system import memory
from bloodcell_jax.train import precision

AXIS = 'device'
# Ways to train many members in one program.
MEMBERS = ('vmap', 'map')
# Ways to divide a step over devices.
PMAP, JIT = 'pmap', 'jit'
PARALLEL = (PMAP, JIT)


@dataclasses.dataclass(frozen=True)
class Devices:
  """Devices that share each batch, and how a function is divided over them."""

  each: tuple[jax.Device, ...]  # one or more
  parallel: str  # one of PARALLEL

  def __len__(self) -> int:
    return len(self.each)

  def __iter__(self) -> Iterator[jax.Device]:
    return iter(self.each)

  @property
  def platform(self) -> str:
    """cpu, gpu or tpu."""
    return self.each[0].platform

  @functools.cached_property
  def local(self) -> Devices:
    """Those of this host; itself where there is no other."""
    own = tuple(device for device in self.each if device.process_index == jax.process_index())
    return self if own == self.each else Devices(own, self.parallel)

  @functools.cached_property
  def mesh(self) -> jax.sharding.Mesh:
    """All of them on one axis."""
    return jax.sharding.Mesh(np.array(self.each), (AXIS,))

  @functools.cached_property
  def replicated(self) -> jax.sharding.NamedSharding:
    """The layout of an array that is whole on each of them."""
    return jax.sharding.NamedSharding(self.mesh, PartitionSpec())


def devices(num_devices: int, parallel: str) -> Devices:
  """The first `num_devices` devices of this host; with 0 all of them, those of the other hosts included.

  Args:
    num_devices: 0 or more.
    parallel: one of PARALLEL: `jax.pmap`, or `jax.jit` with the batch sharded over a mesh. Both give the same bits on
      one device, and the same to float tolerance on several.

  Raises:
    UserError: there are fewer devices, no such way, or one that several hosts do not have.
  """
  if parallel not in PARALLEL:
    raise types.UserError(f'train.parallel is {parallel!r}; choose one of {", ".join(PARALLEL)}')
  if jax.process_count() > 1 and not num_devices:
    check_hosts(num_devices, parallel, jax.process_count())
    return Devices(tuple(sorted(jax.devices(), key=lambda d: (d.process_index, d.id))), parallel)
  local = jax.local_devices()
  if num_devices > len(local):
    raise types.UserError(
      f'train.num_devices is {num_devices}, but this process sees {len(local)} ({local[0].platform})'
    )
  return Devices(tuple(local[: num_devices or len(local)]), parallel)


def check_hosts(num_devices: int, parallel: str, num_hosts: int) -> None:
  """Raises UserError where several hosts cannot share a batch in this way."""
  if parallel != JIT:
    raise types.UserError(
      f'train.parallel is {parallel!r}, which is for one host; set it to {JIT!r} for {num_hosts}'
    )
  if num_devices:
    raise types.UserError(
      f'train.num_devices is {num_devices}, but {num_hosts} hosts share a batch over all their devices; set it to 0'
    )


def shard(batch: Any, on: Devices, axis: int) -> Any:
  """The batch with its axis of rows divided over the devices, padded with rows of weight 0.

  For `pmap` as a new first axis of devices, for `jit` by the sharding of the compiled function, where an array that is
  on the devices and divides evenly stays there. Of several hosts each gives the `batch_part.Part` that is its own.

  **Guarantees**: every row of the batch is in exactly one shard, in order.
  """
  return jax.tree.map(lambda x: _split(x, on, axis), batch)


def _split(x: Any, on: Devices, axis: int) -> Any:
  size = x.shape[axis]
  if on.local is not on:
    shape = (*x.shape[:axis], size // len(on.local) * len(on), *x.shape[axis + 1 :])
    rows = jax.sharding.NamedSharding(on.mesh, PartitionSpec(*[None] * axis, AXIS))
    return jax.make_array_from_process_local_data(rows, np.asarray(x), shape)
  per_device = -(-size // len(on))
  missing = per_device * len(on) - size
  if on.parallel == JIT and not missing:
    return x
  x = np.asarray(x)
  if missing:
    x = np.pad(x, [(0, missing if i == axis else 0) for i in range(x.ndim)])
  if on.parallel == JIT:
    return x
  return np.moveaxis(x.reshape(*x.shape[:axis], len(on), per_device, *x.shape[axis + 1 :]), axis, 0)


def replicate(tree: Any, on: Devices) -> Any:
  """The tree on every device, in the layout of a mapped function's outputs; the tree itself if it is so already.

  Only leaves in another layout are moved: images that lie on the devices are not sent again with new parameters.
  Inputs in another layout would recompile the mapped function in each of a run's first two steps and in the first step
  of every epoch.
  """
  leaves, structure = jax.tree.flatten(tree)
  there = [isinstance(leaf, jax.Array) and leaf.sharding == on.replicated for leaf in leaves]
  others = {i: leaf for i, leaf in enumerate(leaves) if not there[i]}
  # With nothing to move, `device_put` still takes as long as a small network's update.
  if not others:
    return tree
  if jax.process_count() == 1:
    moved = jax.device_put(others, on.replicated)
  else:
    # Each host has the same values.
    moved = {
      i: jax.make_array_from_process_local_data(on.replicated, np.asarray(x), np.shape(x))
      for i, x in others.items()
    }
  return jax.tree.unflatten(structure, [moved.get(i, leaf) for i, leaf in enumerate(leaves)])


def _jit(function: Callable[..., Any], on: Devices, in_specs: Any, out_specs: Any, **options: Any) -> Any:
  # The step itself makes its outputs equal on all devices, which JAX cannot check through every optimizer.
  local = jax.shard_map(function, mesh=on.mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)
  shardings = tuple(jax.sharding.NamedSharding(on.mesh, spec) for spec in in_specs)
  return jax.jit(local, in_shardings=shardings, **options)


def needed_bytes(
  step: Callable[..., Any],
  on: Devices,
  state: Any,
  batch: types.Batch,
  key: jax.Array,
  scale: np.ndarray | np.float32,
) -> int:
  """Bytes that a call of `make_train(step, on)` takes on a device: inputs, outputs and temporaries.

  Compiles the program without running it; arguments may be shapes instead of arrays.
  """
  stats = map_train(step, on, 0).lower(state, shard(batch, on, 0), key, scale).compile().memory_analysis()
  return stats.argument_size_in_bytes + _added_bytes(stats)


def _added_bytes(stats: Any) -> int:
  """Bytes that a compiled call takes beside its arguments."""
  # A donated buffer is counted both as an argument and as an output.
  return stats.output_size_in_bytes - stats.alias_size_in_bytes + stats.temp_size_in_bytes


def _with_memory_check(mapped: Any, on: Devices, work: str, key: str) -> Callable[..., Any]:
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
        factor = memory.PEAK_FACTOR if on.platform == 'cpu' else 1
        memory.require(_added_bytes(stats), memory.free(on.local.each[0]), work, advice, peak_factor=factor)
      is_checked = True
    return mapped(*args)

  return run


def make_train(step: Callable[..., Any], on: Devices) -> Callable[..., Any]:
  """`step(state, batch, key, scale)` compiled over the devices; state in and out without a device axis.

  The state is donated: the caller's copy is deleted by the call. `step` itself sums over devices
  with `jax.lax.psum(..., AXIS)`, so that its outputs are equal on all of them.

  The compiled function raises RunError before its first call where too little memory is free.
  """
  return check_train(map_train(step, on, 0), on, 0)


def map_train(step: Callable[..., Any], on: Devices, axis: int) -> Any:
  """The step compiled over the devices, to be called by way of `check_train` only.

  Args:
    step: `(state, batch, key, scale)`, or that of many updates or members.
    on: the devices.
    axis: that of the batch's rows; 1 where an axis of updates or members comes before it.
  """
  step = precision.exact(step, on.platform)
  if on.parallel == PMAP:
    return jax.pmap(
      step,
      axis_name=AXIS,
      in_axes=(None, 0, None, None),
      out_axes=(None, None),
      devices=list(on),
      donate_argnums=0,
    )
  specs = (PartitionSpec(), PartitionSpec(*[None] * axis, AXIS), PartitionSpec(), PartitionSpec())
  return _jit(step, on, specs, PartitionSpec(), donate_argnums=0)


def check_train(parallel: Callable[..., Any], on: Devices, axis: int) -> Callable[..., Any]:
  """What `make_train` returns, of a step that `map_train` has compiled for this axis of the batch's rows.

  The rows are divided over the devices. What lies whole on them already, such as images in place of the key, is not
  moved.
  """
  mapped = _with_memory_check(parallel, on, 'an update', 'train.batch_size')
  return lambda state, batch, key, scale: mapped(replicate(state, on), shard(batch, on, axis), key, scale)


def make_train_members(step: Callable[..., Any], on: Devices, how: str) -> Callable[..., Any]:
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

  parallel = map_train(jax.vmap(step) if how == 'vmap' else one_by_one, on, 1)
  mapped = _with_memory_check(
    parallel, on, 'an update of all members', 'ensemble.vectorized, train.batch_size'
  )

  def run(state_M: Any, batch_M: types.Batch, key_M: jax.Array, scale_M: np.ndarray) -> Any:
    return mapped(replicate(state_M, on), shard(batch_M, on, 1), key_M, scale_M)

  return run


def make_apply(function: Callable[..., Any], on: Devices) -> Callable[..., Any]:
  """`function(params, batch) -> array_B...` compiled over the devices, without the rows of padding.

  The compiled function raises RunError before its first call where too little memory is free.
  """
  return check_apply(map_apply(function, on), on)


def map_apply(function: Callable[..., Any], on: Devices) -> Callable[..., Any]:
  """The function compiled over the devices, to be called by way of `check_apply` only."""
  function = precision.exact(function, on.platform)
  if on.parallel == PMAP:
    return jax.pmap(function, axis_name=AXIS, in_axes=(None, 0), out_axes=0, devices=list(on))
  rows = PartitionSpec(AXIS)
  return _jit(function, on, (PartitionSpec(), rows), rows)


def check_apply(parallel: Callable[..., Any], on: Devices) -> Callable[..., Any]:
  """What `make_apply` returns, of a function that `map_apply` has compiled."""
  mapped = _with_memory_check(parallel, on, 'a batch', 'evaluate.batch_size')

  def apply(params: Any, batch: types.Batch) -> np.ndarray:
    out = np.asarray(mapped(replicate(params, on), shard(batch, on, 0)))
    rows_first = out.reshape(-1, *out.shape[2:]) if on.parallel == PMAP else out
    return rows_first[: len(batch.weight_B)]

  return apply
