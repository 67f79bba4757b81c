"""The journal of `predict`: a line for each cell predicted so far, so that a prediction of thousands can be resumed."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import cell, types
from bloodcell_jax.system import atomic


@dataclasses.dataclass(frozen=True)
class Photograph:
  """What was read of a photograph."""

  size: tuple[int, int]  # width and height, in pixels, upright
  notes: tuple[str, ...]  # conversions


class Journal:
  """An append-only file of JSON lines; the first one names the network that wrote it.

  A cell is a line `{"sha256_16", "probs", "look", "crc32"}`, without `look` where nothing measures what a cell looks
  like, and with `Cell.key` under `sha256_16`: a renamed file is not predicted again and a changed one is. A photograph
  that was cut into cells has a line `{"sha256_16", "boxes", "marks", "crc32"}` before those of its cells; `marks`, a
  list for each box, is there only where a cell has some. What was read of a photograph is a line `{"sha256_16", "size",
  "notes", "crc32"}`, which earlier versions did not write. A last line that a kill cut short is dropped.
  """

  def __init__(self, path: str | os.PathLike[str], network: str, class_names: Sequence[str]):
    """Opens the file, or starts it anew if another network wrote it.

    Args:
      path: of the file.
      network: a fingerprint of everything that decides the predictions.
      class_names: K.

    Raises:
      UserError: a line other than the last one is damaged.
    """
    self._path = pathlib.Path(path)
    self._head = {'network': network, 'class_names': list(class_names)}
    self.known: dict[str, np.ndarray] = {}  # key of a cell -> probs_K
    self.looks: dict[
      str, np.ndarray
    ] = {}  # key of a cell -> look_L, of networks with a measure of unlike images
    # Digest of a photograph -> its cells, where it was cut.
    self.regions: dict[str, tuple[cell.Region, ...]] = {}
    self.about: dict[str, Photograph] = {}  # digest of a photograph -> what was read of it
    self._waiting: list[dict] = []
    lines = self._path.read_bytes().split(b'\n') if self._path.exists() else []
    if not lines or _parse(lines[0]) != self._head:
      self._path.parent.mkdir(parents=True, exist_ok=True)
      with atomic.named(self._path):
        self._path.write_text(json.dumps(self._head) + '\n')
      return
    # After the last line break there is nothing, or a line that was being written.
    for line in lines[1:-1]:
      if not self._read(_parse(line)):
        raise types.UserError(f'{self._path}: damaged; remove it, and the images are predicted again')
    if lines[-1]:
      with open(self._path, 'r+b') as file:
        file.truncate(sum(len(line) + 1 for line in lines[:-1]))

  def is_complete(self, digest: str) -> bool:
    """Whether every cell of the photograph has been predicted."""
    if digest not in self.regions:
      return digest in self.known
    return all(key in self.known for key in self.keys(digest))

  def keys(self, digest: str) -> list[str]:
    """The keys of the cells of a photograph; only its digest if it was not cut."""
    return [one.key for one in self.cells('', digest)]

  def cells(self, file: str, digest: str) -> list[cell.Cell]:
    """The cells of a photograph, with the name of its file."""
    if digest not in self.regions:
      return [cell.Cell(file, digest, 1, None)]
    return [cell.Cell(file, digest, i, one.box, one.marks) for i, one in enumerate(self.regions[digest], 1)]

  def forget(self, digest: str) -> None:
    """Drops what is known of a photograph and its cells, so that they are predicted again."""
    for key in self.keys(digest):
      self.known.pop(key, None)
      self.looks.pop(key, None)
    self.regions.pop(digest, None)
    self.about.pop(digest, None)

  def add_regions(self, digest: str, regions: Sequence[cell.Region]) -> None:
    """Records where the cells of a photograph are, before the first of them is added; on the disk before it returns."""
    self.regions[digest] = tuple(regions)
    entry: dict[str, Any] = {'sha256_16': digest, 'boxes': [one.box.as_tuple() for one in regions]}
    if any(one.marks for one in regions):
      entry['marks'] = [list(one.marks) for one in regions]
    self._append([entry])

  def describe(self, digest: str, about: Photograph) -> None:
    """Records what was read of a photograph; on the disk with the next cells, or after `flush`."""
    if digest not in self.about:
      self.about[digest] = about
      self._waiting.append({'sha256_16': digest, 'size': list(about.size), 'notes': list(about.notes)})

  def flush(self) -> None:
    """Writes the descriptions that wait."""
    if self._waiting:
      self._append([])

  def add(self, keys: Sequence[str], probs_BK: np.ndarray, look_BL: np.ndarray | None) -> None:
    """Appends predictions of cells, and what they look like; they are on the disk before it returns."""
    entries: list[dict] = []
    for i, (key, probs_K) in enumerate(zip(keys, probs_BK, strict=True)):
      entries.append({'sha256_16': key, 'probs': [float(p) for p in probs_K]})
      self.known[key] = np.array(probs_K, np.float64)
      if look_BL is not None:
        entries[-1]['look'] = [float(x) for x in look_BL[i]]
        self.looks[key] = np.array(look_BL[i], np.float64)
    self._append(entries)

  def _append(self, entries: Iterable[dict]) -> None:
    waiting, self._waiting = self._waiting, []
    with open(self._path, 'a', encoding='utf-8') as file:
      for entry in [*waiting, *entries]:
        file.write(json.dumps({**entry, 'crc32': _crc(entry)}) + '\n')
      file.flush()
      os.fsync(file.fileno())

  def _read(self, entry: dict | None) -> bool:
    """Takes up a line; False if it is damaged."""
    # Earlier versions wrote no checksum.
    if entry is None or entry.pop('crc32', None) not in (None, _crc(entry)) or 'sha256_16' not in entry:
      return False
    key = entry['sha256_16']
    if 'notes' in entry:
      try:
        width, height = entry['size']
        self.about[key] = Photograph((int(width), int(height)), tuple(map(str, entry['notes'])))
      except (KeyError, TypeError, ValueError):
        return False
      return True
    if 'boxes' in entry:
      try:
        marks = entry.get('marks', [()] * len(entry['boxes']))
        self.regions[key] = tuple(
          cell.Region(cell.Box(*box), tuple(map(str, those)))
          for box, those in zip(entry['boxes'], marks, strict=True)
        )
      except (TypeError, ValueError):
        return False
      return True
    if len(entry.get('probs', ())) != len(self._head['class_names']):
      return False
    self.known[key] = np.array(entry['probs'])
    if 'look' in entry:
      self.looks[key] = np.array(entry['look'], np.float64)
    return True


def _crc(entry: dict) -> int:
  return zlib.crc32(json.dumps(entry).encode())


def _parse(line: bytes) -> dict | None:
  try:
    entry = json.loads(line)
  except ValueError:
    return None
  return entry if isinstance(entry, dict) else None
