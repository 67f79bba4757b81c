"""StableHLO: written by `jax.export` as one file that needs only JAX, on a CPU or an NVIDIA GPU."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from bloodcell_jax.export import program
from bloodcell_jax.system import atomic

PLATFORMS = ('cpu', 'cuda')


def write(path: pathlib.Path, exported: program.Program) -> None:
  """Writes the serialized program with its weights; N is symbolic."""
  (num,) = export.symbolic_shape('n')
  image = jax.ShapeDtypeStruct((num, *exported.input_shape), jnp.uint8)

  def function(image_BHWC: jax.Array) -> jax.Array:
    return exported.probabilities(exported.weights, image_BHWC)  # type: ignore[arg-type]

  artifact = export.export(jax.jit(function), platforms=PLATFORMS)(image)
  atomic.write_bytes(path, bytes(artifact.serialize()))


def read(path: pathlib.Path, exported: program.Program) -> Callable[[np.ndarray], np.ndarray]:
  """The program as a function of uint8 images, from the file alone."""
  del exported
  loaded = export.deserialize(bytearray(path.read_bytes()))
  call = jax.jit(loaded.call)
  return lambda image_BHWC: np.asarray(call(image_BHWC))
