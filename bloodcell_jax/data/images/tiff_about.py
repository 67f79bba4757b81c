"""What ImageJ or OME says of the pages of a TIFF: how many channels and images they are, and in which colours."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from bloodcell_jax.data.images import rgb

# Names that programs give to the channels of a colour image.
_COLOUR_NAMES = ('r', 'g', 'b', 'red', 'green', 'blue')


def stack(file: Any) -> tuple[int, int]:
  """What ImageJ or OME says of the pages: the number of channels, and of slices times frames; 0 if nothing."""
  if file.is_imagej:
    about = file.imagej_metadata or {}
    channels, slices, frames = (int(about.get(key, 1)) for key in ('channels', 'slices', 'frames'))
    num = max(slices * frames, int(about.get('images', 1)) // max(channels, 1))
    return channels, num
  if pixels := ome(file):
    sizes = {axis: int(pixels.get(f'Size{axis}', 1)) for axis in 'CZT'}
    return sizes['C'], sizes['Z'] * sizes['T']
  return 0, 0


def ome(file: Any) -> dict[str, str]:
  """The attributes of OME's first Pixels element; empty without OME. Read as text: no part of it is interpreted."""
  text = file.pages.first.description or ''
  found = (
    re.search(r'<(?:\w+:)?Pixels\b([^>]{0,4000})>', text[:100_000])
    if '<OME' in text[:1000] or ':OME' in text[:1000]
    else None
  )
  return dict(re.findall(r'(\w+)\s*=\s*"([^"]*)"', found[1])) if found else {}


def order(file: Any) -> list[int]:
  """The channels in the order red, green, blue, by the colours that ImageJ or OME gives them."""
  colours: list[tuple[int, ...]] = []
  if file.is_imagej:
    # A table of 256 colours a channel; the last one is that of the brightest value.
    colours = [
      tuple(int(v) > 127 for v in np.asarray(lut)[:, -1])
      for lut in (file.imagej_metadata or {}).get('LUTs', ())
    ]
  elif file.is_ome:
    values = re.findall(r'<(?:\w+:)?Channel\b[^>]*?\bColor="(-?\d+)"', file.pages.first.description[:100_000])
    colours = [tuple(int(value) >> shift & 255 > 127 for shift in (24, 16, 8)) for value in values]
    named = re.findall(r'<(?:\w+:)?Channel\b[^>]*?\bName="(\w+)"', file.pages.first.description[:100_000])
    words = [name.casefold()[:1] for name in named if name.casefold() in _COLOUR_NAMES]
    if not colours and len(words) == 3:
      colours = [tuple(word == letter for letter in 'rgb') for word in words]
  pure = [tuple(i == k for i in range(3)) for k in range(3)]
  if len(colours) != 3 or len(set(colours)) == 1:
    return [0, 1, 2]
  if set(colours) != set(pure):
    raise rgb.DecodeError('has three channels in colours other than red, green and blue; save it as RGB')
  return [colours.index(one) for one in pure]
