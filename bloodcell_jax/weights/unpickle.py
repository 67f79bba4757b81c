"""Pickles read by an unpickler that allows a handful of names, so that no pickle can run code."""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

from bloodcell_jax.base import types

# The names in a pickle of numpy arrays; numpy 2 renamed numpy.core to numpy._core. `_reconstruct` is private, so it is
# taken from an array's own pickle.
_RECONSTRUCT = np.zeros(0).__reduce__()[0]
NUMPY: Mapping[str, Any] = {
  'numpy.core.multiarray._reconstruct': _RECONSTRUCT,
  'numpy._core.multiarray._reconstruct': _RECONSTRUCT,
  'numpy.ndarray': np.ndarray,
  'numpy.dtype': np.dtype,
}
# Python allocates memos up to the largest index in a pickle; a network of 16 layers has some hundreds.
MOST_MEMOS = 2**20


def load(
  file: BinaryIO, where: str, admitted: Mapping[str, Any], persistent: Callable[[Any], Any] | None = None
) -> Any:
  """The object of the next pickle in the file, whose position is left at the pickle's end.

  **Guarantees**: a pickle with any other global than the `admitted` ones is refused before that global is looked up.

  Args:
    file: open for reading bytes.
    where: the file's name in errors.
    admitted: the allowed globals by 'module.name'.
    persistent: the object for a persistent id; None if ids are to be refused.

  Raises:
    UserError: it is refused, cut short, or no pickle.
  """

  class Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
      full = f'{module}.{name}'
      if full not in admitted:
        raise types.UserError(f'{where}: refused, its pickle asks for {full[:80]!r}, which no weights need')
      return admitted[full]

    def persistent_load(self, pid: Any) -> Any:
      if persistent is None:
        raise types.UserError(f'{where}: refused, its pickle refers to objects outside itself')
      return persistent(pid)

  try:
    start = file.tell()
    for opcode, arg, _ in pickletools.genops(file):
      if opcode.name in ('PUT', 'LONG_BINPUT') and isinstance(arg, int) and arg > MOST_MEMOS:
        raise types.UserError(f'{where}: refused, its pickle asks for {arg:,} places in memory')
    end = file.tell()
    file.seek(start)
    loaded = Restricted(io.BytesIO(file.read(end - start))).load()
    file.seek(end)
  except types.UserError:
    raise
  except Exception as error:  # a damaged pickle raises nearly anything
    raise types.UserError(
      f'{where}: not a pickle of weights, or cut short ({type(error).__name__})'
    ) from None
  return loaded
