"""Plain safetensors: the weights and statistics by name, for a network built elsewhere."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable

import jax
import numpy as np
import safetensors.numpy

from bloodcell_jax import atomic
from bloodcell_jax.export import program


def write(path: pathlib.Path, exported: program.Program) -> None:
  """Puts the file at `path`; its metadata have `class_names`, a JSON list."""
  arrays = {name: np.ascontiguousarray(array) for name, array in exported.weights.items()}
  about = {'class_names': json.dumps(list(exported.class_names))}
  atomic.write_bytes(path, safetensors.numpy.save(arrays, metadata=about))


def read(path: pathlib.Path, exported: program.Program) -> Callable[[np.ndarray], np.ndarray]:
  """The project's network with the weights of the file, as a function of uint8 images."""
  arrays = safetensors.numpy.load(path.read_bytes())
  call = jax.jit(exported.probabilities)
  return lambda image_BHWC: np.asarray(call(arrays, image_BHWC))
