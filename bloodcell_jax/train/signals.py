"""SIGTERM and SIGINT as a request that the loop reads between two steps."""

from __future__ import annotations

import os
import select
import signal
import threading
import time

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: stopped, to be continued
# After that long a process that was asked to stop ends wherever it is. Ten are common until SIGKILL.
PATIENCE = 8.0


class Stopped(Exception):
  """Raised where a stop was asked for and everything worth keeping is on disk."""


class Stop:
  """A stop that was asked for, or not. The first signal asks; a second one leaves at once.

  **Guarantees**: the process is gone `PATIENCE` seconds after the first signal at the latest, with exit code 75. Python
  runs a handler between two of its own instructions only, and a compilation is one instruction that can take a minute;
  so the signals are read by a thread, from a pipe that the C part of the handler writes to. Where nobody has reached a
  safe point in time, that thread ends the process as a kill would: nothing is corrupt, because every file is whole or
  not there, and the newest checkpoint stands. A C call that keeps Python's lock for longer is beyond this; neither
  XLA's compiler, nor its programs, nor the fits of scikit-learn and NumPy do.
  """

  def __init__(self) -> None:
    self.requested = False

  def poll(self) -> None:
    """Raises `Stopped` where a stop was asked for."""
    if self.requested:
      raise Stopped

  def install(self) -> None:
    """Listens to SIGTERM and SIGINT from now on; only the main thread of a process may."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
      signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    except ValueError:
      os.close(reading)
      os.close(writing)
      raise
    for number in (signal.SIGTERM, signal.SIGINT):
      # The thread does all; without a handler of Python's the pipe would get nothing.
      signal.signal(number, lambda number, frame: None)
    threading.Thread(target=self._listen, args=(reading,), name='signals', daemon=True).start()

  def _listen(self, reading: int) -> None:
    name = signal.Signals(_next(reading, None)).name
    self.requested = True
    os.write(2, f'\n{name}: saving, then leaving; once more leaves at once\n'.encode())
    # Waited for here: to begin another thread can take memory that is not there.
    if not _next(reading, PATIENCE):
      os.write(
        2, b'no place to stop was reached in time; the newest checkpoint stands, the same command continues\n'
      )
    os._exit(EXIT_CODE)


def _next(reading: int, patience: float | None) -> int:
  """The number of the next signal that asks to stop; 0 where none comes in so many seconds."""
  end = None if patience is None else time.monotonic() + patience
  while select.select([reading], [], [], None if end is None else max(0.0, end - time.monotonic()))[0]:
    number = os.read(reading, 1)[0]
    if number in (signal.SIGTERM, signal.SIGINT):
      return number
  return 0
