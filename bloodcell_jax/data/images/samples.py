"""Samples of any number type and size as 8-bit RGB on white."""

from __future__ import annotations

import dataclasses

import numpy as np
from PIL import Image

from bloodcell_jax.data.images import levels, rgb, unit_samples


@dataclasses.dataclass(frozen=True)
class Samples:
  """The samples of an image as they are stored."""

  array_HWC: np.ndarray
  is_inverted: bool  # whether white is zero
  num_colours: int  # channels before alpha: 1 or 3
  alpha: int | None  # its index; None without alpha
  is_multiplied: bool  # whether the colours are multiplied by alpha
  declared: int  # brightest value that the file names; 0 for none
  num_bits: int  # that the file says are used; 0 for none
  notes: tuple[str, ...]


def to_rgb(samples: Samples) -> tuple[Image.Image, tuple[str, ...]]:
  """8-bit RGB on white.

  Raises:
    DecodeError: the samples have no defined white.
  """
  notes = list(samples.notes)
  colour_HWC = samples.array_HWC[..., : samples.num_colours]
  alpha_HW = None if samples.alpha is None else samples.array_HWC[..., samples.alpha]
  eight_HWC, note = _eight_bits(colour_HWC, samples)
  if note:
    notes.append(note)
  if samples.is_inverted:
    eight_HWC = 255 - eight_HWC
    notes.append('white is zero: inverted')
  if samples.num_colours == 1:
    eight_HWC = np.repeat(eight_HWC, 3, -1)
    notes.append(rgb.GREY)
  image = Image.fromarray(np.ascontiguousarray(eight_HWC))
  if alpha_HW is not None:
    # Its own scale: many programs give 12-bit colours and an alpha of all bits.
    alpha, _ = _eight_bits(alpha_HW[..., None], samples)
    composed, note = rgb.on_white(image, Image.fromarray(np.ascontiguousarray(alpha[..., 0])))
    if samples.is_multiplied and note == rgb.ALPHA:
      composed = Image.fromarray(eight_HWC + np.minimum(255 - alpha, 255 - eight_HWC))
    image = composed.convert('RGB')
    notes.append(note)
  return image, tuple(notes)


def _eight_bits(sample_HWC: np.ndarray, samples: Samples) -> tuple[np.ndarray, str]:
  """The samples as uint8, and what is to be noted."""
  kind, room = sample_HWC.dtype.kind, 8 * sample_HWC.dtype.itemsize
  if kind == 'b':
    return sample_HWC.astype(np.uint8) * 255, ''
  if kind not in 'uif':
    raise rgb.DecodeError('has complex samples; save it with 8 or 16 bits')
  if kind == 'f' and not np.isfinite(sample_HWC).all():
    raise rgb.DecodeError('has samples that are not finite; save it with 8 or 16 bits')
  low, high = sample_HWC.min(), sample_HWC.max()
  name = {'u': 'unsigned', 'i': 'signed', 'f': 'floating-point'}[kind]
  if kind == 'f' and (unit := unit_samples.read(sample_HWC)) is not None:
    return unit
  if low < 0:
    raise rgb.DecodeError(
      f'has {name} samples below 0 ({low:g}), whose black is undefined; save it with 8 or 16 bits'
    )
  if high > 65535:
    raise rgb.DecodeError(f'has {room} bits a channel without a defined white; save it with 8 or 16')
  whole = np.rint(sample_HWC).astype(np.int64) if kind == 'f' else sample_HWC.astype(np.int64)
  if kind == 'u' and room == 8:
    return sample_HWC, ''
  num_bits = levels.bits(max(int(high), samples.declared if samples.declared <= 65535 else 0))
  if samples.num_bits and high < 2**samples.num_bits:
    num_bits = samples.num_bits
  elif kind == 'i' and num_bits == room:
    num_bits -= 1  # one bit is the sign
  is_colour = sample_HWC.shape[-1] == 3 and kind == 'u'
  text = (
    levels.note(num_bits, room)
    if kind == 'u'
    else f'{name} samples of {room} bits, {num_bits} of them used, scaled to 8'
  )
  return levels.scaled(whole, num_bits, is_colour), text
