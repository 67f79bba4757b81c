"""The flag `--most_megapixels` of `predict` and `serve`: how large a photograph may be."""

from __future__ import annotations

import math

from bloodcell_jax.data.images import rgb

MEGAPIXEL = 10**6


def refusal(error: rgb.TooLarge, most: int, command: str) -> str:
  """Why a photograph is not read, and the flag under which it is.

  Args:
    error: of reading it.
    most: pixels that a photograph may have.
    command: of `main.py`, `predict` or `serve`.

  Example:
    >>> refusal(rgb.TooLarge('has 8000x7000 pixels', '', 56_000_000), 5 * 10**7, 'serve')[:55]
    'has 8000x7000 pixels, more than --most_megapixels=50 al'
    >>> refusal(rgb.TooLarge('has too many pixels', '', 0), 5 * 10**7, 'serve')
    'has too many pixels to be read; make the photograph smaller'
  """
  if not error.enough:
    return f'{error.what} to be read; make the photograph smaller'
  return (
    f'{error.what}, more than --most_megapixels={most / MEGAPIXEL:g} allows; start {command} with '
    f'--most_megapixels={math.ceil(error.enough / MEGAPIXEL)}, or make the photograph smaller'
  )
