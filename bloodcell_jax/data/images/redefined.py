"""Images that are decoded to other pixels than by earlier versions, so that what those computed of them is not used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bloodcell_jax.base import types
from bloodcell_jax.data.images import rgb, tiff, unit_samples

# Raised whenever some images are decoded to other pixels. The first decoding has no mark, so that keys of all images
# whose pixels are the same stay the same.
DECODING = 3
# Conversions of decoding 2: samples that use fewer bits than they have room for, and what Pillow misread before.
_SINCE_2 = re.compile(
  r'\d+ bits a channel, in samples of|.*samples of \d+ bits|floating-point samples|three (pages|samples) taken for|'
  rf'white is zero|{re.escape(rgb.HIDDEN)}|{re.escape(tiff.PLANES)}'
)
# Of decoding 3: samples of 0 to 1 of which some lie outside, which were grey levels 0 and 1 of 255 before; and what
# decoding 2 noted of them, as of all such samples of 8 bits.
_SINCE_3 = re.compile(re.escape(unit_samples.CLIPPED))
_BEFORE_3 = re.compile(r'floating-point samples of \d+ bits, 8 of them used')


def is_redefined(conversions: Iterable[str]) -> bool:
  """Whether an image with these conversions has other pixels than in the first decoding.

  Example:
    >>> is_redefined(['16 bits a channel scaled to 8']), is_redefined(['white is zero: inverted'])
    (False, True)
  """
  return any(_SINCE_2.match(conversion) for conversion in conversions)


def may_be(data: bytes) -> bool:
  """Whether the bytes of a file allow that; False for JPEG, and for PNG of 8 bits without alpha.

  Example:
    >>> may_be(b'\\xff\\xd8\\xff'), may_be(b'II*\\0')
    (False, True)
  """
  if data[:8] == b'\x89PNG\r\n\x1a\n':
    # The number of bits and the kind of colour; a palette may have alpha.
    return data[24:25] == b'\x10' or data[25:26] in (b'\3', b'\4', b'\6') or b'tRNS' in data[:4096]
  return not data.startswith(b'\xff\xd8')


def may_have_changed(conversions: Iterable[str]) -> bool:
  """Whether an image that an earlier version described with these conversions may have other pixels now.

  Example:
    >>> may_have_changed(['floating-point samples of 32 bits, 8 of them used, scaled to 8']), may_have_changed([])
    (True, False)
  """
  return any(_BEFORE_3.match(conversion) for conversion in conversions)


def marked(digests: Sequence[str], files: Sequence[str], notes: Iterable[types.Problem]) -> list[str]:
  """The digests; those of files whose conversions are new to a decoding with a mark of the newest such behind.

  Example:
    >>> notes = [types.Problem('b.tif', 'white is zero: inverted'), types.Problem('c.tif', unit_samples.CLIPPED)]
    >>> marked(['a1', 'b2', 'c3'], ['a.png', 'b.tif', 'c.tif'], notes)
    ['a1', 'b2@2', 'c3@3']
  """
  since: dict[str, int] = {}
  for note in notes:
    decoding = DECODING if _SINCE_3.match(note.reason) else 2 if is_redefined([note.reason]) else 0
    since[note.file] = max(decoding, since.get(note.file, 0))
  return [
    f'{digest}@{since[file]}' if since.get(file) else digest
    for digest, file in zip(digests, files, strict=True)
  ]
