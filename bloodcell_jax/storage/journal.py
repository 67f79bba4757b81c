"""What has been predicted so far, a line an image: how a prediction of thousands of images goes on after a kill."""

from __future__ import annotations

import json
import os
import pathlib
import zlib
from collections.abc import Iterable, Sequence

import numpy as np

from bloodcell_jax.base import types


class Journal:
  """An append-only file of lines `{"sha256_16", "probs", "crc32"}`; the first line says which network wrote it.

  An image is known by its bytes, so that a renamed one is not predicted again and a changed one is. A last line that a
  kill cut short is dropped.
  """

  def __init__(self, path: str | os.PathLike[str], network: str, class_names: Sequence[str]):
    """Opens it, or begins it anew where another network wrote it.

    Args:
      path: of the file.
      network: a fingerprint of all that decides what is predicted.
      class_names: K.
    """
    self._path = pathlib.Path(path)
    self._head = {'network': network, 'class_names': list(class_names)}
    self.known: dict[str, np.ndarray] = {}
    lines = self._path.read_bytes().split(b'\n') if self._path.exists() else []
    if not lines or _parsed(lines[0]) != self._head:
      self._path.parent.mkdir(parents=True, exist_ok=True)
      self._path.write_text(json.dumps(self._head) + '\n')
      return
    # Behind the last line break lies nothing, or a line that was being written.
    for line in lines[1:-1]:
      entry = _parsed(line)
      # Lines of before they had a sum are taken as they are.
      if (
        entry is None
        or entry.pop('crc32', None) not in (None, _crc(entry))
        or len(entry.get('probs', ())) != len(class_names)
      ):
        raise types.UserError(f'{self._path}: damaged; remove it, and the images are predicted again')
      self.known[entry['sha256_16']] = np.array(entry['probs'])
    if lines[-1]:
      with open(self._path, 'r+b') as file:
        file.truncate(sum(len(line) + 1 for line in lines[:-1]))

  def add(self, digests: Iterable[str], probs_BK: np.ndarray) -> None:
    """Appends images and has them on the disk before it returns."""
    with open(self._path, 'a', encoding='utf-8') as file:
      for digest, probs_K in zip(digests, probs_BK, strict=True):
        entry = {'sha256_16': digest, 'probs': [float(p) for p in probs_K]}
        file.write(json.dumps({**entry, 'crc32': _crc(entry)}) + '\n')
        self.known[digest] = np.array(probs_K, np.float64)
      file.flush()
      os.fsync(file.fileno())


def _crc(entry: dict) -> int:
  return zlib.crc32(json.dumps(entry).encode())


def _parsed(line: bytes) -> dict | None:
  try:
    entry = json.loads(line)
  except ValueError:
    return None
  return entry if isinstance(entry, dict) else None
