"""A photograph with its cells boxed and named, for people; doubt shows in the line as well as in the words."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bloodcell_jax.base import cell
from bloodcell_jax.plots import figure, fonts

# A photograph is shown at a longer side between these, in pixels.
_LEAST_SIDE, _MOST_SIDE = 800, 2400
SURE, DOUBTFUL, NOT_COUNTED = 'sure', 'doubtful', 'not counted'
# Lengths of stroke and gap in widths of the line; none is an unbroken line.
_DASHES = {SURE: None, DOUBTFUL: (5, 3), NOT_COUNTED: (1, 2)}
_KEY = 'unbroken line: accepted; dashes and "?": left for review; dots: not counted. Research use only.'


@dataclasses.dataclass(frozen=True)
class Labelled:
  """One cell of the picture."""

  box: cell.Box  # in pixels of the photograph
  words: tuple[str, ...]  # lines of the label
  kind: str  # SURE, DOUBTFUL or NOT_COUNTED
  number: int  # of the class, for its colour


def draw(photograph_HWC: np.ndarray, cells: Sequence[Labelled], title: str) -> Image.Image:
  """The picture, with a line of text below the photograph.

  Letters have about 1/45 of the longer side, at any size of the photograph.

  Args:
    photograph_HWC: uint8 RGB.
    cells: to be boxed.
    title: what the line below begins with.
  """
  height, width = photograph_HWC.shape[:2]
  factor = float(np.clip(1, _LEAST_SIDE / max(height, width), _MOST_SIDE / max(height, width)))
  size = max(1, round(width * factor)), max(1, round(height * factor))
  shown = Image.fromarray(photograph_HWC).resize(size, Image.Resampling.LANCZOS)
  letters = ''.join([title, _KEY, *itertools.chain(*(one.words for one in cells))])
  font = ImageFont.truetype(fonts.file(frozenset(letters)), max(12, round(max(size) / 50)))
  margin = round(font.size / 3)
  footer = _wrapped(f'{title}: {_KEY}', font, size[0] - 2 * margin)
  line_height = round(1.35 * font.size)
  picture = Image.new('RGB', (size[0], size[1] + line_height * len(footer) + margin), 'white')
  picture.paste(shown)
  pencil = ImageDraw.Draw(picture)
  for i, words in enumerate(footer):
    pencil.text((margin, size[1] + i * line_height), words, figure.TEXT, font)
  line = max(2, round(max(size) / 300))
  taken: list[tuple[float, float, float, float]] = []
  for one in cells:
    outline = tuple(
      min(at * factor, limit - 1) for at, limit in zip(one.box.as_tuple(), size * 2, strict=True)
    )
    colour = figure.COLORS[one.number % len(figure.COLORS)]
    # A pale rim keeps the line apart from a dark nucleus.
    _rectangle(pencil, outline, 'white', line + 2, None)
    _rectangle(pencil, outline, colour, line, _DASHES[one.kind])
    label = '\n'.join(one.words)
    box = pencil.multiline_textbbox((0, 0), label, font)
    room = box[2] + 2 * margin, box[3] + 2 * margin
    x, y = next(_free_places(outline, room, size, taken))
    taken.append((x, y, x + room[0], y + room[1]))
    pencil.rectangle(taken[-1], 'white', colour, max(1, line // 2))
    pencil.multiline_text((x + margin, y + margin), label, 'black', font)
  return picture


def _free_places(
  outline: tuple[float, ...],
  room: tuple[float, float],
  size: tuple[int, int],
  taken: Sequence[tuple[float, float, float, float]],
) -> Iterator[tuple[float, float]]:
  """Upper left corners for a label, those that cover no other label first: above the box, below, beside, in it."""
  left, top, right, bottom = outline
  width, height = room
  places = [
    (left, top - height), (left, bottom), (right, top), (left - width, top), (left, top), (left, bottom - height),
  ]  # fmt: skip
  inside = [
    (float(np.clip(x, 0, max(0, size[0] - width))), float(np.clip(y, 0, max(0, size[1] - height))))
    for x, y in places
  ]
  fits = [place for place, wanted in zip(inside, places, strict=True) if np.allclose(place, wanted)]
  for x, y in fits + inside:
    if not any(x < c and a < x + width and y < d and b < y + height for a, b, c, d in taken):
      yield x, y
  yield inside[0]


def _rectangle(
  pencil: ImageDraw.ImageDraw,
  outline: tuple[float, ...],
  colour: str,
  line: int,
  dashes: tuple[int, int] | None,
) -> None:
  left, top, right, bottom = outline
  if dashes is None:
    pencil.rectangle((left, top, right, bottom), None, colour, line)
    return
  corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
  stroke, gap = (max(1, n * line) for n in dashes)
  for start, end in itertools.pairwise(corners):
    a, b = np.array(start), np.array(end)
    length = max(1e-6, float(np.hypot(*(b - a))))
    for along in np.arange(0, length, stroke + gap):
      first, last = a + (b - a) * along / length, a + (b - a) * min(length, along + stroke) / length
      pencil.line((*first.tolist(), *last.tolist()), colour, line)


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
  lines = ['']
  for word in text.split():
    longer = f'{lines[-1]} {word}'.strip()
    if lines[-1] and font.getlength(longer) > width:
      lines.append(word)
    else:
      lines[-1] = longer
  return lines
