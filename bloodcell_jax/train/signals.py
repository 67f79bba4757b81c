"""SIGTERM and SIGINT as a request that the loop reads between two steps."""

from __future__ import annotations

import os
import signal
from types import FrameType

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: stopped, to be continued


class Stopped(Exception):
  """Raised where a stop was asked for and everything worth keeping is on disk."""


class Stop:
  """A stop that was asked for, or not. The first signal asks; a second one leaves at once."""

  def __init__(self) -> None:
    self.requested = False

  def install(self) -> None:
    """Listens to SIGTERM and SIGINT from now on; only the main thread of a process may."""
    for number in (signal.SIGTERM, signal.SIGINT):
      signal.signal(number, self._handle)

  def _handle(self, number: int, frame: FrameType | None) -> None:
    del frame
    if self.requested:
      os._exit(EXIT_CODE)
    self.requested = True
    os.write(2, f'\n{signal.Signals(number).name}: saving, then leaving; once more leaves at once\n'.encode())
