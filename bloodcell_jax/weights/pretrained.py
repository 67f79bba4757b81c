"""Weights with their origin and their pixel convention, from any of the kinds of file that are read."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
import re
from collections.abc import Mapping

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.weights import convention as convention_lib
from bloodcell_jax.weights import folding, keras3, keras_h5, own, pip_carrier, published, torchvision

AUTO = published.AUTO
# The folder of the weights 'pbc', laid out as an exported run: weights, the digests of their images, a card.
PBC_FOLDER = pathlib.Path(__file__).parent / 'pbc'
# By suffix: the reader, and who publishes weights in such files, which do not name their pixel convention.
READERS = {
  '.h5': (keras_h5.read, published.KERAS),
  '.hdf5': (keras_h5.read, published.KERAS),
  '.keras': (keras3.read_keras, published.KERAS),
  '.pth': (torchvision.read_pth, published.TORCHVISION),
  '.pt': (torchvision.read_pth, published.TORCHVISION),
  '.safetensors': (torchvision.read_safetensors, published.TORCHVISION),
}


@dataclasses.dataclass(frozen=True)
class Spec:
  """Which weights a network begins with."""

  path: str  # as `read` takes it, or the folder of a run; empty for none
  include_top: bool  # of a run of this project: take its head as well, for the same classes
  # Patterns of weights that are not taken: those of the network stay newly initialized, others, such as of another
  # head, are ignored. Each is matched with the whole name.
  exclude: tuple

  def __post_init__(self):
    for pattern in self.exclude:
      try:
        re.compile(pattern)
      except (re.error, TypeError, RecursionError, OverflowError) as error:
        raise types.UserError(f'weights.exclude has {pattern!r}, which is not a pattern ({error})') from None


@dataclasses.dataclass(frozen=True)
class Pretrained:
  """A set of weights. **Guarantees**: every array is of finite float32."""

  # By Keras' names: `block1_conv1/kernel` HWIO, `fc1/kernel` [inputs, units].
  params: Mapping[str, np.ndarray]
  # Of the pixels they were trained on; None for those of a run of this project, whose `about` says more.
  convention: convention_lib.Convention | None
  origin: str  # for people: the file's name and the start of its SHA-256, or the package
  about: own.About | None  # of a run of this project

  def __post_init__(self):
    for name, array in self.params.items():
      if array.dtype != np.float32 or not np.isfinite(array).all():
        raise types.UserError(f'{self.origin}: {name} has values that are not finite float32 numbers')


def read(where: str, network: str) -> Pretrained:
  """The weights in a file, whose kind its suffix says, or with 'auto' and 'pbc' those that were installed.

  Batch normalizations are folded into the convolutions before them.

  **Guarantees**: nothing in a file can run code, and none takes much more memory than its size.

  Args:
    where: 'auto', those that came with the requirements; 'pbc', those in this package; or a path: .h5, .weights.h5 or
      .keras (Keras), .pth, .pt or .safetensors (torchvision's, or what `export` writes of a run). Keras' and
      torchvision's files do not name their pixel convention: it is taken to be that of the network's published weights.
    network: the name of the network that the weights are for.

  Raises:
    UserError: one line that names the file and what is wrong.
  """
  if where == AUTO:
    return _from_package(network)
  if where == published.PBC:
    return _own(network)
  path = pathlib.Path(where)
  suffix = path.suffix.lower()
  if suffix == '.npz':
    raise types.UserError(
      f'{where}: .npz is no longer read; name the folder of the run instead, or the {own.FILE} that export writes'
    )
  if suffix not in READERS:
    known = ', '.join(READERS)
    raise types.UserError(
      f'{where}: unknown kind of weights; give {AUTO!r}, {published.PBC!r}, the folder of a run, or a file '
      f'ending in {known}'
    )
  origin = f'{path.name}, SHA-256 {_checked_hash(path)[:16]}'
  if suffix == '.safetensors' and (exported := own.read(path)):
    return Pretrained(_floats(exported[0]), None, origin, exported[1])
  reader, publisher = READERS[suffix]
  record = published.by_publisher(network, publisher, where)
  return _pretrained(reader(path, record), record, origin, where)


def _from_package(network: str) -> Pretrained:
  record, package = published.with_package(network)
  path = pip_carrier.find(package)
  if path.suffix in pip_carrier.SUFFIXES:
    arrays = pip_carrier.read(path, package, record.architecture)
  else:
    pip_carrier.checked(path, package)
    arrays = READERS[path.suffix][0](path, record)
  return _pretrained(arrays, record, f'{record.title} from {package.name} {package.version}', str(path))


def _own(network: str) -> Pretrained:
  record, path = published.own(network), PBC_FOLDER / own.FILE
  exported = own.read(path) if path.exists() else None
  if exported is None:
    raise types.UserError(f'{path}: missing; install the package again')
  return Pretrained(
    _floats(exported[0]), None, f'{record.title}, SHA-256 {_checked_hash(path)[:16]}', exported[1]
  )


def _pretrained(
  arrays: Mapping[str, np.ndarray], record: published.Weights, origin: str, where: str
) -> Pretrained:
  return Pretrained(_floats(folding.fold(arrays, record.norms, where)), record.convention, origin, None)


def _floats(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  return {name: array.astype(np.float32, copy=False) for name, array in arrays.items()}


def _checked_hash(path: pathlib.Path) -> str:
  """The file's SHA-256. Raises UserError if a file with a published name is not the published file."""
  try:
    with open(path, 'rb') as file:
      sha256 = hashlib.file_digest(file, 'sha256').hexdigest()
      file.seek(0, os.SEEK_SET)
      if record := published.find_file(str(path)):
        kind, digest = record.files[path.name]
        if not hashlib.file_digest(file, kind).hexdigest().startswith(digest):
          raise types.UserError(
            f'{path}: not the published file of that name, its {kind} is not {digest}; '
            'fetch it again, or rename it if it is your own'
          )
  except OSError as error:
    raise types.UserError(f'{path}: cannot be read ({error.strerror})') from None
  return sha256
