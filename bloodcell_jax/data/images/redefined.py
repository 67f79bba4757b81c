"""Images that are decoded to other pixels than by earlier versions, so that what those computed of them is not used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from bloodcell_jax.base import types
from bloodcell_jax.data.images import rgb, tiff

# Raised whenever some images are decoded to other pixels. The first decoding has no mark, so that keys of all images
# whose pixels are the same stay the same.
DECODING = 2
# Conversions of decoding 2: samples that use fewer bits than they have room for, and what Pillow misread before.
_SINCE_2 = re.compile(
  r'\d+ bits a channel, in samples of|.*samples of \d+ bits|floating-point samples|three (pages|samples) taken for|'
  rf'white is zero|{re.escape(rgb.HIDDEN)}|{re.escape(tiff.PLANES)}'
)


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


def marked(digests: Sequence[str], files: Sequence[str], notes: Iterable[types.Problem]) -> list[str]:
  """The digests; those of files whose conversions are new to this decoding with a mark of it behind.

  Example:
    >>> marked(['a1', 'b2'], ['a.png', 'b.tif'], [types.Problem('b.tif', 'white is zero: inverted')])
    ['a1', 'b2@2']
  """
  changed = {note.file for note in notes if is_redefined([note.reason])}
  return [
    f'{digest}@{DECODING}' if file in changed else digest for digest, file in zip(digests, files, strict=True)
  ]
