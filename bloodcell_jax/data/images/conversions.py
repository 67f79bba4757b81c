"""Conversions of images in words: how many images each concerns, told once."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping

from bloodcell_jax.base import types

# Key of the number of converted images, in the JSON beside the kinds of conversions.
IMAGES = 'images'


def count(notes: Iterable[types.Problem]) -> dict[str, int]:
  """By conversion the number of images, most frequent first; under `images` how many were converted at all.

  Args:
    notes: a file and a conversion each.

  Returns:
    Empty if there are none.
  """
  unique = {(note.file, note.reason) for note in notes}
  times = collections.Counter(reason for _, reason in unique)
  if not times:
    return {}
  ordered = sorted(times.items(), key=lambda item: (-item[1], item[0]))
  return {IMAGES: len({file for file, _ in unique}), **dict(ordered)}


def line(counts: Mapping[str, int]) -> str:
  """The counts in words; '' if there are none.

  Example:
    >>> line({'images': 20, 'greyscale converted to RGB': 20})
    '20 images were converted: greyscale converted to RGB (20)'
  """
  if not counts:
    return ''
  num = counts[IMAGES]
  parts = ', '.join(f'{name} ({times:,})' for name, times in counts.items() if name != IMAGES)
  return f'{num:,} {"image was" if num == 1 else "images were"} converted: {parts}'
