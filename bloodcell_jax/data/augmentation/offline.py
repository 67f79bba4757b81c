"""A class-balanced training set rebuilt from photographs as the published copies were made, with their origin kept."""

from __future__ import annotations

import dataclasses
import io
import json
import pathlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from bloodcell_jax.base import types
from bloodcell_jax.data.augmentation import augment, saving
from bloodcell_jax.data.images import decode
from bloodcell_jax.data.tensorflow_cpu import tf
from bloodcell_jax.system import atomic

# Of the published copies, measured by registering them against the photographs.
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
  """One image to be made."""

  file: str  # in the new set's folder
  row: int  # of the photograph
  position: int  # its random numbers


def plan(photographs: types.Table, num_images: int) -> list[Copy]:
  """Which photograph becomes which files: as many of each class, and of each photograph of a class, as come out even.

  Raises:
    UserError: fewer images than photographs were asked for.
  """
  num_classes = len(photographs.class_names)
  if num_images < len(photographs):
    raise types.UserError(f'{num_images} images cannot hold {len(photographs)} photographs; ask for more')
  copies: list[Copy] = []
  for k, class_name in enumerate(photographs.class_names):
    rows = np.flatnonzero(photographs.label == k)
    if not len(rows):
      raise types.UserError(f'there is no photograph of {class_name}, so the set cannot be balanced')
    for i in range(num_images // num_classes + (k < num_images % num_classes)):
      row, view = int(rows[i % len(rows)]), i // len(rows)
      # The name of a source may have folders in it.
      source = pathlib.PurePosixPath(str(photographs.source[row])).stem
      copies.append(Copy(f'TRAIN/{class_name}/{source}_{view:04d}.jpeg', row, len(copies)))
  return copies


def write(
  folder: pathlib.Path,
  photographs: types.Table,
  num_images: int,
  seed: int,
  poll: Callable[[], None],
  on_progress: Callable[[int, int], None],
) -> None:
  """Writes the images, `groups.csv` (file, source, group) for the `folders` source, and the settings.

  **Guarantees**: the same arguments give the same bytes; a folder that was left half-way is continued; `groups.csv` is
  there before the first image, so that no image is ever without its photograph.

  Args:
    folder: of the new set; must be empty, or hold a part of it.
    photographs: the rows to make it from: those of training alone.
    num_images: of the set, over all classes.
    seed: of the random numbers.
    poll: called between images; may raise to end early.
    on_progress: called with (images done, images in all).

  Raises:
    UserError: the folder holds something else, or a photograph cannot be read.
  """
  copies = plan(photographs, num_images)
  _claim(
    folder,
    {'seed': seed, 'num_images': num_images, 'photographs': _digest(photographs), 'augment': repr(SPEC)},
  )
  lines = ((c.file, photographs.source[c.row], photographs.group[c.row]) for c in copies)
  atomic.write_csv(folder / GROUPS, [('file', 'source', 'group'), *lines])
  # What a kill left beside a file that was being written.
  for beside in folder.glob('TRAIN/*/.*.jpeg.*'):
    beside.unlink()
  shape = (HEIGHT, WIDTH, 3)
  apply = augment.make_apply(SPEC, shape, tf.identity)
  missing = [c for c in copies if not (folder / c.file).exists()]
  for start in range(0, len(missing), _BATCH):
    some = missing[start : start + _BATCH]
    image_BHWC = np.stack([_read(photographs, c.row) for c in some])
    drawn = augment.draw(SPEC, seed, np.array([c.position for c in some]), shape)
    made_BHWC = apply(image_BHWC, augment.operands(SPEC, drawn, shape)).numpy()
    for copy, made_HWC in zip(some, made_BHWC, strict=True):
      poll()
      # The fraction is cut off by the cast, as Keras does it.
      saved = decode.stretch(Image.fromarray(made_HWC.astype(np.uint8)))
      saving.write(folder / copy.file, np.asarray(saved), 'jpeg')
    on_progress(len(copies) - len(missing) + start + len(some), len(copies))


def _claim(folder: pathlib.Path, settings: dict[str, str | int]) -> None:
  path = folder / SETTINGS
  if path.exists():
    try:
      before = json.loads(atomic.read_text(path))
    except ValueError:
      raise types.UserError(f'{path}: damaged; remove {folder} and make the set again') from None
    if before != settings:
      raise types.UserError(f'{folder}: holds a set made with other settings; choose another folder')
  elif folder.exists() and any(folder.iterdir()):
    raise types.UserError(f'{folder}: is not empty; choose a new folder')
  else:
    atomic.write_json(path, settings)


def _digest(photographs: types.Table) -> str:
  return ' '.join(sorted(photographs.digest))


def _read(photographs: types.Table, row: int) -> np.ndarray:
  content = photographs.content[row]
  try:
    with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as opened:
      return np.asarray(opened.convert('RGB').resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
  except OSError as error:
    raise types.UserError(f'{photographs.file[row]}: cannot be read ({error}); mend or remove it') from None
