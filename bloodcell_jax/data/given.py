"""Image files as a person names them: single files, or folders with images in them."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence

from bloodcell_jax import types
from bloodcell_jax.data import files


def find(paths: Sequence[str]) -> tuple[list[str], list[types.Problem]]:
  """The files at these paths in their order, folders searched throughout, each once; and what was left out, and why.

  A file that is named itself is taken whatever its extension: what it is shows when it is decoded.

  Raises:
    UserError: a path that does not exist, or a folder without an image.
  """
  found: list[str] = []
  problems: list[types.Problem] = []
  for path in paths:
    if os.path.isdir(path):
      names, left_out = files.listing(path, '')
      if not names:
        raise types.UserError(f'{path}: no image in this folder; the kinds are {" ".join(files.EXTENSIONS)}')
      found += [posixpath.join(path, name) for name in names]
      problems += [
        types.Problem(posixpath.join(path, each.file), each.reason.removesuffix('; left out'))
        for each in left_out
      ]
    elif os.path.exists(path):
      found.append(path)
    else:
      raise types.UserError(f'{path}: no such file or folder')
  first = {os.path.realpath(path): path for path in reversed(found)}
  return list(dict.fromkeys(first[os.path.realpath(path)] for path in found)), problems
