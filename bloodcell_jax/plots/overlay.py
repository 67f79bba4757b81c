"""A photograph with its cells boxed and named, for people; doubt shows in the line as well as in the words."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bloodcell_jax.base import cell
from bloodcell_jax.plots import figure, fonts

# A photograph is shown at a longer side between these, in pixels.
_LEAST_SIDE, _MOST_SIDE = 800, 2400
SURE, DOUBTFUL, NOT_COUNTED = 'sure', 'doubtful', 'not counted'
# Lengths of stroke and gap in widths of the line; none is an unbroken line.
_DASHES = {SURE: None, DOUBTFUL: (5, 3), NOT_COUNTED: (1, 2)}
_KEY = (
  'solid line: accepted; dashed line and "?": left for review; dotted line: not counted. Research use only.'
)


@dataclasses.dataclass(frozen=True)
class Labelled:
  """One cell of the picture."""

  box: cell.Box  # in pixels of the photograph
  words: tuple[str, ...]  # lines of the label
  kind: str  # SURE, DOUBTFUL or NOT_COUNTED
  number: int  # of the class, for its colour


def draw(photograph_HWC: np.ndarray, cells: Sequence[Labelled], title: str) -> Image.Image:
  """The picture, with a line of text below the photograph.

  Letters are at least 14 pixels high, and at least 1/75 of the longer side of the picture.

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
  font = ImageFont.truetype(fonts.file(frozenset(letters)), max(14, round(max(size) / 75)))
  margin = round(font.size / 3)
  footer = _wrapped(f'{title}: {_KEY}', font, size[0] - 2 * margin)
  line_height = round(1.35 * font.size)
  picture = Image.new('RGB', (size[0], size[1] + line_height * len(footer) + margin), 'white')
  picture.paste(shown)
  pencil = ImageDraw.Draw(picture)
  for i, words in enumerate(footer):
    pencil.text((margin, size[1] + i * line_height), words, figure.TEXT, font)
  line = max(2, round(max(size) / 300))
  outlines = [
    tuple(min(at * factor, limit - 1) for at, limit in zip(one.box.as_tuple(), size * 2, strict=True))
    for one in cells
  ]
  colours = [figure.COLORS[one.number % len(figure.COLORS)] for one in cells]
  labels: list[tuple[float, ...]] = []
  for i, (one, outline, colour) in enumerate(zip(cells, outlines, colours, strict=True)):
    label = '\n'.join(one.words)
    box = pencil.multiline_textbbox((0, 0), label, font)
    room = box[2] + 2 * margin, box[3] + 2 * margin
    others = [other for j, other in enumerate(outlines) if j != i]
    x, y = _place(outline, room, size, labels, others)
    labels.append((x, y, x + room[0], y + room[1]))
    pencil.rectangle((x, y, x + room[0], y + room[1]), 'white', colour, max(1, line // 2))
    pencil.multiline_text((x + margin, y + margin), label, 'black', font)
  # No label hides a box. A pale rim keeps the line apart from a dark nucleus.
  for one, outline, colour in zip(cells, outlines, colours, strict=True):
    _rectangle(pencil, outline, 'white', line + 2, None)
    _rectangle(pencil, outline, colour, line, _DASHES[one.kind])
  return picture


def _place(
  outline: tuple[float, ...],
  room: tuple[float, float],
  size: tuple[int, int],
  labels: Sequence[tuple[float, ...]],
  boxes: Sequence[tuple[float, ...]],
) -> tuple[float, float]:
  """The upper left corner of a label: of above the box, below it, beside and in it, where it covers least.

  Another label costs ten times what another box of the same area does.
  """
  left, top, right, bottom = outline
  width, height = room
  corners = [
    (left, top - height), (left, bottom), (right - width, top - height), (right - width, bottom), (right, top),
    (left - width, top), (right, bottom - height), (left - width, bottom - height), (left, top),
  ]  # fmt: skip
  places = [
    (float(np.clip(x, 0, max(0, size[0] - width))), float(np.clip(y, 0, max(0, size[1] - height))))
    for x, y in corners
  ]

  def cost(place: tuple[float, float]) -> float:
    own = place[0], place[1], place[0] + width, place[1] + height
    return (
      10 * sum(_shared(own, other) for other in labels)
      + sum(_shared(own, other) for other in boxes)
      + 0.3 * _shared(own, outline)
    )

  return min(places, key=cost)


def _shared(a: tuple[float, ...], b: tuple[float, ...]) -> float:
  """The area that two boxes have in common."""
  return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


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
