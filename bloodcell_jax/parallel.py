"""Many devices as one: the only file that says pmap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from bloodcell_jax import types

AXIS = 'device'


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
  """The batch as [devices, rows a device, ...], filled up with rows of weight 0.

  **Guarantees**: every row of the batch is in exactly one shard, in order.
  """
  size = len(batch.weight_B)
  per_device = -(-size // num_devices)
  missing = per_device * num_devices - size

  def split(x: Any) -> np.ndarray:
    x = np.asarray(x)
    if missing:
      x = np.concatenate([x, np.zeros((missing, *x.shape[1:]), x.dtype)])
    return x.reshape(num_devices, per_device, *x.shape[1:])

  return jax.tree.map(split, batch)


def replicate(tree: Any, on: Sequence[jax.Device]) -> Any:
  """The tree on every device, laid out as the outputs of a mapped function are; at once where it is so already.

  A mapped function is compiled anew for inputs laid out otherwise, which would cost a run's first two steps, and the
  first step of every epoch, a compilation each.
  """
  whole = jax.sharding.NamedSharding(jax.sharding.Mesh(np.array(on), (AXIS,)), jax.sharding.PartitionSpec())
  return jax.device_put(tree, whole)


def make_train(step: Callable[..., Any], on: Sequence[jax.Device]) -> Callable[..., Any]:
  """`step(state, batch, key, scale)` compiled over the devices; state in and out without a device axis.

  The state is donated: the caller's copy is gone after the call. `step` sums over devices itself
  with `jax.lax.psum(..., AXIS)`, which makes its outputs equal everywhere.
  """
  mapped = jax.pmap(
    step,
    axis_name=AXIS,
    in_axes=(None, 0, None, None),
    out_axes=(None, None),
    devices=list(on),
    donate_argnums=0,
  )
  return lambda state, batch, key, scale: mapped(replicate(state, on), shard(batch, len(on)), key, scale)


def make_apply(function: Callable[..., Any], on: Sequence[jax.Device]) -> Callable[..., Any]:
  """`function(params, batch) -> array_B...` compiled over the devices, the padding taken off again."""
  mapped = jax.pmap(function, axis_name=AXIS, in_axes=(None, 0), out_axes=0, devices=list(on))

  def apply(params: Any, batch: types.Batch) -> np.ndarray:
    out = np.asarray(mapped(replicate(params, on), shard(batch, len(on))))
    return out.reshape(-1, *out.shape[2:])[: len(batch.weight_B)]

  return apply
