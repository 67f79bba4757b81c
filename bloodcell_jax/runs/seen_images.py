"""The images that a run has seen, kept with it as digests, with which images to be scored are compared.

An image counts as seen where its bytes or, as with one saved again without loss, its decoded pixels are the same.
"""

from __future__ import annotations

import csv
import dataclasses
import os
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data import dataset
from bloodcell_jax.data.division import leaks
from bloodcell_jax.data.images import image_files
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic
from bloodcell_jax.weights import pretrained, published

COLUMNS = ('role', 'file', 'sha256_16', 'pixels_16')
# By role, the splits that the run has trained on, and those that chose its epoch and fitted its calibration.
ROLES = {'trained': 'train', 'chosen': 'validation'}
# The role of a run whose weights this one began with and that kept no digests.
UNKNOWN = 'unknown'
NOT_KEPT = (
  'whether the run has seen these images is not known: when it was trained, no digests of them were kept'
)


@dataclasses.dataclass(frozen=True)
class Seen:
  """How many of some images a run has seen."""

  num_images: int
  trained: int  # of them trained on, by this run or by one whose weights it began with
  chosen: int  # of the others: in its validation split
  unknown: str  # a run whose weights it began with and whose images are not known; '' for none

  @property
  def num_seen(self) -> int:
    """The images that were trained or chosen on."""
    return self.trained + self.chosen

  def as_dict(self) -> dict[str, int]:
    """The key `seen` of an entry in `metrics.json`."""
    return {'num_images': self.num_images, 'trained': self.trained, 'chosen': self.chosen}

  def sentence(self) -> str:
    """What follows for figures on these images; always a sentence, without its full stop."""
    parts = [f'{self.trained:,} were trained on'] if self.trained else []
    parts += [f'{self.chosen:,} chose the epoch and the calibration'] if self.chosen else []
    rest = (
      f'; whether it is in the data of {self.unknown}, which it began with, is not known'
      if self.unknown
      else ''
    )
    if not parts:
      return f'none of the {self.num_images:,} images was trained or chosen on{rest}'
    return f'of {self.num_images:,} images, {" and ".join(parts)}: these figures are not a test{rest}'


def write(folder: workdir.Workdir, data: dataset.Dataset, weights_path: str) -> None:
  """Writes `digests.csv` of a run that begins to train, unless it is there.

  Args:
    folder: the run's.
    data: its images and splits.
    weights_path: `weights.path` of its config: what a run there has seen, this one has seen too.
  """
  if folder.digests.exists():
    return
  rows: list[tuple[str, str, str, str]] = []
  for role, split in ROLES.items():
    of_split = data.rows.get(split, ())
    for row, pixels in zip(of_split, data.pixel_digests(split) if len(of_split) else (), strict=True):
      digest = str(data.table.digest[row])
      rows.append((role, str(data.table.file[row]), image_files.marked(digest), image_files.marked(pixels)))
  before = _run_behind(weights_path)
  if before and before.digests.exists():
    rows += _read(before)
  elif before and before.config.exists():
    rows.append((UNKNOWN, str(before.path.resolve()), '', ''))
  atomic.write_csv(folder.digests, [COLUMNS, *rows])


def in_initial_weights(
  folder: workdir.Workdir, data: dataset.Dataset, weights_path: str, allow_leak: bool
) -> dict[str, int]:
  """How many validation and test images the initial weights were trained on, as `leaks.note` has it; empty for none.

  Args:
    folder: of the run that begins with them; one that has begun already is not refused.
    data: its images and splits.
    weights_path: `weights.path` of its config.
    allow_leak: `data.allow_leak` of its config.

  Raises:
    UserError: there are some, the run has not begun, and leaks are not allowed.
  """
  before = _run_behind(weights_path)
  if before is None or not before.digests.exists():
    return {}
  trained = {value for role, _, *values in _read(before) if role == 'trained' for value in values}
  found = [
    row
    for split in data.rows
    # test_clean is a part of test.
    if split not in ('train', 'test_clean')
    for row, pixels in zip(data.rows[split], data.pixel_digests(split), strict=True)
    if {image_files.marked(str(data.table.digest[row])), image_files.marked(pixels)} & trained
  ]
  rows = np.unique(found)
  if not len(rows):
    return {}
  if not allow_leak and not folder.digests.exists():
    raise types.UserError(
      f'weights.path is {weights_path!r}, weights that were trained on {len(rows):,} of the validation and test images '
      f'({data.table.file[rows[0]]} ...): begin with other weights, leave these images out, or set '
      '--config.data.allow_leak=True, which trains nevertheless and marks every figure'
    )
  return {leaks.SEEN_BY_WEIGHTS: len(rows)}


def _run_behind(weights_path: str) -> workdir.Workdir | None:
  """The folder that says which images the initial weights were trained on; None where there is none."""
  place = pretrained.PBC_FOLDER if weights_path == published.PBC else weights_path
  return workdir.Workdir(place) if place and os.path.isdir(place) else None


def compare(folder: workdir.Workdir, data: dataset.Dataset, split: str) -> Seen | None:
  """How many images of a split of other data the run has seen; None if it kept no digests.

  Raises:
    UserError: the digests are damaged.
  """
  if not folder.digests.exists():
    return None
  digests: dict[str, set[str]] = {role: set() for role in ROLES}
  unknown = ''
  for role, file, of_file, of_pixels in _read(folder):
    if role in digests:
      digests[role] |= {of_file, of_pixels}
    else:
      unknown = file
  trained = chosen = 0
  for row, pixels in zip(data.rows[split], data.pixel_digests(split), strict=True):
    own = {image_files.marked(str(data.table.digest[row])), image_files.marked(pixels)}
    is_trained = bool(own & digests['trained'])
    trained += is_trained
    chosen += not is_trained and bool(own & digests['chosen'])
  return Seen(len(data.rows[split]), trained, chosen, unknown)


def digests(folder: workdir.Workdir) -> frozenset[str]:
  """Those of the files that the run has seen, as `Table.digest` has them; none if it kept none. Raises as `compare`."""
  if not folder.digests.exists():
    return frozenset()
  return frozenset(digest.removeprefix(image_files.MARK) for _, _, digest, _ in _read(folder) if digest)


def entry(seen: Seen | None) -> dict[str, Any]:
  """The keys of an entry in `metrics.json` about what the run has seen."""
  return {'seen': None if seen is None else seen.as_dict()}


def _read(folder: workdir.Workdir) -> list[tuple[str, str, str, str]]:
  try:
    lines = list(csv.reader(atomic.read_text(folder.digests).splitlines()))
    return [(role, file, digest, pixels) for role, file, digest, pixels in lines[1:]]
  except ValueError:
    raise types.UserError(
      f'{folder.digests}: damaged, or changed since it was written; restore it, or remove it, and it will not be known '
      'which images the run has seen'
    ) from None
