"""A data source: how a table of images is read, and what is known of it before any image is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data.sources import embedded as embedded_lib


class Settings(Protocol):
  """The settings that a source may read; `reading.Spec` has them."""

  @property
  def dir(self) -> str:
    """The folder of the data; '' for none."""

  @property
  def groups_csv(self) -> str:
    """A CSV of files and groups; '' for none."""

  @property
  def labels_csv(self) -> str:
    """A CSV of files and labels, or several separated by commas; '' for none."""

  @property
  def embedded(self) -> embedded_lib.Spec:
    """Number and size of synthetic images."""


@dataclasses.dataclass(frozen=True)
class Reading:
  """What a source read, and what it took the data for."""

  table: types.Table
  problems: list[types.Problem]  # files that are not used
  # Lines for people: splits, classes, groups, what was passed over; printed before anything is trained or counted.
  remarks: tuple[str, ...]


Read = Callable[[Settings], Reading]


@dataclasses.dataclass(frozen=True)
class Source:
  """One value of `data.source`."""

  title: str  # for people
  is_synthetic: bool  # drawn by this package, not photographed
  needs_dir: bool  # whether `data.dir` must name a folder
  reads_lists: bool  # whether `data.groups_csv` and `data.labels_csv` are read
  splits: str  # a sentence: which splits the data brings, and which are held out
  licence: str  # of the images, a line of the model card
  # Raises UserError if there is no such data, or if it cannot be understood.
  read: Read
  # One image of each photograph of TRAIN, to rebuild a training set from. Raises as `read`.
  photographs: Callable[[Settings], types.Table]


def one_of_each_photograph(read: Read) -> Callable[[Settings], types.Table]:
  """A function that returns the first image of each photograph of TRAIN, for sources without the photographs."""

  def photographs(settings: Settings) -> types.Table:
    table = read(settings).table
    train = np.flatnonzero(table.split == 'TRAIN')
    _, first = np.unique(table.source[train], return_index=True)
    return table.take(train[np.sort(first)])

  return photographs
