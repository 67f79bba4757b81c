"""A network as the table that Keras prints."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from bloodcell_jax import tree
from bloodcell_jax.models import layers as layers_lib

KINDS = {
  'conv2d': 'Conv2D',
  'max': 'MaxPooling2D',
  'flatten': 'Flatten',
  'dropout': 'Dropout',
  'dense': 'Dense',
}


def layers(model: nn.Module, params: Any, image_size: int) -> list[tuple[str, str, tuple[int, ...], int]]:
  """(name, Keras' class, output shape without the batch, parameters) of each layer, in order."""
  image = jax.ShapeDtypeStruct((1, image_size, image_size, 3), jnp.float32)
  position = jax.ShapeDtypeStruct((1,), jnp.int32)
  order: list[str] = []  # JAX sorts the keys of a dict that it returns; this keeps the network's order

  def run(params: Any, image: jax.Array, position: jax.Array) -> Any:
    outputs = model.apply({'params': params}, image, position, False, mutable=layers_lib.MAPS)[1]
    order.extend(outputs[layers_lib.MAPS])
    return outputs[layers_lib.MAPS]

  outputs = jax.eval_shape(run, params, image, position)
  return [
    (name, KINDS[name.split('_')[0]], outputs[key].shape[1:], tree.count(params.get(name, {})))
    for key in order
    for name in [key.removesuffix(':output')]
  ]


def table(model: nn.Module, params: Any, image_size: int) -> str:
  """The table as text, the number of parameters in its last line."""
  lines = [f'{"Layer (type)":<34}{"Output shape":<24}{"Param #":>12}']
  for name, kind, shape, count in layers(model, params, image_size):
    shown = ', '.join(map(str, shape))
    lines.append(f'{f"{name} ({kind})":<34}{f"(None, {shown})":<24}{count:>12,}')
  lines.append(f'{"Total":<58}{tree.count(params):>12,}')
  return '\n'.join(lines)
