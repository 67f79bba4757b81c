"""Augmented images written to a folder as Keras' `save_to_dir` does, but never over another image."""

from __future__ import annotations

import io
import os
import pathlib

import numpy as np
from PIL import Image

from bloodcell_jax.base import types
from bloodcell_jax.system import atomic

FORMATS = ('png', 'jpeg')


def name(prefix: str, row: int, position: int, kind: str) -> str:
  """The file name of an augmented image: prefix, row of the original, position in the stream; nothing random.

  Example:
    >>> name('aug', 12, 345, 'png')
    'aug_12_0000345.png'
  """
  if kind not in FORMATS:
    raise types.UserError(f'save_format is {kind!r}; choose one of {", ".join(FORMATS)}')
  return f'{prefix}_{row}_{position:07d}.{kind}'


def encoded(image_HWC: np.ndarray, kind: str) -> bytes:
  """The uint8 image as a file of this kind; JPEG with Pillow's quality of 75, as the published copies were saved."""
  buffer = io.BytesIO()
  Image.fromarray(image_HWC).save(buffer, format=kind)
  return buffer.getvalue()


def write(path: str | os.PathLike[str], image_HWC: np.ndarray, kind: str) -> None:
  """Writes the image atomically; does nothing if the file already has exactly these bytes.

  Raises:
    UserError: the file exists with other content.
  """
  path, data = pathlib.Path(path), encoded(image_HWC, kind)
  if not path.exists():
    atomic.write_bytes(path, data)
  elif path.read_bytes() != data:
    raise types.UserError(f'{path}: exists with other content; choose another folder or prefix')
