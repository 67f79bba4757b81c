"""The images that a run has seen: it keeps their digests, and images to be scored are compared with these.

An image counts as seen if its bytes are the same or, as after saving it again without loss, its decoded pixels. It
counts as a copy of a seen image if its thumbnail says that it was saved again with loss, resized or cropped a little.
"""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data import dataset
from bloodcell_jax.data.division import leaks
from bloodcell_jax.data.images import image_files, near_copies
from bloodcell_jax.runs import traced_weights
from bloodcell_jax.storage import thumbnails_file, workdir
from bloodcell_jax.system import atomic

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
  # Of the others: copies of images trained on and, of the rest, of images in its validation split; None where it kept
  # no thumbnails.
  copies_trained: int | None
  copies_chosen: int | None
  unknown: str  # a run whose weights it began with and whose images are not known; '' for none
  unknown_copies: tuple[str, ...]  # those whose images are known by their digests alone

  @property
  def num_seen(self) -> int:
    """The images that were trained or chosen on, and their copies."""
    return self.trained + self.chosen + (self.copies_trained or 0) + (self.copies_chosen or 0)

  def as_dict(self) -> dict[str, int | None]:
    """The key `seen` of an entry in `metrics.json`."""
    return {
      'num_images': self.num_images,
      'trained': self.trained,
      'chosen': self.chosen,
      'copies_trained': self.copies_trained,
      'copies_chosen': self.copies_chosen,
    }

  def sentence(self) -> str:
    """What follows for figures on these images; always a sentence, without its full stop."""
    chose = 'chose the epoch and the calibration'
    parts = [f'{self.trained:,} were trained on'] if self.trained else []
    parts += (
      [_copies(self.copies_trained, ('was trained on', 'were trained on'))] if self.copies_trained else []
    )
    parts += [f'{self.chosen:,} {chose}'] if self.chosen else []
    parts += [_copies(self.copies_chosen, (chose, chose))] if self.copies_chosen else []
    rest = (
      f'; whether it is in the data of {self.unknown}, which it began with, is not known'
      if self.unknown
      else ''
    )
    if self.copies_trained is None:
      rest += '; copies of them (saved again, resized or cropped) are not known: the run kept no thumbnails'
    elif self.unknown_copies:
      rest += f'; copies of the images of {" and ".join(self.unknown_copies)} are not known'
    if not parts:
      return f'none of the {self.num_images:,} images was trained or chosen on{rest}'
    listed = ' and '.join(filter(None, (', '.join(parts[:-1]), parts[-1])))
    if self.copies_trained or self.copies_chosen:
      listed += ' (saved again, resized or cropped)'
    return f'of {self.num_images:,} images, {listed}: these figures are not a test{rest}'


def _copies(num: int, role: tuple[str, str]) -> str:
  what = f'is a copy of an image that {role[0]}' if num == 1 else f'are copies of images that {role[1]}'
  return f'{num:,} {what}'


def write(folder: workdir.Workdir, data: dataset.Dataset, weights_path: str) -> None:
  """Writes `thumbnails.npz` and `digests.csv` of a run that begins to train, unless the digests are there.

  Args:
    folder: the run's.
    data: its images and splits.
    weights_path: `weights.path` of its config: what a run there has seen, this one has seen too.
  """
  if folder.digests.exists():
    return
  before = traced_weights.find(weights_path)
  if data.thumbnail_NHW is not None:
    thumbnails_file.write(folder, _thumbnails(data, data.thumbnail_NHW, before))
  earlier: list[tuple[str, str, str, str]] = []
  if before:
    earlier = _read(before.folder) if before.folder else [(UNKNOWN, before.name, '', '')]
  atomic.write_csv(folder.digests, itertools.chain([COLUMNS], _own(data), earlier))


def _own(data: dataset.Dataset) -> Iterator[tuple[str, str, str, str]]:
  """The run's own images, each decoded once its row is asked for."""
  for role, split in ROLES.items():
    rows = data.rows.get(split, ())
    for row, pixels in zip(rows, data.pixel_digests(split) if len(rows) else (), strict=True):
      digest = str(data.table.digest[row])
      yield role, str(data.table.file[row]), image_files.marked(digest), image_files.marked(pixels)


def _thumbnails(
  data: dataset.Dataset, thumbnail_NHW: np.ndarray, before: traced_weights.Trace | None
) -> thumbnails_file.Thumbnails:
  """Those of the run's own images, and of what the run behind its initial weights has seen."""
  rows = [data.rows.get(split, np.zeros(0, np.int64)) for split in ROLES.values()]
  own = thumbnails_file.Thumbnails(
    thumbnail_NHW[np.concatenate(rows)],
    np.concatenate([np.full(len(each), role == 'trained') for role, each in zip(ROLES, rows, strict=True)]),
    (),
  )
  earlier = thumbnails_file.read(before.folder) if before and before.folder else None
  if earlier is None:
    return dataclasses.replace(own, unknown=(before.name,) if before else ())
  return thumbnails_file.Thumbnails(
    np.concatenate([own.image_NHW, earlier.image_NHW]),
    np.concatenate([own.is_trained_N, earlier.is_trained_N]),
    earlier.unknown,
  )


def export(folder: workdir.Workdir, target: workdir.Workdir) -> None:
  """Copies what a run has seen to its export, for runs that begin with the exported weights.

  Exports are given to others: names of images are left out, and of a run whose images are not known all but its name.

  Args:
    folder: the run's; where it kept no digests, nothing is written.
    target: the folder of the export.

  Raises:
    UserError: the digests or the thumbnails are damaged.
  """
  if not folder.digests.exists():
    return
  rows = ((role, _name(file) if role == UNKNOWN else '', *values) for role, file, *values in _read(folder))
  atomic.write_csv(target.digests, itertools.chain([COLUMNS], rows))
  if (thumbnails := thumbnails_file.read(folder)) is not None:
    unknown = tuple(map(_name, thumbnails.unknown))
    thumbnails_file.write(target, dataclasses.replace(thumbnails, unknown=unknown))


def _name(place: str) -> str:
  return pathlib.PurePath(place).name


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
  before = traced_weights.find(weights_path)
  if before is None or before.folder is None:
    return {}
  trained = {value for role, _, *values in _read(before.folder) if role == 'trained' for value in values}
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
      '--config.data.allow_leak=True, which trains all the same and marks every figure'
    )
  return {leaks.SEEN_BY_WEIGHTS: len(rows)}


def compare(folder: workdir.Workdir, data: dataset.Dataset, split: str) -> Seen | None:
  """How many images of a split of other data the run has seen; None if it kept no digests.

  Raises:
    UserError: the digests or the thumbnails are damaged.
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
  others: list[int] = []
  for row, pixels in zip(data.rows[split], data.pixel_digests(split), strict=True):
    own = {image_files.marked(str(data.table.digest[row])), image_files.marked(pixels)}
    if own & digests['trained']:
      trained += 1
    elif own & digests['chosen']:
      chosen += 1
    else:
      others.append(int(row))
  num = len(data.rows[split])
  thumbnails = thumbnails_file.read(folder)
  if thumbnails is None or data.thumbnail_NHW is None:
    return Seen(num, trained, chosen, None, None, unknown, ())
  image_NHW = data.thumbnail_NHW[others]
  is_of_trained_N = near_copies.are_copies(image_NHW, thumbnails.image_NHW[thumbnails.is_trained_N])
  is_of_chosen_N = near_copies.are_copies(
    image_NHW[~is_of_trained_N], thumbnails.image_NHW[~thumbnails.is_trained_N]
  )
  unknown_copies = tuple(name for name in thumbnails.unknown if name != unknown)
  return Seen(
    num, trained, chosen, int(is_of_trained_N.sum()), int(is_of_chosen_N.sum()), unknown, unknown_copies
  )


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
    rows = atomic.read_csv(folder.digests)[1:]
    return [(role, file, digest, pixels) for role, file, digest, pixels in rows]
  except ValueError:
    raise types.UserError(
      f'{folder.digests}: damaged, or changed since it was written; {atomic.restoring(folder.digests)}, or '
      'remove it, and it will not be known which images the run has seen'
    ) from None
