"""The copies of an image that a smear gives no reason to tell apart: mirrored, and turned by quarters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

NONE, MIRRORS, SYMMETRIES = KINDS = ('none', 'mirrors', 'symmetries')


def of(image_BHWC: Any, kind: str) -> Iterator[Any]:
  """The batch itself, then its other views: 1 in all for none, 4 for mirrors, 8 for symmetries.

  Args:
    image_BHWC: square images for symmetries; an array of NumPy or of JAX.
    kind: one of KINDS.
  """
  turned = (image_BHWC, image_BHWC.swapaxes(1, 2)) if kind == SYMMETRIES else (image_BHWC,)
  for one in turned:
    yield one
    if kind != NONE:
      yield one[:, :, ::-1]
      yield one[:, ::-1]
      yield one[:, ::-1, ::-1]
