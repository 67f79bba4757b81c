"""Test-time augmentation: the mirrored (4) or mirrored and rotated (8) copies of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

NONE, MIRRORS, SYMMETRIES = KINDS = ('none', 'mirrors', 'symmetries')


def copies(image_BHWC: Any, kind: str) -> Iterator[Any]:
  """The batch itself, then its mirrored and rotated copies: 1 in all for none, 4 for mirrors, 8 for symmetries.

  A smear has no orientation, so that every copy is as likely as the original.

  Args:
    image_BHWC: a NumPy or JAX array; the images must be square for symmetries.
    kind: one of KINDS.
  """
  transposed = (image_BHWC, image_BHWC.swapaxes(1, 2)) if kind == SYMMETRIES else (image_BHWC,)
  for copy_BHWC in transposed:
    yield copy_BHWC
    if kind != NONE:
      yield copy_BHWC[:, :, ::-1]
      yield copy_BHWC[:, ::-1]
      yield copy_BHWC[:, ::-1, ::-1]
