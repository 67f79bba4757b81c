"""TIFF files for tests, of one drawn cell in the layouts that microscopes' programs write."""

from __future__ import annotations

import io
import struct

import numpy as np
import tifffile

from bloodcell_jax.data.sources import smear

RGB_HWC = smear.draw('NEUTROPHIL', np.random.default_rng(0), 48, 64)
RGB_HWC = ((RGB_HWC.astype(int) - RGB_HWC.min()) * 255 // (int(RGB_HWC.max()) - int(RGB_HWC.min()))).astype(
  np.uint8
)
GREY_HW = RGB_HWC[..., 1]
GREY_HWC = np.repeat(GREY_HW[..., None], 3, -1)
WIDE_HWC = RGB_HWC.astype(np.uint16) * 257


def write(array: np.ndarray, **options) -> bytes:
  buffer = io.BytesIO()
  tifffile.imwrite(buffer, array, **options)
  return buffer.getvalue()


def planes(array_HWC: np.ndarray) -> np.ndarray:
  return np.moveaxis(array_HWC, -1, 0)


def with_alpha(array_HWC: np.ndarray, alpha: int) -> np.ndarray:
  return np.concatenate([array_HWC, np.full_like(array_HWC[..., :1], alpha)], -1)


def luts(order: tuple[int, ...]) -> list[np.ndarray]:
  ramp = np.arange(256, dtype=np.uint8)
  return [np.stack([ramp if i == k else np.zeros_like(ramp) for i in range(3)]) for k in order]


GREY, RGB = {'photometric': 'minisblack'}, {'photometric': 'rgb'}
IN_PLANES = {**RGB, 'planarconfig': 'separate'}
CHANNELS = {'imagej': True, 'metadata': {'axes': 'CYX', 'mode': 'composite'}}
OME = {'ome': True, 'metadata': {'axes': 'CYX'}, **GREY}


def packed(num_bits: int, samples: int) -> bytes:
  """An uncompressed TIFF of 8x8 pixels whose samples follow one another without gaps."""
  values = np.arange(64 * samples) % 2**num_bits
  bits = (values[:, None] >> np.arange(num_bits)[::-1] & 1).astype(np.uint8)
  data = np.packbits(bits.reshape(8, -1), axis=1).tobytes()
  tags = [(256, 4, 8), (257, 4, 8), (258, 3, num_bits), (259, 3, 1), (262, 3, 2 if samples == 3 else 1),
          (277, 3, samples), (278, 4, 8), (279, 4, len(data))]  # fmt: skip
  start = 8 + 2 + 12 * (len(tags) + 1) + 4
  extra = struct.pack('<3H', *[num_bits] * 3) if samples == 3 else b''
  entries = []
  for tag, kind, value in sorted([*tags, (273, 4, start + len(extra))]):
    if tag == 258 and samples == 3:
      entries.append(struct.pack('<HHII', tag, kind, 3, start))
    else:
      entries.append(struct.pack('<HHII', tag, kind, 1, value))
  head = struct.pack('<2sHIH', b'II', 42, 8, len(entries))
  return head + b''.join(entries) + struct.pack('<I', 0) + extra + data
