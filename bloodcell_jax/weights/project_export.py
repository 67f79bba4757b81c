"""Weights in this package's own file: a .npz that numpy opens, with the pixel convention beside the arrays."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from bloodcell_jax import atomic, types
from bloodcell_jax.weights import archive
from bloodcell_jax.weights import convention as convention_lib

ABOUT = 'about.json'
FORMAT = 'bloodcell_jax weights 1'
MOST_ABOUT_BYTES = 2**20


def write(
  path: str | os.PathLike[str],
  arrays: Mapping[str, np.ndarray],
  convention: convention_lib.Convention,
  origin: str,
) -> None:
  """Puts the file at `path`, whole or not at all. The same weights give the same bytes.

  Args:
    path: ends in .npz.
    arrays: by name, `block1_conv1/kernel`.
    convention: what the pixels must be for these weights.
    origin: where the weights come from, for people.
  """
  if not str(path).endswith('.npz'):
    raise types.UserError(f'{path}: exported weights must be named .npz')
  about = {'format': FORMAT, 'convention': convention.to_dict(), 'origin': origin}
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, 'w') as file:
    # A ZipInfo of one's own carries no date.
    file.writestr(zipfile.ZipInfo(ABOUT), json.dumps(about, indent=2))
    for name, array in sorted(arrays.items()):
      with file.open(zipfile.ZipInfo(f'{name}.npy'), 'w', force_zip64=True) as member:
        np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
  atomic.write_bytes(path, buffer.getvalue())


def read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], convention_lib.Convention, str]:
  """(arrays by name, pixel convention, origin), as `write` was given them.

  Raises:
    UserError: another file, a damaged one, or one that holds more than floats.
  """
  with archive.opened(path) as file:
    if ABOUT not in file.namelist() or file.getinfo(ABOUT).file_size > MOST_ABOUT_BYTES:
      raise types.UserError(f'{path}: not exported by this package, it has no {ABOUT}')
    about: Any = json.loads(file.read(ABOUT))
    if not isinstance(about, dict) or about.get('format') != FORMAT:
      raise types.UserError(f'{path}: {ABOUT} does not say {FORMAT!r}')
    try:
      convention = convention_lib.from_dict(about.get('convention'))
    except types.UserError as error:
      raise types.UserError(f'{path}: {error}') from None
    arrays = {
      name.removesuffix('.npy'): _array(file, name, str(path)) for name in file.namelist() if name != ABOUT
    }
  return arrays, convention, str(about.get('origin'))


def _array(file: zipfile.ZipFile, name: str, where: str) -> np.ndarray:
  with file.open(name) as member:
    major, _ = np.lib.format.read_magic(member)
    reader = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = reader(member)
    # numpy itself would set memory aside for whatever shape the header claims.
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if dtype.kind != 'f' or member.tell() + size != file.getinfo(name).file_size:
      raise types.UserError(f'{where}: refused, {name[:80]!r} is no array of floats of the size it claims')
    flat = np.frombuffer(member.read(), dtype)
  return flat.reshape(shape, order='F' if fortran else 'C')
