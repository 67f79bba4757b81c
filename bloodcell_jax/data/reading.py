"""Reads a data set: the table of its source, its images decoded, its rows divided into splits."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Collection, Sequence

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data import dataset
from bloodcell_jax.data.division import splits
from bloodcell_jax.data.images import decode, image_files
from bloodcell_jax.data.sources import embedded, misspelling, names, registry, remarks, source

BAD_IMAGE_POLICIES = ('fail', 'skip')
# How many files an error names at most; it counts the others.
MOST_NAMED = 20
# What to do about files that cannot be used.
SKIPPING = 'repair or remove them, or skip them with --config.data.on_bad_image=skip'


@dataclasses.dataclass(frozen=True)
class Spec:
  """Which images, and how they are read, decoded and divided into splits."""

  source: str  # a key of registry.SOURCES
  dir: str  # the folder; empty for embedded, and for kaggle to fetch it
  groups_csv: str  # folders: which images belong together; empty for none
  labels_csv: str  # folders: lists of labels, separated by commas, in place of class folders; empty for none
  on_bad_image: str  # one of BAD_IMAGE_POLICIES
  validation_fraction: float  # of TRAIN, by groups, if the data has no validation split
  test_fraction: float  # of all, by groups, if the data has no test split; 0 for none
  allow_leak: bool  # train on data that leaks
  decode: decode.Spec
  embedded: embedded.Spec

  def __post_init__(self):
    if self.source not in registry.SOURCES:
      choices = ', '.join(f'{name} ({known.title})' for name, known in registry.SOURCES.items())
      raise types.UserError(f'data.source is {self.source!r}; choose one of {choices}')
    if self.on_bad_image not in BAD_IMAGE_POLICIES:
      choices = ', '.join(BAD_IMAGE_POLICIES)
      raise types.UserError(f'data.on_bad_image is {self.on_bad_image!r}; choose one of {choices}')
    if not 0 < self.validation_fraction <= 0.5:
      raise types.UserError(
        f'data.validation_fraction is {self.validation_fraction}; it must lie in (0, 0.5]'
      )
    if not 0 <= self.test_fraction <= 0.5:
      raise types.UserError(f'data.test_fraction is {self.test_fraction}; it must lie in [0, 0.5]')


def build(
  spec: Spec, seed: int, cache_dir: str | os.PathLike[str], on_progress: Callable[[int, int], None]
) -> dataset.Dataset:
  """The data set of the spec.

  Args:
    spec: what to read.
    seed: of the division into training and validation.
    cache_dir: for decoded images that do not fit into memory.
    on_progress: called with (images decoded, images in all).

  Raises:
    UserError: the data is missing or cannot be understood, has one class, has a class that TRAIN lacks, or files cannot
      be used under the policy 'fail'.
  """
  found = read_source(spec)
  if untaught := remarks.untaught(found.table):
    raise types.UserError(untaught)
  return divide(_decode(found, spec, cache_dir, on_progress), spec, seed)


def divide(data: dataset.Dataset, spec: Spec, seed: int) -> dataset.Dataset:
  """The images of `build` of this spec, divided for another seed."""
  return data.with_rows(splits.rows(data.table, spec.validation_fraction, spec.test_fraction, seed))


def undecoded(spec: Spec, seed: int, skipped: Collection[str]) -> dataset.Dataset:
  """The data set of the spec without decoding: the rows are those of `build`, every image is one black pixel.

  For callers that need the rows of a split and few of its images; the division into splits uses no pixel.

  Args:
    spec: as that of `build`.
    seed: as that of `build`.
    skipped: names of the files that `build` skipped.

  Raises:
    UserError: no such folder.
  """
  table, _ = read_table(spec)
  table = table.take(np.flatnonzero(~np.isin(table.file, list(skipped))))
  black = np.broadcast_to(np.zeros(1, np.uint8), (len(table), 1, 1, 3))
  rows = splits.rows(table, spec.validation_fraction, spec.test_fraction, seed)
  return dataset.Dataset(table, black, rows, [], [], ())


def whole(
  spec: Spec,
  split: str,
  class_names: tuple[str, ...],
  cache_dir: str | os.PathLike[str],
  on_progress: Callable[[int, int], None],
) -> dataset.Dataset:
  """All images of the spec as one split, labelled with the classes of a trained network.

  Raises:
    UserError: as `build`, or a class that the network does not know.
  """
  try:
    found = read_source(spec)
  except types.UserError as error:
    raise types.UserError(_with_flags(error)) from None
  taken, lines = [], list(found.remarks)
  known = [
    name if name in class_names else names.match_number(name, class_names) for name in found.table.class_names
  ]
  if unknown := [name for name, own in zip(found.table.class_names, known, strict=True) if not own]:
    raise types.UserError(_unknown(spec.labels_csv or spec.dir, unknown, class_names))
  for name, own in zip(found.table.class_names, known, strict=True):
    if own != name:
      lines.append(f'  the class {names.spelled(name)} is taken for {own} of the run')
    taken.append(class_names.index(own))
  if len(np.unique(found.table.split)) > 1:
    lines.append('  all its splits are scored together')
  missing = [name for k, name in enumerate(class_names) if k not in taken]
  if missing:
    lines.append(f'  no image of {", ".join(missing)}: no recall can be given for them')
  label = np.array(taken, np.int32)[found.table.label]
  table = dataclasses.replace(found.table, label=label, class_names=class_names)
  try:
    data = _decode(source.Reading(table, found.problems, tuple(lines)), spec, cache_dir, on_progress)
  except types.UserError as error:
    raise types.UserError(_with_flags(error)) from None
  return data.with_rows({split: np.arange(len(data.table))})


def _unknown(origin: str, unknown: Sequence[str], class_names: Sequence[str]) -> str:
  """What is said of classes that a run does not know; to name one of its own would be to mislabel their images."""
  near = {name: meant for name in unknown if (meant := misspelling.of(name, class_names))}
  spelled = ', '.join(
    f'{names.spelled(name)} (did you mean {near[name]}?)' if name in near else names.spelled(name)
    for name in unknown
  )
  rename = 'correct a misspelt folder or label, ' if near else ''
  whose, them = ('that class', 'it') if len(unknown) == 1 else ('those classes', 'them')
  return (
    f'{origin}: the run knows no class {spelled}, only {", ".join(class_names)}; {rename}leave the images of {whose} '
    f'out, or train a run that has {them} too'
  )


def _with_flags(error: types.UserError) -> str:
  """The message with the flags of `evaluate` in place of keys."""
  return re.sub(r'--config\.data\.(groups_csv|on_bad_image)', r'--\1', str(error)).replace(
    '--config.data.dir', '--data_dir'
  )


def _decode(
  found: source.Reading,
  spec: Spec,
  cache_dir: str | os.PathLike[str],
  on_progress: Callable[[int, int], None],
) -> dataset.Dataset:
  """The usable images of the table, not divided into splits."""
  table = found.table
  decoded = decode.table(table, spec.decode, cache_dir, on_progress)
  problems = [*found.problems, *decoded.problems]
  if problems and spec.on_bad_image == 'fail':
    raise types.UserError(complaint(problems))
  kept = np.flatnonzero(decoded.kept)
  usable, image_NHWC = table.take(kept), decoded.image_NHWC
  if len(kept) < len(table):  # taking rows of an array copies every image
    image_NHWC = image_NHWC[kept] if isinstance(image_NHWC, np.ndarray) else image_NHWC.only(usable)
  return dataset.Dataset(
    usable,
    image_NHWC,
    {},
    problems,
    decoded.notes,
    found.remarks,
    decoded.size_N2[kept],
    None if decoded.thumbnail_NHW is None else decoded.thumbnail_NHW[kept],
  )


def read_source(spec: Spec) -> source.Reading:
  """What the source of the spec reads, undecoded.

  Raises:
    UserError: no such data, data that cannot be understood, or no `data.dir` although the source needs it.
  """
  _check_dir(spec)
  return registry.SOURCES[spec.source].read(spec)


def read_table(spec: Spec) -> tuple[types.Table, list[types.Problem]]:
  """The rows of the source, and the files that are not used; raises as `read_source`."""
  found = read_source(spec)
  return found.table, found.problems


def photographs(spec: Spec) -> types.Table:
  """One image of each training photograph; raises as `read_table`."""
  _check_dir(spec)
  return registry.SOURCES[spec.source].photographs(spec)


def check_is_read(spec: Spec) -> None:
  """Refuses a folder or a list that the source of the spec does not read; earlier runs may name one."""
  origin = registry.SOURCES[spec.source]
  if spec.dir and origin.is_synthetic:
    raise types.UserError(
      f'data.dir is {spec.dir!r}, but data.source={spec.source!r} draws its images; set '
      '--config.data.source=folders, or leave data.dir empty'
    )
  for key in ('groups_csv', 'labels_csv'):
    if getattr(spec, key) and not origin.reads_lists:
      raise types.UserError(
        f'data.{key} is {getattr(spec, key)!r}, which data.source={spec.source!r} does not read; set '
        f'--config.data.source=folders, or leave data.{key} empty'
      )


def _check_dir(spec: Spec) -> None:
  if registry.SOURCES[spec.source].needs_dir and not spec.dir:
    raise types.UserError(f'data.source={spec.source!r} needs a folder: add --config.data.dir=FOLDER')
  if os.path.isfile(spec.dir) and (advice := image_files.unpacking(spec.dir)):
    raise types.UserError(f'{spec.dir}: {advice}')


def complaint(problems: list[types.Problem], advice: str = SKIPPING) -> str:
  """The error message under the policy 'fail': the files, and what to do."""
  lines = [str(problem) for problem in problems[:MOST_NAMED]]
  if len(problems) > MOST_NAMED:
    lines.append(f'and {len(problems) - MOST_NAMED} more')
  return '\n'.join([*lines, f'{len(problems)} files cannot be used: {advice}'])
