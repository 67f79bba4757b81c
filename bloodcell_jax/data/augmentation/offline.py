"""Rebuilds a class-balanced training set from photographs as the published copies were made; keeps each origin."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import itertools
import json
import pathlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from bloodcell_jax.base import types
from bloodcell_jax.data.augmentation import augment, saving
from bloodcell_jax.data.images import brightness, decode
from bloodcell_jax.data.tensorflow_cpu import tf
from bloodcell_jax.system import atomic, portable_name

# Size and ranges of the published copies, measured by registering them against the photographs.
WIDTH, HEIGHT = 320, 240
SPEC = augment.Spec(
  keras_version=2,
  rotation_range=20.0,
  width_shift_range=0.1,
  height_shift_range=0.1,
  brightness_range=(),
  shear_range=0.2,
  zoom_range=0.0,
  channel_shift_range=0.0,
  fill_mode='constant',
  cval=0.0,
  horizontal_flip=True,
  vertical_flip=True,
  interpolation_order=1,
  data_format='channels_last',
)
GROUPS, SETTINGS = 'groups.csv', 'settings.json'
_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Copy:
  """One image to be written."""

  file: str  # relative to the new set's folder
  row: int  # of the photograph
  position: int  # in the stream of random numbers


def plan(photographs: types.Table, num_images: int) -> list[Copy]:
  """The copies to write, spread evenly over the classes and over the photographs of each class.

  Raises:
    UserError: fewer images than photographs, or a class without a photograph.
  """
  num_classes = len(photographs.class_names)
  if num_images < len(photographs):
    raise types.UserError(
      f'{num_images} images are fewer than the {len(photographs)} photographs; raise --num_images'
    )
  folders = [portable_name.allowed(name) for name in photographs.class_names]
  if len({name.casefold() for name in folders}) < num_classes:
    folders = [f'{name}_{k}' for k, name in enumerate(folders)]
  stems = _stems(photographs)
  copies: list[Copy] = []
  for k, class_name in enumerate(photographs.class_names):
    rows = np.flatnonzero(photographs.label == k)
    if not len(rows):
      raise types.UserError(f'there is no photograph of {class_name}, so the set cannot be balanced')
    for i in range(num_images // num_classes + (k < num_images % num_classes)):
      row, copy = int(rows[i % len(rows)]), i // len(rows)
      copies.append(Copy(f'TRAIN/{folders[k]}/{stems[row]}_{copy:04d}.jpeg', row, len(copies)))
  return copies


def _stems(photographs: types.Table) -> list[str]:
  """How the names of each photograph's copies begin: no two alike, whatever the case of the letters."""
  # The name of a photograph may contain folders, and photographs of two folders may have the same.
  stems = [pathlib.PurePosixPath(str(source)).stem for source in photographs.source]
  times = collections.Counter(map(str.casefold, stems))
  taken = {stem for stem, num in times.items() if num == 1}
  for row, stem in enumerate(stems):
    if times[stem.casefold()] > 1:
      stems[row] = next(name for i in itertools.count(row) if (name := f'{stem}_{i}').casefold() not in taken)
      taken.add(stems[row].casefold())
  return stems


def write(
  folder: pathlib.Path,
  photographs: types.Table,
  num_images: int,
  seed: int,
  max_pixels: int,
  poll: Callable[[], None],
  on_progress: Callable[[int, int], None],
) -> None:
  """Writes the images, `groups.csv` (file, source, group) for the `folders` source, and the settings.

  **Guarantees**: the same arguments give the same bytes; an interrupted set is continued; `groups.csv` is written
  before the first image, so that every image has its photograph.

  Args:
    folder: of the new set; empty, or with a part of this set.
    photographs: the rows to copy, of training only.
    num_images: in all classes together.
    seed: of the random numbers.
    max_pixels: a photograph with more is refused.
    poll: called between images; may raise to end early.
    on_progress: called with (images done, images in all).

  Raises:
    UserError: the folder has other content, such as a set of photographs whose labels have since been corrected; or a
      photograph cannot be read.
  """
  copies = plan(photographs, num_images)
  _claim(
    folder,
    {'seed': seed, 'num_images': num_images, 'photographs': _digest(photographs), 'augment': repr(SPEC)},
  )
  lines = ((c.file, photographs.source[c.row], photographs.group[c.row]) for c in copies)
  atomic.write_csv(folder / GROUPS, [('file', 'source', 'group'), *lines])
  # Temporary files of a killed process.
  for beside in folder.glob('TRAIN/*/.*.jpeg.*'):
    beside.unlink()
  shape = (HEIGHT, WIDTH, 3)
  apply = augment.make_apply(SPEC, shape, tf.identity)
  missing = [c for c in copies if not (folder / c.file).exists()]
  for start in range(0, len(missing), _BATCH):
    batch = missing[start : start + _BATCH]
    image_BHWC = np.stack([_read(photographs, c.row, max_pixels) for c in batch])
    drawn = augment.draw(SPEC, seed, np.array([c.position for c in batch]), shape)
    augmented_BHWC = apply(image_BHWC, augment.operands(SPEC, drawn, shape)).numpy()
    for copy, augmented_HWC in zip(batch, augmented_BHWC, strict=True):
      poll()
      # The cast truncates, as in Keras.
      opened = Image.fromarray(augmented_HWC.astype(np.uint8))
      stretched = brightness.stretch(opened, brightness.maximum(opened))
      saving.write(folder / copy.file, np.asarray(stretched), 'jpeg')
    on_progress(len(copies) - len(missing) + start + len(batch), len(copies))


def _claim(folder: pathlib.Path, settings: dict[str, str | int]) -> None:
  path = folder / SETTINGS
  if path.exists():
    try:
      before = json.loads(atomic.read_text(path))
    except ValueError:
      raise types.UserError(f'{path}: damaged; remove {folder} and rebuild the set') from None
    if before != settings:
      raise types.UserError(
        f'{folder}: holds a set with other settings or other photographs (their order, names, labels or bytes); choose '
        'another folder'
      )
  elif folder.exists() and any(folder.iterdir()):
    raise types.UserError(f'{folder}: is not empty; choose a new folder')
  else:
    atomic.write_json(path, settings)


def _digest(photographs: types.Table) -> str:
  """SHA-256 of what the images and their places depend on: of each row its file, name, class and bytes, in order."""
  class_N = (photographs.class_names[k] for k in photographs.label)
  rows = zip(
    map(str, photographs.file), map(str, photographs.source), class_N, photographs.digest, strict=True
  )
  lines = (json.dumps([file, source, name, str(digest)]) for file, source, name, digest in rows)
  return hashlib.sha256('\n'.join(lines).encode()).hexdigest()


def _read(photographs: types.Table, row: int, max_pixels: int) -> np.ndarray:
  try:
    image_HWC = decode.upright(photographs.content[row], max_pixels)
  except decode.DecodeError as error:
    raise types.UserError(f'{photographs.file[row]}: {error}; repair or remove it') from None
  return np.asarray(Image.fromarray(image_HWC).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
