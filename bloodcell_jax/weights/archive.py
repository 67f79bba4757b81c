"""Zip archives that hold weights."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator

from bloodcell_jax.base import types


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[zipfile.ZipFile]:
  """The open archive; any error from its bytes inside the `with` block becomes a UserError of one line.

  Keras and torch store weights as they are, since noise does not compress.

  **Guarantees**: no member is compressed, and all together are no larger than the file, so that reading them takes no
  more memory than the file's size.

  Raises:
    UserError: no zip archive, damaged, cut short, or compressed.
  """
  try:
    with zipfile.ZipFile(path) as file:
      members = file.infolist()
      packed = [member.filename for member in members if member.compress_type != zipfile.ZIP_STORED]
      if packed or sum(member.file_size for member in members) > os.path.getsize(path):
        what = f'{packed[0][:80]!r} is compressed' if packed else 'its members are larger than the file'
        raise types.UserError(f'{path}: refused, {what}; archives of weights are stored as they are')
      yield file
  except (types.UserError, MemoryError):
    raise
  except (
    Exception
  ) as error:  # zipfile, json and numpy's reader of headers raise nearly anything on damaged bytes
    line = ' '.join(str(error).split())[:120]
    raise types.UserError(f'{path}: not an archive of weights, or damaged or cut short ({line})') from None
