"""Several updates as one function, so that a device starts the next without waiting for the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax
import jax
import jax.numpy as jnp

from bloodcell_jax.base import types


@flax.struct.dataclass
class Common:
  """What all updates of a call share; whole on every device."""

  key: jax.Array  # for dropout
  data: Any  # arrays that the batches are made from
  num: Any  # [] int32: updates to make, at most those that there is input for


def make(
  step: Callable[..., tuple[Any, Any]], make_batch: Callable[[Any, Any], types.Batch]
) -> Callable[..., tuple[Any, Any]]:
  """The function `(state, input_U, common, scale) -> (state, report_U)`, to be mapped over devices.

  It is a loop whose length is a number on the device. So one program makes any number of updates, and an update is of
  the same bits wherever a call begins and ends; a loop of fixed length might be compiled otherwise for each length.

  **Guarantees**: update by update that of `step`, to float tolerance; entries of `report_U` from `common.num` on are 0.

  Args:
    step: `(state, batch, key, scale) -> (state, report)`.
    make_batch: `(data, input) -> batch`.
  """

  def many(state: Any, input_U: Any, common: Common, scale: jax.Array) -> tuple[Any, Any]:
    def one(i: Any, state: Any) -> tuple[Any, Any]:
      chosen = jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, i, keepdims=False), input_U)
      return step(state, make_batch(common.data, chosen), common.key, scale)

    def body(i: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
      state, report_U = carry
      state, report = one(i, state)
      return state, jax.tree.map(lambda all_U, new: all_U.at[i].set(new), report_U, report)

    size = len(jax.tree.leaves(input_U)[0])
    _, shapes = jax.eval_shape(lambda state: one(0, state), state)
    report_U = jax.tree.map(lambda shape: jnp.zeros((size, *shape.shape), shape.dtype), shapes)
    return jax.lax.fori_loop(0, common.num, body, (state, report_U))

  return many
