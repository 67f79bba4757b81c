"""Pickles read with an unpickler that knows a handful of names, so that none of them can run code."""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

from bloodcell_jax import types

# What a pickle of numpy arrays asks for; numpy 2 renamed numpy.core to numpy._core. The function is private there,
# but every array names it.
_RECONSTRUCT = np.zeros(0).__reduce__()[0]
NUMPY: Mapping[str, Any] = {
  'numpy.core.multiarray._reconstruct': _RECONSTRUCT,
  'numpy._core.multiarray._reconstruct': _RECONSTRUCT,
  'numpy.ndarray': np.ndarray,
  'numpy.dtype': np.dtype,
}
# Python sets room aside for as many memos as the largest index that a pickle names; a full VGG16 names some hundreds.
MOST_MEMOS = 2**20


def load(
  file: BinaryIO, where: str, admitted: Mapping[str, Any], persistent: Callable[[Any], Any] | None = None
) -> Any:
  """The object of the next pickle in the file, which is left right behind it.

  **Guarantees**: a pickle that names anything but the `admitted` globals is refused before it runs that far.

  Args:
    file: open for reading bytes.
    where: the file's name in errors.
    admitted: what 'module.name' stands for.
    persistent: gives what a persistent id stands for; None refuses them.

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
    raise types.UserError(f'{where}: no pickle of weights, or cut short ({type(error).__name__})') from None
  return loaded
