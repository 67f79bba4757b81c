"""A network as the table of layers that Keras prints."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from bloodcell_jax.base import tree
from bloodcell_jax.models import layers as layers_lib


def layers(model: nn.Module, params: Any, image_size: int) -> list[tuple[str, str, tuple[int, ...], int]]:
  """(name, Keras' class, output shape without the batch, parameters) of each layer, in order."""
  image = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
  position = jax.ShapeDtypeStruct((1,), jnp.int32)
  order: list[str] = []  # JAX sorts the keys of the dict that a function returns
  modules: Any = model.bind({'params': params})

  def run(params: Any, image: jax.Array, position: jax.Array) -> Any:
    outputs = model.apply({'params': params}, image, position, False, mutable=layers_lib.MAPS)[1]
    order.extend(outputs[layers_lib.MAPS])
    return outputs[layers_lib.MAPS]

  outputs = jax.eval_shape(run, params, image, position)
  return [
    (name, getattr(modules, name).keras_class, outputs[key].shape[1:], tree.count(params.get(name, {})))
    for key in order
    for name in [key.removesuffix(':output')]
  ]


def trained(params: Any, is_trained: Any) -> str:
  """A line for each layer with its numbers of trained and of frozen parameters, and a line of totals.

  Args:
    params: the network's.
    is_trained: for each of them whether it is trained; a tree of bools.
  """
  counts: dict[str, list[int]] = {}
  trained_by_name = tree.names(is_trained)
  for name, leaf in tree.names(params).items():
    counts.setdefault(name.split('/')[0], [0, 0])[not trained_by_name[name]] += leaf.size
  counts['Total'] = [sum(column) for column in zip(*counts.values(), strict=True)]
  lines = [f'{"Layer":<34}{"trained":>14}{"frozen":>14}']
  lines += [f'{name:<34}{on:>14,}{off:>14,}' for name, (on, off) in counts.items()]
  return '\n'.join(lines)


def table(model: nn.Module, params: Any, image_size: int) -> str:
  """The table as text, with the number of parameters in its last line."""
  rows = [
    (f'{name} ({kind})', f'({", ".join(map(str, (None, *shape)))})', count)
    for name, kind, shape, count in layers(model, params, image_size)
  ]
  width = 2 + max(len(first) for first, _, _ in rows)
  lines = [f'{"Layer (type)":<{width}}{"Output shape":<24}{"Param #":>12}']
  lines += [f'{first:<{width}}{shape:<24}{count:>12,}' for first, shape, count in rows]
  lines.append(f'{"Total":<{width + 24}}{tree.count(params):>12,}')
  return '\n'.join(lines)
