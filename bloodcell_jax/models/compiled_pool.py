"""`max_pool(relu(conv(x) + bias))` and its gradients by C++ code, where this machine has a compiler for it.

XLA stores the full-sized map, and its gradients multiply three zeros for each product that counts, since of the four
outputs of a pooling window one alone has a gradient. `conv_relu_pool.cc` does neither. `docs/performance.md` has the
measurements.
"""

from __future__ import annotations

import functools
import pathlib

import jax
import jax.numpy as jnp

from bloodcell_jax.system import cpp_library

SOURCE = pathlib.Path(__file__).with_name('conv_relu_pool.cc')
# The symbols of the library, and what they are called in a compiled program.
_VALUES, _BY_KERNEL, _BY_INPUT = TARGETS = ('ConvReluPool', 'ConvReluPoolByKernel', 'ConvReluPoolByInput')
# Outputs come in blocks of so many channels, the gradient by the input in vectors of so many.
BLOCK, LANES = 32, 16


@functools.cache
def missing() -> str:
  """Why there is no compiled code in this process; empty where there is. Compiles it when it is first asked."""
  if jax.default_backend() != 'cpu':
    return f'this process computes on a {jax.default_backend()}'
  loaded = cpp_library.load(SOURCE, jax.ffi.include_dir(), jax.lib.__version__)
  if loaded.library is None:
    return loaded.reason
  for target in TARGETS:
    jax.ffi.register_ffi_target(target, jax.ffi.pycapsule(getattr(loaded.library, target)), platform='cpu')
  return ''


def is_usable(x_BHWC: jax.Array, kernel_HWIO: jax.Array) -> bool:
  """Whether the functions below can compute this layer without padding, in this process."""
  return (
    x_BHWC.dtype == kernel_HWIO.dtype == jnp.float32
    and kernel_HWIO.shape[:2] == (3, 3)
    and kernel_HWIO.shape[3] % BLOCK == 0
    and not missing()
  )


def values(x_BHWC: jax.Array, kernel_HWIO: jax.Array, bias_O: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The pooled map [B, h, w, O], and the place of the largest value of each window as in `fast_pool.pool_with_place`.

  **Guarantees**: the values of an image do not depend on the others, nor on the number of threads.
  """
  batch, height, width, _ = x_BHWC.shape
  rows, columns, _, outputs = kernel_HWIO.shape
  shape = (batch, (height - rows + 1) // 2, (width - columns + 1) // 2, outputs)
  y, place = jax.ffi.ffi_call(
    _VALUES,
    (jax.ShapeDtypeStruct(shape, jnp.float32), jax.ShapeDtypeStruct(shape, jnp.int8)),
    vmap_method='sequential',
  )(x_BHWC, kernel_HWIO, bias_O)
  return y, place


def by_kernel(
  x_BHWC: jax.Array, y_BhwO: jax.Array, place: jax.Array, g_BhwO: jax.Array, kernel_shape: tuple[int, ...]
) -> tuple[jax.Array, jax.Array]:
  """The gradients of `sum(g * y)` by kernel and bias.

  **Guarantees**: the same bits whatever the number of threads.

  Args:
    x_BHWC: the input of `values`.
    y_BhwO, place: its output.
    g_BhwO: of the output.
    kernel_shape: [3, 3, I, O].
  """
  shapes = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in (kernel_shape, kernel_shape[3:]))
  dkernel, dbias = jax.ffi.ffi_call(_BY_KERNEL, tuple(shapes), vmap_method='sequential')(
    x_BHWC, y_BhwO, place, g_BhwO
  )
  return dkernel, dbias


def by_input(
  kernel_HWIO: jax.Array, y_BhwO: jax.Array, place: jax.Array, g_BhwO: jax.Array, x_shape: tuple[int, ...]
) -> jax.Array:
  """The gradient of `sum(g * y)` by the input, whose channels are a multiple of LANES.

  Args:
    kernel_HWIO: of `values`.
    y_BhwO, place: its output.
    g_BhwO: of the output.
    x_shape: of the input, [B, H, W, I].
  """
  shape = jax.ShapeDtypeStruct(x_shape, jnp.float32)
  return jax.ffi.ffi_call(_BY_INPUT, shape, vmap_method='sequential')(kernel_HWIO, y_BhwO, place, g_BhwO)
