"""Bytes made worse, reproducibly: mutations of sound files, and files built to do harm."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

INTERESTING = (0, 1, 2, 7, 8, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
# How an image is stored, by name: Pillow's format, its options, the mode it is turned into.
KINDS = {
  'jpeg': ('JPEG', {}, 'RGB'),
  'jpeg progressive': ('JPEG', {'progressive': True}, 'RGB'),
  'jpeg cmyk': ('JPEG', {}, 'CMYK'),
  'jpeg grey': ('JPEG', {'quality': 30}, 'L'),
  'png': ('PNG', {}, 'RGB'),
  'png palette': ('PNG', {'transparency': 0}, 'P'),
  'png alpha': ('PNG', {}, 'RGBA'),
  'png 16': ('PNG', {}, 'I;16'),
  'bmp': ('BMP', {}, 'RGB'),
  'bmp palette': ('BMP', {}, 'P'),
  'bmp 1': ('BMP', {}, '1'),
  'tiff': ('TIFF', {}, 'RGB'),
  'tiff lzw': ('TIFF', {'compression': 'tiff_lzw'}, 'RGB'),
  'tiff deflate': ('TIFF', {'compression': 'tiff_adobe_deflate'}, 'RGB'),
  'tiff jpeg': ('TIFF', {'compression': 'jpeg'}, 'RGB'),
  'tiff packbits': ('TIFF', {'compression': 'packbits'}, 'L'),
  'tiff fax': ('TIFF', {'compression': 'group4'}, '1'),
  'gif': ('GIF', {}, 'P'),
  'webp': ('WEBP', {}, 'RGB'),
  'ppm': ('PPM', {}, 'RGB'),
}


def encoded(image: Image.Image) -> dict[str, bytes]:
  """The image in every kind of file, and some of them with several frames or turned by EXIF."""
  found: dict[str, bytes] = {}
  exif = Image.Exif()
  exif[0x0112] = 6
  for name, (kind, options, mode) in KINDS.items():
    found[name] = _saved(image.convert('L' if mode == 'I;16' else mode).convert(mode), kind, **options)
  for kind in ('JPEG', 'PNG', 'TIFF', 'WEBP'):
    found[f'{kind.lower()} turned'] = _saved(image, kind, exif=exif)
  for kind in ('PNG', 'TIFF', 'GIF', 'WEBP'):
    found[f'{kind.lower()} frames'] = _saved(image, kind, save_all=True, append_images=[image.rotate(90)] * 2)
  return found


def drawn(side: int, seed: int) -> Image.Image:
  """A picture of some structure, for those who have no photograph."""
  values = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
  return Image.fromarray(values).resize((side, side + 8), Image.Resampling.BICUBIC)


def mutated(data: bytes, other: bytes, generator: np.random.Generator) -> bytes:
  """The bytes with one to six changes, a third in the first 256; a PNG's checksums mended in every second."""
  out = bytearray(data)
  for _ in range(int(generator.integers(1, 7))):
    if not out:
      break
    head = generator.random() < 1 / 3
    at = int(generator.integers(0, min(256, len(out)) if head else len(out)))
    length = int(generator.integers(1, 2 + len(out) // int(generator.choice([2, 8, 64]))))
    match int(generator.integers(0, 9)):
      case 0:
        out[at] ^= 1 << int(generator.integers(0, 8))
      case 1:
        out[at] = int(generator.integers(0, 256))
      case 2 | 3:
        order = '<>'[int(generator.integers(0, 2))]
        value, kind = int(generator.choice(INTERESTING)), 'HIQ'[int(generator.integers(0, 3))]
        packed = struct.pack(order + kind, value % 2 ** (8 * struct.calcsize(kind)))
        out[at : at + len(packed)] = packed
      case 4:
        del out[at:]
      case 5:
        del out[at : at + length]
      case 6:
        out[at:at] = out[at : at + length] * int(generator.integers(1, 4))
      case 7:
        out[at : at + length] = generator.bytes(min(length, 64))
      case 8:
        start = int(generator.integers(0, len(other)))
        out[at : at + length] = other[start : start + length]
  made = bytes(out)
  return with_checksums(made) if generator.random() < 0.5 else made


def with_checksums(data: bytes) -> bytes:
  """A PNG with the right checksum in each chunk, so that its contents are looked at; other bytes as they are."""
  if data[:8] != b'\x89PNG\r\n\x1a\n':
    return data
  out, at = bytearray(data), 8
  while at + 12 <= len(out):
    end = at + 8 + int.from_bytes(out[at : at + 4], 'big')
    if end + 4 > len(out):
      break
    out[end : end + 4] = struct.pack('>I', zlib.crc32(out[at + 4 : end]))
    at = end + 4
  return bytes(out)


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
  """A PNG of these sides with these chunks before its end."""
  head = (b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0))
  packed = (
    struct.pack('>I', len(d)) + t + d + struct.pack('>I', zlib.crc32(t + d)) for t, d in (head, *chunks)
  )
  return (
    b'\x89PNG\r\n\x1a\n' + b''.join(packed) + struct.pack('>I', 0) + b'IEND' + struct.pack('>I', 0xAE426082)
  )


def tiff(pages: int, **given: int) -> bytes:
  """A grey TIFF of 16x16 pixels and so many pages; `given` are tags by number, `t322=65520`."""
  tags = {256: 16, 257: 16, 258: 8, 259: 1, 262: 1, 277: 1, 273: 8, 278: 16, 279: 256}
  tags |= {int(name[1:]): value for name, value in given.items()}
  if 322 in tags:
    tags = {tag: value for tag, value in tags.items() if tag not in (273, 278, 279)} | {324: 8, 325: 256}
  entries = b''.join(struct.pack('<HHII', tag, 4, 1, value) for tag, value in sorted(tags.items()))
  size, first = 2 + len(entries) + 4, 8 + 256
  pages_ = (
    struct.pack('<H', len(tags)) + entries + struct.pack('<I', first + size * (i + 1) if i + 1 < pages else 0)
    for i in range(pages)
  )
  return b'II*\0' + struct.pack('<I', first) + bytes(256) + b''.join(pages_)


def hostile() -> dict[str, bytes]:
  """Small files that ask for much: by declared sizes, compressed filling, or countless pages, frames and scans."""
  bomb = zlib.compress(bytes(2**28), 9)
  pixels = zlib.compress(bytes(16 * 49))
  jpeg = _saved(Image.new('RGB', (3000, 3000)), 'JPEG', progressive=True)
  scan = jpeg[jpeg.rindex(b'\xff\xda') : -2]
  gif = _saved(Image.new('P', (16, 16)), 'GIF')
  frame = gif[gif.rindex(b',') : -1]
  bmp = struct.pack('<IHHI', 100, 0, 0, 54) + struct.pack(
    '<IiiHHIIiiII', 40, 9000, -9000, 1, 24, 0, 0, 0, 0, 0, 0
  )
  return {
    'png zTXt': png(16, 16, (b'zTXt', b'a\0\0' + bomb), (b'IDAT', pixels)),
    'png iTXt': png(16, 16, (b'iTXt', b'a\0\1\0\0\0' + bomb), (b'IDAT', pixels)),
    'png iCCP': png(16, 16, (b'iCCP', b'a\0\0' + bomb), (b'IDAT', pixels)),
    'png IDAT': png(16, 16, (b'IDAT', bomb)),
    'png texts': png(16, 16, *((b'tEXt', b'%d\0' % i + bytes(1000)) for i in range(3000)), (b'IDAT', pixels)),
    'png frames': png(16, 16, (b'acTL', struct.pack('>II', 2**31 - 1, 0)), (b'IDAT', pixels)),
    'png huge': png(60_000, 60_000, (b'IDAT', pixels)),
    'png wide': png(2**31 - 1, 1, (b'IDAT', pixels)),
    'tiff pages': tiff(30_000),
    'tiff pages of one another': tiff(1)[:-4] + struct.pack('<I', 8 + 256),
    'tiff tiles': tiff(1, t322=65520, t323=65520),
    'tiff tiles lzw': tiff(1, t322=2**20, t323=65520, t259=5),
    'tiff strip': tiff(1, t278=2**32 - 1, t279=2**32 - 1),
    'tiff samples': tiff(1, t277=65535),
    'tiff huge lzw': tiff(1, t256=9000, t257=9000, t278=9000, t259=5),
    'jpeg scans': jpeg[:-2] + scan * 5000 + b'\xff\xd9',
    'jpeg comments': jpeg[:2] + (b'\xff\xfe\xff\xff' + bytes(65533)) * 100 + jpeg[2:],
    'gif frames': gif[:-1] + frame * 50_000 + b';',
    'gif comments': gif[: gif.rindex(b',')]
    + b'!\xfe'
    + (b'\xff' + bytes(255)) * 20_000
    + b'\0'
    + frame
    + b';',
    'webp huge': b'RIFF'
    + struct.pack('<I', 2**31)
    + b'WEBPVP8X'
    + struct.pack('<I', 10)
    + b'\2\0\0\0'
    + b'\xff' * 6,
    'ppm huge': b'P6 10000 10000 255\nx',
    'ppm digits': b'P6 ' + b'1' * 10**6,
    'ppm comment': b'P6\n#' + b'x' * 10**6 + b'\n16 16 255\n' + bytes(768),
    'bmp huge': b'BM' + bmp,
    'bmp colours': b'BM' + bmp[:12] + struct.pack('<IiiHHIIiiII', 40, 16, 16, 1, 8, 0, 0, 0, 0, 2**32 - 1, 0),
  }


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)  # type: ignore[arg-type]
  return buffer.getvalue()
