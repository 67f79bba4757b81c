"""Published weights as a pip package carries them: nothing is downloaded at run time, no code of the package is run."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import os
import pathlib
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.weights import published, unpickle

SUFFIXES = ('.ckpt', '.pkl')  # of pickles of nested dicts of numpy arrays


def find(package: published.Package) -> pathlib.Path:
  """Where the installed package has its file.

  Raises:
    UserError: the package is not installed.
  """
  try:
    distribution = importlib.metadata.distribution(package.name)
  except importlib.metadata.PackageNotFoundError:
    raise types.UserError(
      f"weights 'auto' come with a package that is not installed: {package.install}"
    ) from None
  return pathlib.Path(str(distribution.locate_file(package.file)))


def checked(path: str | os.PathLike[str], package: published.Package) -> bytes:
  """The file's bytes.

  Raises:
    UserError: it is missing, or its SHA-256 is not the package's.
  """
  try:
    data = pathlib.Path(path).read_bytes()
  except OSError as error:
    raise types.UserError(f'{path}: cannot be read ({error.strerror}); {package.install}') from None
  digest, expected = hashlib.sha256(data).hexdigest(), package.sha256
  if digest != expected:
    raise types.UserError(
      f'{path}: refused, {len(data):,} bytes with SHA-256 {digest[:16]}... and not {expected[:16]}...; '
      f'{package.install}'
    )
  return data


def read(
  path: str | os.PathLike[str], package: published.Package, architecture: str
) -> dict[str, np.ndarray]:
  """The weights in a package's pickle, under Keras' names, HWIO.

  **Guarantees**: the pickle is looked at only after its hash matched.

  Args:
    path: the package's file, as `find` gives.
    package: what the file must be, and the names of its layers.
    architecture: the network's, for errors.

  Raises:
    UserError: the file is missing or not the expected one.
  """
  root: Any = unpickle.load(io.BytesIO(checked(path, package)), str(path), unpickle.NUMPY)
  arrays: dict[str, np.ndarray] = {}
  try:
    for place, name in package.layers.items():
      layer = root
      for part in place.split('/'):
        layer = layer[part]
      arrays |= {f'{name}/{weight}': array for weight, array in layer.items()}
  except (AttributeError, KeyError, TypeError, IndexError):
    raise types.UserError(f'{path}: holds no {architecture}') from None
  return arrays
