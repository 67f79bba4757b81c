"""`thumbnails.npz` of a run's folder: the images that it has seen, a few hundred bytes each, to tell their copies."""

from __future__ import annotations

import dataclasses
import io
import zipfile

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data.images import near_copies
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic

_DAMAGE = (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, OSError)


@dataclasses.dataclass(frozen=True)
class Thumbnails:
  """The images that a run has seen."""

  image_NHW: np.ndarray  # uint8, of `near_copies.thumbnail`
  # Bool: trained on, by this run or one whose weights it began with; else in its validation.
  is_trained_N: np.ndarray
  unknown: tuple[str, ...]  # runs or weights that it began with and that kept none


def write(folder: workdir.Workdir, thumbnails: Thumbnails) -> None:
  """Writes them as plain arrays."""
  buffer = io.BytesIO()
  np.savez_compressed(
    buffer,
    image=thumbnails.image_NHW,
    is_trained=thumbnails.is_trained_N,
    unknown=np.array(thumbnails.unknown, np.str_),
  )
  atomic.write_bytes(folder.thumbnails, buffer.getvalue())


def read(folder: workdir.Workdir) -> Thumbnails | None:
  """The thumbnails; None where the run kept none. Runs no code from the file.

  Raises:
    UserError: the file is damaged.
  """
  if not folder.thumbnails.exists():
    return None
  try:
    with np.load(io.BytesIO(atomic.read_bytes(folder.thumbnails)), allow_pickle=False) as archive:
      image_NHW, is_trained_N = archive['image'], archive['is_trained']
      unknown = tuple(archive['unknown'].tolist())
    sides = (len(is_trained_N), near_copies.SIDE, near_copies.SIDE)
    if image_NHW.shape != sides or image_NHW.dtype != np.uint8 or is_trained_N.dtype != bool:
      raise ValueError('other arrays')
    return Thumbnails(image_NHW, is_trained_N, unknown)
  except _DAMAGE as error:
    raise types.UserError(
      f'{folder.thumbnails}: damaged ({atomic.damage(error)}); {atomic.restoring(folder.thumbnails)}, or '
      'remove it, and copies of the images that the run has seen will not be recognized'
    ) from None
