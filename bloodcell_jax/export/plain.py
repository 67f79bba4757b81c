"""A network's forward pass in operations that every converter knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from bloodcell_jax.models import fast_conv, layers


def forward(model: nn.Module, params: Any, input_BHWC: jax.Array) -> jax.Array:
  """The logits [B, K], without the convolutions' own gradients and what they do for a CPU's sake.

  **Guarantees**: the values of `model.apply` but for the order of float sums; B may be symbolic.

  Args:
    model: a network of the zoo.
    params: its parameters.
    input_BHWC: float32, standardized.
  """
  with nn.intercept_methods(_intercept):
    # Positions only matter to dropout, which is off.
    return model.apply({'params': params}, input_BHWC, None, False)  # type: ignore[return-value]


def _intercept(next_function: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
  module = context.module
  if not isinstance(module, layers.Conv) or context.method_name != '__call__':
    return next_function(*args, **kwargs)
  return _conv(module, *args, **kwargs)


def _conv(module: layers.Conv, x_BHWC: jax.Array, pool: bool) -> jax.Array:
  kernel_HWIO: jax.Array = module.get_variable('params', 'kernel')
  bias_O: jax.Array = module.get_variable('params', 'bias')
  y = fast_conv.native(x_BHWC, kernel_HWIO, fast_conv.pads(module.padding, module.kernel_size))
  y = layers.ACTIVATIONS[module.activation](y + bias_O.reshape(1, 1, 1, -1))
  # By keywords, and Flax' own: jax2onnx knows it so, and has no pooling of four axes.
  return nn.max_pool(y, window_shape=(2, 2), strides=(2, 2)) if pool else y
