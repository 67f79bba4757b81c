"""Data types shared by all rooms: Table, Batch, Predictions; and the two kinds of error.

Axis letters, used as suffixes of array names:
  B batch   N rows   H height   W width   C channels   K classes   D features
  M members   G groups   R resamples
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Protocol

import jax
import numpy as np


class UserError(ValueError):
  """An error that the user can fix: one line that names the file, key or row and what to do. Exit code 2."""


class RunError(RuntimeError):
  """A run failed for a known reason, such as a loss that is not finite: one line. Exit code 1."""


@dataclasses.dataclass(frozen=True)
class Problem:
  """A problem of one image file or folder."""

  file: str
  reason: str

  def __str__(self) -> str:
    return f'{self.file}: {self.reason}'


class Stored(Protocol):
  """An encoded image in a larger file, such as a shard."""

  def read(self) -> bytes:
    """The encoded image. Raises OSError where the file cannot be read."""


Content = str | bytes | Stored


class StoredImages(Protocol):
  """Encoded images in larger files, row by row, without an object for each."""

  def __len__(self) -> int: ...

  def __getitem__(self, row: int, /) -> Stored: ...

  def __iter__(self) -> Iterator[Stored]: ...

  def take(self, rows: np.ndarray) -> StoredImages:
    """These rows only, in this order."""


_COLUMNS = ('file', 'label', 'source', 'group', 'split', 'digest')


@dataclasses.dataclass(frozen=True)
class Table:
  """One row per image: its bytes, their path or their place in a larger file, its label and its group.

  Guarantees: `file` is unique; `label` lies in [0, K); rows with equal `group` show the same field
  of the same smear, so no split separates them. Columns that are equal may be one array: none is changed in place.
  """

  content: tuple[Content, ...] | StoredImages  # N: a path, the encoded image, or where it is stored
  file: np.ndarray  # [N] str: the name shown to people, relative to the data's folder
  label: np.ndarray  # [N] int32: index into class_names
  source: np.ndarray  # [N] str: the photograph the image was cut from
  group: np.ndarray  # [N] str: shared by photographs of the same physical field
  split: np.ndarray  # [N] str: TRAIN, VALIDATION, TEST, TEST_SIMPLE or ORIGINALS
  digest: np.ndarray  # [N] str: first 16 hex digits of the SHA-256 of the encoded bytes
  class_names: tuple[str, ...]  # K, in alphabetical order
  name: str  # of the data set, for people
  synthetic: bool  # rendered by this package, not photographed

  def __post_init__(self):
    num_rows = len(self.content)
    for column in _COLUMNS:
      if getattr(self, column).shape != (num_rows,):
        raise ValueError(f'Table.{column} has shape {getattr(self, column).shape}, not {(num_rows,)}')
    ordered = np.sort(self.file)
    is_again = ordered[1:] == ordered[:-1]
    if is_again.any():
      raise UserError(f'{ordered[is_again.argmax()]}: two images of the data set have this name; rename one')
    if num_rows and not (self.label.min() >= 0 and self.label.max() < len(self.class_names)):
      raise ValueError('Table.label has an index that class_names lacks')

  def __len__(self) -> int:
    return len(self.content)

  def take(self, rows: Sequence[int] | np.ndarray) -> Table:
    """The same table with these rows only, in this order; itself where these are all of its rows."""
    rows = np.asarray(rows, np.int64)
    if np.array_equal(rows, np.arange(len(self))):
      return self
    columns = {c: getattr(self, c) for c in _COLUMNS}
    # Columns that are one array stay one.
    arrays = {id(column_N): column_N for column_N in columns.values()}
    taken = {key: column_N[rows] for key, column_N in arrays.items()}
    some = self.content
    return dataclasses.replace(
      self,
      content=tuple(some[i] for i in rows) if isinstance(some, tuple) else some.take(rows),
      **{c: taken[id(column_N)] for c, column_N in columns.items()},
    )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
  """Input of one step. Rows that pad the batch have weight 0.

  `position_B` is the row's index in the global batch, 0 to B-1, on any device: randomness per example is keyed
  by it, so results do not depend on the number of devices.
  """

  image_BHWC: jax.Array | np.ndarray  # float32
  target_BK: jax.Array | np.ndarray  # float32, rows sum to 1 (one-hot, or mixed)
  weight_B: jax.Array | np.ndarray  # float32, >= 0
  position_B: jax.Array | np.ndarray  # int32


@dataclasses.dataclass(frozen=True)
class Predictions:
  """Predictions of a model for some images: the input of metrics, plots, ensembles and reports."""

  probs_NK: np.ndarray  # float64, rows sum to 1
  label_N: np.ndarray  # int32
  group_N: np.ndarray  # str: the unit that intervals resample
  file_N: np.ndarray  # str
  class_names: tuple[str, ...]

  def __len__(self) -> int:
    return len(self.label_N)

  def take(self, rows: Sequence[int] | np.ndarray) -> Predictions:
    """The same with these rows only, in this order."""
    rows = np.asarray(rows, np.int64)
    columns = {c: getattr(self, c)[rows] for c in ('probs_NK', 'label_N', 'group_N', 'file_N')}
    return dataclasses.replace(self, **columns)
