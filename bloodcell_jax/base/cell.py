"""A cell: one photograph, or one box of it."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Box:
  """A rectangle of a photograph, in pixels of the upright photograph; `right` and `bottom` are exclusive.

  Example:
    >>> Box(10, 0, 14, 6).as_tuple()
    (10, 0, 14, 6)
  """

  left: int
  top: int
  right: int
  bottom: int

  def __post_init__(self):
    if not (0 <= self.left < self.right and 0 <= self.top < self.bottom):
      raise ValueError(f'{self}: left and top must be 0 or more, and right and bottom greater')

  def as_tuple(self) -> tuple[int, int, int, int]:
    """(left, top, right, bottom), as Pillow's `crop` takes it."""
    return self.left, self.top, self.right, self.bottom

  @property
  def longer_side(self) -> int:
    """In pixels."""
    return max(self.right - self.left, self.bottom - self.top)

  @property
  def middle(self) -> tuple[float, float]:
    """(row, column)."""
    return (self.top + self.bottom) / 2, (self.left + self.right) / 2

  def seen_in(self, frame: Box) -> Box:
    """What the frame shows of the box, in pixels of the frame. Raises ValueError where that is nothing.

    Example:
      >>> Box(10, 0, 14, 6).seen_in(Box(8, 2, 12, 20)).as_tuple()
      (2, 0, 4, 4)
    """
    return Box(
      max(0, self.left - frame.left),
      max(0, self.top - frame.top),
      min(self.right, frame.right) - frame.left,
      min(self.bottom, frame.bottom) - frame.top,
    )


@dataclasses.dataclass(frozen=True)
class Region:
  """A cell that was found in a photograph: where it is, and what makes it doubtful."""

  box: Box
  marks: tuple[str, ...]  # such as 'touching'


@dataclasses.dataclass(frozen=True)
class Cell:
  """One cell of one photograph.

  Example:
    >>> Cell('a.png', '0123456789abcdef', 1, None).key
    '0123456789abcdef'
    >>> Cell('a.png', '0123456789abcdef', 2, Box(10, 0, 14, 6)).key
    '0123456789abcdef#10,0,14,6'
  """

  file: str  # the photograph's name, as shown to people
  digest: str  # `sha256_16` of the photograph's bytes
  number: int  # within the photograph, from 1
  box: Box | None  # None: the whole photograph
  marks: tuple[str, ...] = ()  # of `Region`

  @property
  def key(self) -> str:
    """Identifies the cell by content, whatever its file is called: the digest, with the box if there is one."""
    if self.box is None:
      return self.digest
    return f'{self.digest}#{",".join(map(str, self.box.as_tuple()))}'
