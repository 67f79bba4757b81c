"""The forward pass of a network in operations that every converter supports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from bloodcell_jax.models import fast_conv, layers


def forward(model: nn.Module, params: Any, input_BHWC: jax.Array) -> jax.Array:
  """The logits [B, K], without custom gradients and CPU-specific convolutions.

  **Guarantees**: equal to `model.apply` up to the order of floating-point sums; B may be symbolic.

  Args:
    model: a network of the zoo.
    params: its parameters.
    input_BHWC: float32, standardized.
  """
  with nn.intercept_methods(_intercept):
    # Positions matter only to dropout, which is off.
    return model.apply({'params': params}, input_BHWC, None, False)  # type: ignore[return-value]


def _intercept(next_function: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
  module = context.module
  if context.method_name != '__call__' or not isinstance(module, layers.Conv | layers.MaxPool):
    return next_function(*args, **kwargs)
  return _conv(module, *args, **kwargs) if isinstance(module, layers.Conv) else _pool(module, *args, **kwargs)


def _conv(module: layers.Conv, x_BHWC: jax.Array, pool: layers.MaxPool | None) -> jax.Array:
  kernel_HWIO: jax.Array = module.get_variable('params', 'kernel').astype(module.dtype)
  bias_O: jax.Array = module.get_variable('params', 'bias').astype(module.dtype)
  pads = module.pads(x_BHWC.shape[1:3])
  y = fast_conv.strided(x_BHWC.astype(module.dtype), kernel_HWIO, pads, module.strides)
  y = layers.ACTIVATIONS[module.activation](y + bias_O.reshape(1, 1, 1, -1))
  return y if pool is None else _pool(pool, y)


def _pool(module: layers.MaxPool, x_BHWC: jax.Array) -> jax.Array:
  pads = module.pads(x_BHWC.shape[1:3])
  padding: Any = 'VALID' if not any(map(any, pads)) else pads
  return nn.max_pool(x_BHWC, window_shape=module.pool_size, strides=module.strides, padding=padding)
