"""The labelled cells of a session as a folder of images with lists, from which a run can be trained."""

from __future__ import annotations

import errno
import os
import pathlib

from bloodcell_jax.base import types
from bloodcell_jax.data.images import decode
from bloodcell_jax.inference import cell_folder
from bloodcell_jax.serving import session as session_lib


def write(session: session_lib.Session, folder: pathlib.Path, max_pixels: int) -> int:
  """As `cell_folder.write`, of the session's labels; a cell that is there twice is written once.

  Raises:
    Refused: nothing is labelled, a photograph cannot be read again, the session has ended meanwhile, or the folder
      is there already or cannot be written.
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
  except decode.DecodeError as error:
    raise session_lib.Refused(session_lib.DELETED if session.is_closed else str(error)) from None
  except OSError as error:
    raise refusal(error, session, folder) from None


def refusal(error: OSError, session: session_lib.Session, path: pathlib.Path) -> session_lib.Refused:
  """What the page is told where a file or folder made of the session's photographs cannot be written.

  Args:
    error: of the operating system.
    session: whose photographs.
    path: what was to be written.
  """
  if session.is_closed:
    return session_lib.Refused(session_lib.DELETED)
  if isinstance(error, FileExistsError) and os.path.lexists(path):
    return session_lib.Refused(f'{path} is there already; choose another name')
  room = '; make room there and try again' if error.errno in (errno.ENOSPC, errno.EDQUOT) else ''
  return session_lib.Refused(f'{path} cannot be written ({error.strerror or error}){room}')
