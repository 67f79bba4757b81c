"""Samples of more than 8 bits as grey levels 0 to 255, where the file may use fewer bits than it has room for.

White is the largest value of the smallest of 8, 10, 12, 14 and 16 bits that holds the brightest sample: cameras give 8,
10, 12 or 14 bits, which programs save as 16. A file that names its brightest value or its number of bits raises the
choice, never lowers it; one that only names the room of its samples says nothing.
"""

from __future__ import annotations

import numpy as np

BITS = (8, 10, 12, 14, 16)


def bits(brightest: int) -> int:
  """The smallest number of bits among BITS that holds the value, 0 to 65535.

  Example:
    >>> bits(255), bits(4080), bits(16384)
    (8, 12, 16)
  """
  return next(num for num in BITS if brightest < 2**num)


def scaled(sample: np.ndarray, num_bits: int, is_colour: bool) -> np.ndarray:
  """uint8: the samples with the largest value of so many bits as 255.

  Args:
    sample: unsigned integers of at most `num_bits`.
    num_bits: one of BITS, or another number up to 16 that a file names.
    is_colour: 16 bits of a colour image are cut to their upper byte, as Pillow does; otherwise values are rounded.
  """
  if num_bits == 16 and is_colour:
    return (sample >> 8).astype(np.uint8)
  white = 2**num_bits - 1
  return ((sample.astype(np.int64).clip(0, white) * 255 + white // 2) // white).astype(np.uint8)


def note(num_bits: int, room: int) -> str:
  """What is noted of an image: the bits that it uses, and those of its samples.

  Example:
    >>> note(16, 16), note(12, 16)
    ('16 bits a channel scaled to 8', '12 bits a channel, in samples of 16, scaled to 8')
  """
  return f'{num_bits} bits a channel{"" if num_bits == room else f", in samples of {room},"} scaled to 8'
