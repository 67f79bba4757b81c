"""One uploaded photograph: its file, its small pictures and how far it has come."""

from __future__ import annotations

import dataclasses
import pathlib

from bloodcell_jax.base import cell

WAITING, DONE, FAILED = 'waiting', 'done', 'failed'
# The longer side, in pixels, of the pictures that the page shows.
SIDES = {'large': 1600, 'small': 360}


@dataclasses.dataclass
class PhotographFile:
  """A photograph of a session. Changed only under the session's lock."""

  id: str  # not to be guessed
  shown: str  # the file's name within what was dropped
  path: pathlib.Path  # of the file, which has no name of the user's
  digest: str  # `sha256_16`
  size: tuple[int, int]  # width and height, pixels, upright
  num_bytes: int
  state: str = WAITING
  reason: str = ''  # of a failure
  cells: tuple[cell.Cell, ...] = ()
  # What the network saw of the photograph for each cell; None where that is not a part of known place.
  frames: tuple[cell.Box | None, ...] = ()
  version: int = 0  # of the session, when what is shown of it last changed

  def picture(self, size: str) -> pathlib.Path:
    """The JPEG of one of SIDES."""
    return self.path.with_name(f'{self.id}-{size}.jpg')

  def cell_picture(self, number: int) -> pathlib.Path:
    """The JPEG of a cell, 1 or more, as the network sees it."""
    return self.path.with_name(f'{self.id}-cell-{number}.jpg')

  def heat_picture(self, number: int) -> pathlib.Path:
    """The PNG of a cell's heat map."""
    return self.path.with_name(f'{self.id}-heat-{number}.png')
