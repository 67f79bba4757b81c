"""A data set ready to train on: a table, its decoded images, and the rows of each split."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from bloodcell_jax.base import groups, types
from bloodcell_jax.data.division import leaks
from bloodcell_jax.data.images import conversions as conversions_lib
from bloodcell_jax.data.images import nuclei as nuclei_lib
from bloodcell_jax.data.images import on_demand, redefined

SPLITS = ('validation', 'test', 'test_clean', 'test_simple', 'test_originals')  # those that can be scored


@dataclasses.dataclass(frozen=True)
class Dataset:
  """A table, its decoded images, and the rows of each split."""

  table: types.Table
  image_NHWC: on_demand.Images  # uint8
  rows: dict[str, np.ndarray]  # by split: train, validation, test, ...
  skipped: list[types.Problem]  # files that were skipped, with the reason
  notes: list[types.Problem]  # files that were converted, and how
  remarks: tuple[str, ...]  # what the source was taken for, lines for people
  size_N2: np.ndarray | None = None  # int32: width and height of each photograph; None if not decoded
  thumbnail_NHW: np.ndarray | None = None  # uint8, of `near_copies.thumbnail`; None if not decoded

  @functools.cached_property
  def nuclei(self) -> nuclei_lib.Nuclei:
    """Where the nuclei of the images lie."""
    return nuclei_lib.Nuclei(self.image_NHWC)

  def fingerprint(self) -> str:
    """16 hex digits that change with any image, label, group or split."""
    digest = hashlib.sha256()
    for column in (self.table.digest, self.table.label, self.table.group):
      digest.update(np.ascontiguousarray(column))
    for name in sorted(self.rows):
      digest.update(name.encode() + self.rows[name].astype(np.int64).tobytes())
    return digest.hexdigest()[:16]

  def image_of(self, split: str) -> Callable[[int], np.ndarray]:
    """A function from a row within the split to its uint8 image."""
    rows = self.rows[split]
    return lambda i: self.image_NHWC[rows[i]]

  def conversions(self, split: str | None) -> dict[str, int]:
    """By conversion the number of images of the split, or of all for None, as `conversions.count`."""
    if split is None:
      return conversions_lib.count(self.notes)
    return self.conversions_of(self.table.file[self.rows[split]])

  def conversions_of(self, file_N: np.ndarray) -> dict[str, int]:
    """By conversion the number of these images, as `conversions.count`."""
    files = set(file_N.tolist())
    return conversions_lib.count(note for note in self.notes if note.file in files)

  def decoded_digests(self, rows: np.ndarray) -> list[str]:
    """Of each row, 16 hex digits of the file, marked where it has other pixels than in earlier versions."""
    return redefined.marked(self.table.digest[rows].tolist(), self.table.file[rows].tolist(), self.notes)

  def pixel_digests(self, split: str) -> Iterator[str]:
    """16 hex digits of the decoded pixels of each row of the split, whatever kind of file they came from."""
    for row in self.rows[split]:
      yield hashlib.sha256(np.ascontiguousarray(self.image_NHWC[row]).tobytes()).hexdigest()[:16]

  def with_rows(self, rows: Mapping[str, np.ndarray]) -> Dataset:
    """The same images divided into these splits."""
    other = dataclasses.replace(self, rows=dict(rows))
    # Those that are found for one division are found for all.
    other.__dict__['nuclei'] = self.nuclei
    return other

  def leaking(self) -> leaks.Leaks:
    """The images that are in both of two splits, or show the same photograph."""
    return leaks.find(self.table, self.rows)

  def counts(self) -> dict[str, dict[str, tuple[int, int]]]:
    """By split and class: (number of images, number of photographs)."""
    table, source_N = self.table, groups.numbers(self.table.source)
    return {
      split: {
        name: (int((chosen := rows[table.label[rows] == k]).size), len(np.unique(source_N[chosen])))
        for k, name in enumerate(table.class_names)
      }
      for split, rows in self.rows.items()
    }


def empty(class_names: tuple[str, ...]) -> Dataset:
  """A data set of these classes without images, for a network that only predicts."""
  none, label = np.zeros(0, np.str_), np.zeros(0, np.int32)
  table = types.Table((), none, label, none, none, none, none, class_names, '', False)
  return Dataset(table, np.zeros((0, 1, 1, 3), np.uint8), {}, [], [], ())
