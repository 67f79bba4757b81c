"""Signals that ask a process to end, as a request to stop, which the loop polls between two steps."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time

from bloodcell_jax.system import console

EXIT_CODE = 75  # EX_TEMPFAIL of sysexits.h: stopped, to be continued
# Seconds after which a process that was asked to stop ends wherever it is; SIGKILL often follows after ten.
PATIENCE = 8.0
# Ctrl-C, a scheduler's stop, a closed terminal; on Windows, which lacks SIGHUP, Ctrl-Break and a closed console.
NAMES = ('SIGTERM', 'SIGINT', 'SIGHUP', 'SIGBREAK')
SIGNALS = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))


class Stopped(Exception):
  """Raised when a stop was asked for."""


class Stop:
  """Whether a stop was asked for. The first signal asks; the second one ends the process at once.

  **Guarantees**: the process is gone `PATIENCE` seconds after the first signal at the latest, with exit code 75. Python
  runs signal handlers only between bytecode instructions, and a compilation is one call that can take a minute; so
  a thread reads the signals from a socket that the C-level handler writes to. If no safe point is reached in time, that
  thread ends the process as SIGKILL would: nothing is corrupt, because every file is either complete or absent, and
  the newest checkpoint is kept. Only a C call that holds the GIL for longer can delay this; XLA's compiler and
  programs and the fits of scikit-learn and NumPy release it.
  """

  def __init__(self) -> None:
    self.requested = False

  def poll(self) -> None:
    """Raises `Stopped` if a stop was asked for."""
    if self.requested:
      raise Stopped

  def install(self) -> None:
    """Starts to listen for `SIGNALS`; to be called in the main thread.

    A hang-up that is ignored stays so, as `nohup` wants.
    """
    # Sockets, because Windows can neither wait for a pipe nor have signals written to one.
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    try:
      signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    except ValueError:
      reading.close()
      writing.close()
      raise
    # Kept from here on: a socket that nobody refers to is closed.
    self._sockets = reading, writing
    for number in SIGNALS:
      if number.name == 'SIGHUP' and signal.getsignal(number) == signal.SIG_IGN:
        continue
      # The thread does the work, but without a Python handler nothing is written to the socket.
      signal.signal(number, lambda number, frame: None)
    threading.Thread(target=self._listen, args=(reading,), name='signals', daemon=True).start()

  def _listen(self, reading: socket.socket) -> None:
    name = signal.Signals(_next(reading, None)).name
    self.requested = True
    console.urgent(f'\n{name}: stopping at the next safe point; a second signal ends the process at once\n')
    # In this same thread: there may be no memory left to start another.
    if not _next(reading, PATIENCE):
      console.urgent(
        'no safe point was reached in time; the newest checkpoint is kept, and the same command continues\n'
      )
    os._exit(EXIT_CODE)


def _next(reading: socket.socket, patience: float | None) -> int:
  """The number of the next of `SIGNALS`; 0 if none arrives within `patience` seconds."""
  end = None if patience is None else time.monotonic() + patience
  while select.select([reading], [], [], None if end is None else max(0.0, end - time.monotonic()))[0]:
    number = reading.recv(1)[0]
    if number in SIGNALS:
      return number
  return 0
