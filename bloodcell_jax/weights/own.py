"""Weights of a network that this project trained, as `export` writes them: `model.safetensors`."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.system import atomic

FILE, CONTRACT = 'model.safetensors', 'model.json'
# What is among the weights of a program and no weight of the network: statistics of the training images.
STATISTICS = 'standardize/'


@dataclasses.dataclass(frozen=True)
class About:
  """What a trained network needs beside its weights."""

  pixels: Mapping[str, Any]  # how grey levels become its input: the fields of `data.standardize.Spec`
  class_names: tuple[str, ...]  # of its outputs, in order


def write(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], about: About) -> None:
  """Puts the weights at `path` as safetensors, whole or not at all; the metadata hold `about` as JSON.

  **Guarantees**: the same arguments give the same bytes.
  """
  import safetensors.numpy

  found = {'class_names': json.dumps(list(about.class_names)), 'pixels': json.dumps(dict(about.pixels))}
  content = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
  atomic.write_bytes(path, _in_order(safetensors.numpy.save(content, metadata=found)))


def _in_order(data: bytes) -> bytes:
  """The same file with its metadata by name; the library writes them in an order that differs from call to call."""
  # The length of the header, the header, which spaces fill up to a multiple of eight bytes, and the tensors.
  size = int.from_bytes(data[:8], 'little')
  header = json.loads(data[8 : 8 + size])
  header['__metadata__'] = dict(sorted(header['__metadata__'].items()))
  text = json.dumps(header, separators=(',', ':'), ensure_ascii=False).encode()
  text += b' ' * (-len(text) % 8)
  return len(text).to_bytes(8, 'little') + text + data[8 + size :]


def read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], About] | None:
  """The network's weights by name, and what it needs beside them; None for a safetensors file of another origin.

  Exports of earlier versions do not say in the file how their pixels become the network's input: the `model.json`
  beside it does.

  Raises:
    UserError: the file is damaged, holds an ensemble, or does not say how its pixels become the network's input.
  """
  import safetensors

  try:
    with safetensors.safe_open(path, 'numpy') as file:
      metadata = file.metadata() or {}
      if 'class_names' not in metadata:
        return None
      arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    class_names = _names(json.loads(metadata['class_names']))
    pixels = dict(json.loads(metadata['pixels'])) if 'pixels' in metadata else None
  except MemoryError:
    raise
  except Exception as error:  # damaged bytes raise nearly anything
    line = ' '.join(str(error).split())[:120]
    raise types.UserError(f'{path}: not a safetensors file, or damaged or cut short ({line})') from None
  if any(name.startswith('member_') for name in arrays):
    raise types.UserError(f'{path}: holds the networks of an ensemble; name the folder of one of its members')
  arrays = {name: array for name, array in arrays.items() if not name.startswith(STATISTICS)}
  return arrays, About(_pixels_beside(pathlib.Path(path)) if pixels is None else pixels, class_names)


def is_own(path: str | os.PathLike[str]) -> bool:
  """Whether the file is one that `write` wrote, by its metadata alone; False where it cannot be read."""
  import safetensors

  try:
    with safetensors.safe_open(path, 'numpy') as file:
      return 'class_names' in (file.metadata() or {})
  except MemoryError:
    raise
  except Exception:  # as for `read`, which says what is wrong
    return False


def _names(found: Sequence[Any]) -> tuple[str, ...]:
  if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
    raise ValueError('class_names is not a list of names')
  return tuple(found)


def _pixels_beside(path: pathlib.Path) -> dict[str, Any]:
  try:
    found = dict(json.loads(atomic.read_text(path.with_name(CONTRACT)))['pixels'])
  except (OSError, ValueError, KeyError, TypeError, RecursionError):
    raise types.UserError(
      f'{path}: does not say how its pixels become the input; export the run again, or put its {CONTRACT} beside it'
    ) from None
  # Sentences for people.
  found.pop('steps', None)
  return found
