"""Images written to a folder, as Keras' `save_to_dir` does, but never over another one."""

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
  """The file of one augmented image: prefix, row of the image, its position in the stream. It has no random part.

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
  """Puts the image at `path`, whole or not at all; leaves a file alone that holds these very bytes.

  Raises:
    UserError: another file of this name is there.
  """
  path, data = pathlib.Path(path), encoded(image_HWC, kind)
  if not path.exists():
    atomic.write_bytes(path, data)
  elif path.read_bytes() != data:
    raise types.UserError(f'{path}: there is another image of this name; choose another folder or prefix')
