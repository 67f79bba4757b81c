"""A folder or disk that results cannot be written to: what the error of the operating system means, and what to do."""

from __future__ import annotations

import errno
import os
import pathlib


def advice(error: OSError, remedy: str) -> str:
  """The remedy where the error is that of a folder which cannot be written; to make room where a disk is full.

  '' for any other error.

  Args:
    error: of the operating system; its file name may be that of a temporary file.
    remedy: which flag names another folder.
  """
  if error.errno in (errno.ENOSPC, errno.EDQUOT):
    return 'free some space there and give the same command again'
  if error.errno == errno.EROFS:
    return remedy
  if error.errno not in (errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST) or not error.filename:
    return ''
  path = pathlib.Path(os.fsdecode(error.filename)).absolute()
  if error.errno in (errno.ENOTDIR, errno.EEXIST):
    # A file in place of a folder, or a link whose target is gone.
    places = (path, *path.parents)
    if broken := [each for each in places if each.is_symlink() and not each.exists()]:
      return f'{broken[0]} is a broken link; {remedy}'
    return remedy if any(each.is_file() for each in places) else ''
  if path.is_file() and not os.access(path, os.R_OK):
    return ''  # it is read, not written
  above = next((each for each in path.parents if each.exists()), path)
  return '' if above.is_dir() and os.access(above, os.W_OK) else remedy
