"""Test-time augmentation: the mirrored (4) or mirrored and rotated (8) copies of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

NONE, MIRRORS, SYMMETRIES = ('none', 'mirrors', 'symmetries')
# The same copies, the mean over which is taken of the logits and not of the probabilities: with a linear output layer
# that is the layer on the mean embedding, so that a layer can be fitted on mean embeddings.
_OF_LOGITS = {f'{kind}_logits': kind for kind in (MIRRORS, SYMMETRIES)}
KINDS = (NONE, MIRRORS, SYMMETRIES, *_OF_LOGITS)


def is_mean_of_logits(kind: str) -> bool:
  """Whether the mean over the copies is taken of the logits."""
  return kind in _OF_LOGITS


def with_mean_of_logits(kind: str) -> str:
  """The kind with the same copies whose logits are averaged; `none` stays.

  Example:
    >>> with_mean_of_logits('symmetries'), with_mean_of_logits('none')
    ('symmetries_logits', 'none')
  """
  name = f'{kind}_logits'
  return name if name in _OF_LOGITS else kind


def num_copies(kind: str) -> int:
  """How many copies of an image are predicted: 1 for none, 4 for mirrors, 8 for symmetries."""
  return sum(1 for _ in copies(np.zeros((1, 1, 1, 1)), kind))


def copies(image_BHWC: Any, kind: str) -> Iterator[Any]:
  """The batch itself, then its mirrored and rotated copies: 1 in all for none, 4 for mirrors, 8 for symmetries.

  A smear has no orientation, so that every copy is as likely as the original.

  Args:
    image_BHWC: a NumPy or JAX array; the images must be square for symmetries.
    kind: one of KINDS.
  """
  kind = _OF_LOGITS.get(kind, kind)
  transposed = (image_BHWC, image_BHWC.swapaxes(1, 2)) if kind == SYMMETRIES else (image_BHWC,)
  for copy_BHWC in transposed:
    yield copy_BHWC
    if kind != NONE:
      yield copy_BHWC[:, :, ::-1]
      yield copy_BHWC[:, ::-1]
      yield copy_BHWC[:, ::-1, ::-1]
