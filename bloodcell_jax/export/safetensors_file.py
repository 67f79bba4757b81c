"""safetensors: weights and statistics by name, for a network that is built elsewhere."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable

import jax
import numpy as np
import safetensors.numpy

from bloodcell_jax.export import program
from bloodcell_jax.weights import own


def write(path: pathlib.Path, exported: program.Program) -> None:
  """Writes the file; its metadata hold `class_names` and `pixels` as JSON. A run can start from it (`weights.path`)."""
  own.write(path, exported.weights, own.About(dataclasses.asdict(exported.standardize), exported.class_names))


def read(path: pathlib.Path, exported: program.Program) -> Callable[[np.ndarray], np.ndarray]:
  """The exported network with the weights of the file, as a function of uint8 images."""
  arrays = safetensors.numpy.load(path.read_bytes())
  call = jax.jit(exported.probabilities)
  return lambda image_BHWC: np.asarray(call(arrays, image_BHWC))
