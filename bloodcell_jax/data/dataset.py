"""A data set ready to train on: the table of one of the four sources, decoded, and the rows of each split."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable, Collection

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data.division import leaks, splits
from bloodcell_jax.data.images import decode
from bloodcell_jax.data.sources import embedded, folders, kaggle

SOURCES = ('embedded', 'kaggle', 'folders', 'tfds')
SPLITS = ('validation', 'test', 'test_clean', 'test_simple', 'test_originals')  # those that can be scored
BAD_IMAGE_POLICIES = ('fail', 'skip')
# Of a long list of bad files so many are named; the count of the rest follows.
MOST_NAMED = 20


@dataclasses.dataclass(frozen=True)
class Spec:
  """Which images, and how they are read and divided."""

  source: str  # one of SOURCES
  dir: str  # the folder; empty for embedded, and for kaggle to fetch it
  groups_csv: str  # folders: which images belong together; empty for none
  labels_csv: str  # folders: labels in the place of class folders; empty for none
  on_bad_image: str  # one of BAD_IMAGE_POLICIES
  validation_fraction: float  # of TRAIN, by groups, where the data has no validation split
  test_fraction: float  # of all, by groups, where the data has no test split; 0 for none
  allow_leak: bool  # train on data that leaks
  decode: decode.Spec
  embedded: embedded.Spec

  def __post_init__(self):
    if self.source not in SOURCES:
      raise types.UserError(f'data.source is {self.source!r}; choose one of {", ".join(SOURCES)}')
    if self.on_bad_image not in BAD_IMAGE_POLICIES:
      choices = ', '.join(BAD_IMAGE_POLICIES)
      raise types.UserError(f'data.on_bad_image is {self.on_bad_image!r}; choose one of {choices}')
    if not 0 < self.validation_fraction <= 0.5:
      raise types.UserError(
        f'data.validation_fraction is {self.validation_fraction}; it must lie in (0, 0.5]'
      )
    if not 0 <= self.test_fraction <= 0.5:
      raise types.UserError(f'data.test_fraction is {self.test_fraction}; it must lie in [0, 0.5]')


@dataclasses.dataclass(frozen=True)
class Dataset:
  """Images, what is known of them, and which rows each split has."""

  table: types.Table
  image_NHWC: np.ndarray  # uint8
  rows: dict[str, np.ndarray]  # by split: train, validation, test, ...
  skipped: list[types.Problem]  # files left out, with the reason
  notes: list[types.Problem]  # files read, but converted

  def fingerprint(self) -> str:
    """16 hex digits that change with any image, label, group or split."""
    digest = hashlib.sha256()
    for column in (self.table.digest, self.table.label, self.table.group):
      digest.update(np.ascontiguousarray(column).tobytes())
    for name in sorted(self.rows):
      digest.update(name.encode() + self.rows[name].astype(np.int64).tobytes())
    return digest.hexdigest()[:16]

  def image_of(self, split: str) -> Callable[[int], np.ndarray]:
    """A function from a row within the split to its uint8 image."""
    rows = self.rows[split]
    return lambda i: self.image_NHWC[rows[i]]

  def leaking(self) -> leaks.Leaks:
    """The images that stand on both sides of a split."""
    return leaks.find(self.table, self.rows)

  def counts(self) -> dict[str, dict[str, tuple[int, int]]]:
    """By split and class: how many images, of how many photographs."""
    table = self.table
    return {
      split: {
        name: (int((chosen := rows[table.label[rows] == k]).size), len(set(table.source[chosen])))
        for k, name in enumerate(table.class_names)
      }
      for split, rows in self.rows.items()
    }


def build(
  spec: Spec, seed: int, cache_dir: str | os.PathLike[str], on_progress: Callable[[int, int], None]
) -> Dataset:
  """The data set of the spec.

  Args:
    spec: what to read.
    seed: of the division into training and validation.
    cache_dir: where decoded images go when they do not fit in memory.
    on_progress: called with (images decoded, images in all).

  Raises:
    UserError: no such folder, or files that cannot be used under the policy 'fail'.
  """
  found, image_NHWC, problems, notes = _read(spec, cache_dir, on_progress)
  rows = splits.rows(found, spec.validation_fraction, spec.test_fraction, seed)
  return Dataset(found, image_NHWC, rows, problems, notes)


def undecoded(spec: Spec, seed: int, skipped: Collection[str]) -> Dataset:
  """The data set that `build` gave where it left these files out, divided like that, with images of one black pixel.

  For those who need the rows of a split and few of its images. No division of rows looks at a pixel.

  Args:
    spec: as that of `build`.
    seed: as that of `build`.
    skipped: names of the files that `build` left out.

  Raises:
    UserError: no such folder.
  """
  found, _ = table(spec)
  found = found.take(np.flatnonzero(~np.isin(found.file, list(skipped))))
  black = np.broadcast_to(np.zeros(1, np.uint8), (len(found), 1, 1, 3))
  rows = splits.rows(found, spec.validation_fraction, spec.test_fraction, seed)
  return Dataset(found, black, rows, [], [])


def whole(
  spec: Spec,
  split: str,
  class_names: tuple[str, ...],
  cache_dir: str | os.PathLike[str],
  on_progress: Callable[[int, int], None],
) -> Dataset:
  """All images of the spec as one split of this name, labelled by the classes of a trained network.

  Raises:
    UserError: as `build`, or a class that the network does not know.
  """
  found, image_NHWC, problems, notes = _read(spec, cache_dir, on_progress)
  for name in found.class_names:
    if name not in class_names:
      raise types.UserError(
        f'{spec.dir}: the run knows no class {name}; rename the folder to one of {", ".join(class_names)}'
      )
  label = np.array([class_names.index(name) for name in found.class_names], np.int32)[found.label]
  found = dataclasses.replace(found, label=label, class_names=class_names)
  return Dataset(found, image_NHWC, {split: np.arange(len(found))}, problems, notes)


def empty(class_names: tuple[str, ...]) -> Dataset:
  """A data set of these classes without an image: for a network that is only used."""
  none, label = np.zeros(0, np.str_), np.zeros(0, np.int32)
  table = types.Table((), none, label, none, none, none, none, class_names, '', False)
  return Dataset(table, np.zeros((0, 1, 1, 3), np.uint8), {}, [], [])


def _read(
  spec: Spec, cache_dir: str | os.PathLike[str], on_progress: Callable[[int, int], None]
) -> tuple[types.Table, np.ndarray, list[types.Problem], list[types.Problem]]:
  """The table, its decoded images, the files left out and those converted."""
  found, problems = table(spec)
  decoded = decode.table(found, spec.decode, cache_dir, on_progress)
  problems = [*problems, *decoded.problems]
  if problems and spec.on_bad_image == 'fail':
    raise types.UserError(complaint(problems))
  kept = np.flatnonzero(decoded.kept)
  # Taking rows copies every image, so only where some were dropped.
  image_NHWC = decoded.image_NHWC if len(kept) == len(found) else decoded.image_NHWC[kept]
  return found.take(kept), image_NHWC, problems, decoded.notes


def table(spec: Spec) -> tuple[types.Table, list[types.Problem]]:
  """The rows of the source, and the files in it that are no rows."""
  if spec.source == 'embedded':
    return _embedded(spec.embedded), []
  if spec.source == 'kaggle':
    return kaggle.table(spec.dir)
  if not spec.dir:
    raise types.UserError(f'data.source={spec.source!r} needs a folder: add --config.data.dir=FOLDER')
  if spec.source == 'folders':
    return folders.table(spec.dir, spec.groups_csv, spec.labels_csv)
  # Imported here: it loads TensorFlow, which the other sources do not need.
  from bloodcell_jax.data.sources import tfds_source

  return tfds_source.table(spec.dir)


def _embedded(spec: embedded.Spec) -> types.Table:
  images = embedded.draw_all(spec)
  sources = np.array([image.source for image in images], np.str_)
  return types.Table(
    content=tuple(image.png for image in images),
    file=np.array([image.file for image in images], np.str_),
    label=np.array([image.label for image in images], np.int32),
    source=sources,
    group=sources,
    split=np.array([image.split for image in images], np.str_),
    digest=np.array([hashlib.sha256(image.png).hexdigest()[:16] for image in images], np.str_),
    class_names=embedded.CLASS_NAMES,
    name='embedded (synthetic)',
    synthetic=True,
  )


def complaint(problems: list[types.Problem]) -> str:
  """What is said under the policy 'fail': the files, and what to do."""
  lines = [str(problem) for problem in problems[:MOST_NAMED]]
  if len(problems) > MOST_NAMED:
    lines.append(f'and {len(problems) - MOST_NAMED} more')
  advice = 'mend or remove them, or leave them out with --config.data.on_bad_image=skip'
  return '\n'.join([*lines, f'{len(problems)} files cannot be used: {advice}'])
