"""What the watched cases are given to: readers of bytes that nobody vouches for."""

from __future__ import annotations

import numpy as np

from bloodcell_jax.data import decode

SPECS = {
  view: decode.Spec(32, view, 'bilinear', view == 'full', 100_000_000, 'auto') for view in ('full', 'nucleus')
}


def refused(text: str) -> str:
  """The outcome of a case that was refused with this text, which must be one line."""
  if len(text.splitlines()) != 1 or len(text) > 2000:
    raise ValueError(f'not one line: {text[:200]!r}')
  return f'refused: {text.split("(")[0].strip()}'


def decode_image(case: tuple[bytes, str]) -> str:
  """An image of bytes, in a view."""
  data, view = case
  try:
    pixels, notes = decode.image(data, SPECS[view])
  except decode.DecodeError as error:
    return refused(str(error))
  assert pixels.shape == (32, 32, 3), pixels.shape
  assert pixels.dtype == np.uint8, pixels.dtype
  assert all(len(note.splitlines()) == 1 for note in notes), notes
  return 'ok'
