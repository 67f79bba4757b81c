"""The labelled cells of a session as a folder of images with lists, from which a run can be trained."""

from __future__ import annotations

import pathlib

from bloodcell_jax.base import types
from bloodcell_jax.inference import cell_folder
from bloodcell_jax.serving import session as session_lib


def write(session: session_lib.Session, folder: pathlib.Path, max_pixels: int) -> int:
  """As `cell_folder.write`, of the session's labels; a cell that is there twice is written once.

  Raises:
    Refused: nothing is labelled, or the session has ended meanwhile.
  """
  labels, done = session.labels(), set()
  photographs = []
  for photograph in session.photographs():
    chosen = [one for one in photograph.cells if one.key in labels and one.key not in done]
    done |= {one.key for one in chosen}
    cells = tuple(cell_folder.LabelledCell(one.number, one.box, labels[one.key].name) for one in chosen)
    photographs.append(
      cell_folder.LabelledPhotograph(str(photograph.path), photograph.shown, photograph.digest, cells)
    )
  try:
    return cell_folder.write(photographs, folder, max_pixels)
  except types.UserError as error:
    raise session_lib.Refused(str(error)) from None
  except OSError:
    raise session_lib.Refused('the photographs have been deleted meanwhile') from None
