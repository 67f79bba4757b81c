"""What the watched cases are given to: readers of bytes that nobody vouches for."""

from __future__ import annotations

import pathlib
import tempfile

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data.images import decode
from bloodcell_jax.data.sources import folders, input_paths
from bloodcell_jax.storage import predictions_csv
from bloodcell_jax.weights import pretrained

SPECS = {
  view: decode.Spec(32, view, 'bilinear', view == 'full', 100_000_000, 'auto') for view in ('full', 'nucleus')
}


def refused(text: str) -> str:
  """The outcome of a case that was refused with this text, which must be one line."""
  if len(text.splitlines()) != 1 or len(text) > 2000:
    raise ValueError(f'not one line: {text[:200]!r}')
  return f'refused: {text.split("(")[0].strip()}'


def decode_image(case: tuple[bytes, str]) -> str:
  """An image of bytes, in a view."""
  data, view = case
  try:
    pixels, notes = decode.image(data, SPECS[view])
  except decode.DecodeError as error:
    return refused(str(error))
  assert pixels.shape == (32, 32, 3), pixels.shape
  assert pixels.dtype == np.uint8, pixels.dtype
  assert all(len(note.splitlines()) == 1 for note in notes), notes
  return 'ok'


def read_weights(case: tuple[bytes, str]) -> str:
  """A file of weights of these bytes and this suffix; its folder must hold the same file and no other afterwards."""
  data, suffix = case
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, f'x{suffix}')
    path.write_bytes(data)
    try:
      found = pretrained.read(str(path), 'vgg16')
    except types.UserError as error:
      said = refused(str(error).replace(str(path), 'x'))
    else:
      said = 'ok' if all(np.isfinite(array).all() for array in found.params.values()) else 'not finite'
    if list(pathlib.Path(folder).iterdir()) != [path] or path.read_bytes() != data:
      return 'wrote beside the file'
    return said


def read_csv(case: tuple[bytes, str]) -> str:
  """A CSV of these bytes, read as what it is named."""
  data, kind = case
  with tempfile.TemporaryDirectory() as folder:
    path, images = pathlib.Path(folder, 'x.csv'), pathlib.Path(folder, 'images', 'A')
    images.mkdir(parents=True)
    path.write_bytes(data)
    for name in 'ab':
      (images / f'{name}.png').write_bytes(name.encode())
    try:
      match kind:
        case 'groups':
          folders.table(str(images.parent), str(path), '')
        case 'labels':
          folders.table(str(images.parent), '', str(path))
        case 'inputs':
          input_paths.find([str(path)])
        case 'predictions':
          predictions_csv.read(path)
    except types.UserError as error:
      return refused(str(error).replace(folder, 'x'))
  return 'ok'
