"""The numbers that an update computes in; parameters, gradients, sums and losses are always float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from bloodcell_jax.base import types

AUTO = 'auto'
_DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}
NAMES = (AUTO, *_DTYPES)


def check(name: str) -> str:
  """The name itself, one of NAMES.

  Raises:
    UserError: it is another one.
  """
  if name == 'float16':
    raise types.UserError(
      "train.dtype is 'float16', in which small gradients become 0; set it to 'bfloat16', which has float32's range"
    )
  if name not in NAMES:
    raise types.UserError(f'train.dtype is {name!r}; choose one of {", ".join(NAMES)}')
  return name


def dtype(name: str, platform: str) -> DTypeLike:
  """What the layers compute in during an update.

  Args:
    name: one of NAMES. auto: float32 on a CPU, to which bfloat16 brings nothing, and bfloat16 elsewhere.
    platform: cpu, gpu or tpu.
  """
  return _DTYPES['float32' if platform == 'cpu' else 'bfloat16'] if name == AUTO else _DTYPES[name]


def exact(function: Callable[..., Any], platform: str) -> Callable[..., Any]:
  """The function with products of float32 numbers computed in float32 on this platform as well.

  By default a GPU multiplies them with a mantissa of ten bits. A CPU does not, and its functions stay as they are.
  """
  if platform == 'cpu':
    return function

  def run(*args: Any) -> Any:
    with jax.default_matmul_precision('highest'):
      return function(*args)

  return run
