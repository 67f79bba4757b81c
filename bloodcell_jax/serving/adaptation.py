"""The command `adapt`, started from the page on the labelled cells of a session, one at a time."""

from __future__ import annotations

import collections
import pathlib
import re
import shlex
import shutil
import subprocess
import threading
from collections.abc import Sequence
from typing import Any

from bloodcell_jax.inference import cell_folder
from bloodcell_jax.serving import labelled_folder
from bloodcell_jax.serving import session as session_lib

_MOST_LINES = 200
# The exit code of a command that refused what it was given.
_REFUSED = 2
# Seconds that a stopped training has for its checkpoint.
_PATIENCE = 5


class Adaptation:
  """At most one training, in a process of its own.

  Args:
    program: how this program is started, up to the command.
    run: the folder of the run to adapt.
    place: the folder for the new runs.
  """

  def __init__(self, program: Sequence[str], run: pathlib.Path, place: pathlib.Path):
    self._program, self._run, self._place = tuple(program), run, place
    self._lock = threading.Lock()
    self._process: subprocess.Popen[str] | None = None
    self._owner = ''
    self._name = ''
    self._images: pathlib.Path | None = None  # what the training that was started last is trained on
    self._lines: collections.deque[str] = collections.deque(maxlen=_MOST_LINES)

  def start(self, owner: str, session: session_lib.Session, name: str, max_pixels: int) -> None:
    """Writes the labelled cells beside the new run and starts its training.

    Args:
      owner: the secret of the session, which alone sees the lines.
      session: with the labels.
      name: of the new run, in the folder for runs.
      max_pixels: of a photograph.

    Raises:
      Refused: another training runs, the name cannot be used, or nothing is labelled.
    """
    if not re.fullmatch(r'[A-Za-z0-9][A-Za-z0-9_-]{0,39}', name):
      raise session_lib.Refused(
        'a name has up to 40 letters, digits, - and _, and begins with a letter or digit'
      )
    with self._lock:
      if self._process is not None and self._process.poll() is None:
        raise session_lib.Refused('an adaptation is running; wait until it ends')
      self._clear()
      new, images = self._place / name, self._place / f'{name}-labelled'
      for path in (new, images):
        if path.exists():
          raise session_lib.Refused(f'{path} is there already; choose another name')
      labelled_folder.write(session, images, max_pixels)
      command = self._command(new, images)
      self._owner, self._name, self._images = owner, str(new), images
      self._lines.clear()
      self._lines.append(shlex.join(command))
      # In a group of its own: Ctrl-C is for the page, which then stops the training itself.
      self._process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding='utf-8',
        errors='replace',
        start_new_session=True,
      )
      threading.Thread(target=self._read, args=(self._process,), name='adaptation', daemon=True).start()

  def state(self, owner: str) -> dict[str, Any]:
    """What the page of this owner shows, as JSON values: `is_running`, `is_own`, `code`, `name`, `lines`."""
    with self._lock:
      code = None if self._process is None else self._process.poll()
      is_own = self._process is not None and owner == self._owner
      return {
        'is_running': self._process is not None and code is None,
        'is_own': is_own,
        'code': code if is_own else None,
        'name': self._name if is_own else '',
        'lines': list(self._lines) if is_own else [],
      }

  def stop(self, owner: str | None = None) -> str:
    """Asks the training to end with a checkpoint; the folder of its run, '' if none ran.

    Args:
      owner: only a training of this owner; None for any, and then it is waited for.
    """
    with self._lock:
      process = self._process
      if process is None or process.poll() is not None or owner not in (None, self._owner):
        return ''
      process.terminate()
    if owner is None:
      try:
        process.wait(_PATIENCE)
      except subprocess.TimeoutExpired:
        process.kill()
    return self._name

  def _command(self, new: pathlib.Path, images: pathlib.Path) -> list[str]:
    return [
      *self._program,
      'adapt',
      f'--workdir={self._run}',
      f'--config.data.dir={images}',
      f'--config.data.labels_csv={images / cell_folder.LABELS}',
      f'--config.data.groups_csv={images / cell_folder.GROUPS}',
      f'--to={new}',
    ]

  def _read(self, process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    # Closes its output, and waits.
    with process:
      for line in process.stdout:
        # A progress bar rewrites its line; its last state is shown.
        text = line.rstrip('\r\n').rpartition('\r')[2]
        if text.strip():
          self._lines.append(text)
    with self._lock:
      if self._process is process:
        self._clear()

  def _clear(self) -> None:
    """Removes the labelled cells of a training that was refused, so that its name is free for more labels."""
    process, images = self._process, self._images
    if process is None or images is None or process.poll() != _REFUSED:
      return
    self._images = None
    if not pathlib.Path(self._name).exists():
      shutil.rmtree(images)
