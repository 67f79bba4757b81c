"""Fonts for the letters of class and file names that Matplotlib's own font lacks, from those that are installed."""

from __future__ import annotations

import functools

from matplotlib import font_manager, ft2font

# Comes with Matplotlib: the same figure on every machine, as long as it has the letters.
OWN = 'DejaVu Sans'


@functools.cache
def families(letters: frozenset[str]) -> tuple[str, ...]:
  """Matplotlib's own font, and the fewest installed ones that add the letters it lacks; it alone where none does."""
  missing = {ord(letter) for letter in letters if letter.isprintable()} - _letters(_own_path())
  chosen: list[str] = []
  while missing:
    # The first name of those that have most, so that the choice does not depend on the order of the list.
    best = min(installed(), key=lambda font: (-len(missing & _letters(font[1])), font), default=None)
    if best is None or not missing & _letters(best[1]):
      break
    chosen.append(best[0])
    missing -= _letters(best[1])
  return (OWN, *chosen)


def installed() -> list[tuple[str, str]]:
  """(name, file) of the upright fonts of usual weight that Matplotlib knows."""
  return sorted(
    {
      (font.name, font.fname)
      for font in font_manager.fontManager.ttflist
      if font.style == 'normal' and font.weight in (400, 'normal', 'regular', 'book') and font.name != OWN
    }
  )


def _own_path() -> str:
  return str(font_manager.findfont(OWN))


@functools.cache
def _letters(path: str) -> frozenset[int]:
  """The characters of a font; none where it cannot be read, such as one of coloured pictures."""
  try:
    return frozenset(ft2font.FT2Font(path).get_charmap())
  except (RuntimeError, OSError, ValueError):
    return frozenset()


def file(letters: frozenset[str]) -> str:
  """The file of one font for text that is drawn without Matplotlib: of those that lack fewest letters its own first."""
  wanted = {ord(letter) for letter in letters if letter.isprintable()}
  files = [_own_path(), *(path for _, path in installed())]
  own = wanted - _letters(files[0])
  return files[0] if not own else min(files, key=lambda path: len(wanted - _letters(path)))
