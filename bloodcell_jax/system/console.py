"""What the program prints: it survives a closed pipe or terminal, shows any letter, and is kept in a run's log.txt."""

from __future__ import annotations

import collections
import contextlib
import os
import pathlib
import shlex
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

# Bytes of log.txt, after which it becomes log.1.txt, in place of an earlier one.
MOST_BYTES = 2**20
# Lines that are remembered until the run's folder is known.
_MOST_REMEMBERED = 10_000


class Log:
  """The lines that were printed, in memory until a file is named and then at the end of that file.

  Every write is a line or more in one call, so that the lines of two processes do not mix. A log that cannot be written
  is given up without a word: it is not what the user waits for.
  """

  def __init__(self, command: str):
    self._command = command
    self._head = f'--- {time.strftime("%Y-%m-%d %H:%M:%S %z")} {command}'
    self._remembered: collections.deque[str] = collections.deque(maxlen=_MOST_REMEMBERED)
    self._handle: int | None = None
    self._lock = threading.Lock()
    self.path: pathlib.Path | None = None
    self._copy: Log | None = None

  def open(self, path: pathlib.Path) -> None:
    """Appends to the file from now on, after a line with the date and the command and what was printed so far."""
    with self._lock:
      if self.path is not None:
        return
      self.path = path
      lines, self._remembered = [self._head, *self._remembered], collections.deque()
      self._append(lines)

  def close(self) -> None:
    """Ends the file; lines after it are dropped."""
    with self._lock:
      if self._handle is not None:
        os.close(self._handle)
      self._handle, self.path = None, pathlib.Path(os.devnull)

  @contextlib.contextmanager
  def copied(self, path: pathlib.Path) -> Iterator[None]:
    """Keeps the lines of the block in a second file as well, after a line with the date and the command."""
    self._copy = copy = Log(self._command)
    copy.open(path)
    try:
      yield
    finally:
      self._copy = None
      copy.close()

  def add(self, line: str) -> None:
    """Keeps a line; an empty one is dropped."""
    if not line.strip():
      return
    if copy := self._copy:
      copy.add(line)
    with self._lock:
      if self.path is None:
        self._remembered.append(line)
      else:
        self._append([line])

  def _append(self, lines: list[str]) -> None:
    assert self.path is not None
    with contextlib.suppress(OSError):
      if self._handle is None:
        # Not through a link, which would let the folder of a stranger's run name another file.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, 'O_NOFOLLOW', 0)
        self._handle = os.open(self.path, flags | getattr(os, 'O_BINARY', 0), 0o666)
      os.write(self._handle, ''.join(f'{line}\n' for line in lines).encode(errors='backslashreplace'))
      if os.fstat(self._handle).st_size > MOST_BYTES:
        os.close(self._handle)
        self._handle = None
        os.replace(self.path, self.path.with_name(f'{self.path.stem}.1{self.path.suffix}'))


class Stream:
  """A text stream whose complete lines are kept in a log too; once it cannot be written, the log alone goes on."""

  def __init__(self, stream: Any, name: str, log: Log):
    self._stream, self._name, self._log = stream, name, log
    self._line, self._is_open = '', True

  def write(self, text: str) -> int:
    """Writes the text, with escapes for letters that the stream's encoding lacks; never raises OSError."""
    # tqdm draws its bars with these at the start of each write.
    if not text.startswith(('\r', '\x1b')):
      *lines, self._line = (self._line + text).split('\n')
      for line in lines:
        self._log.add(line)
    self._try(text)
    return len(text)

  def flush(self) -> None:
    """Flushes the stream."""
    self._try('')

  def __getattr__(self, name: str) -> Any:
    return getattr(self._stream, name)

  def _try(self, text: str) -> None:
    if not self._is_open:
      return
    try:
      if text:
        self._stream.write(text)
      else:
        self._stream.flush()
    except UnicodeError:
      self._stream.write(text.encode('ascii', 'backslashreplace').decode())
    except (OSError, ValueError):
      self._close()

  def _close(self) -> None:
    """Connects the stream with nothing, so that neither its buffer nor another library meets the error again."""
    self._is_open = False
    with contextlib.suppress(OSError, ValueError):
      nothing = os.open(os.devnull, os.O_WRONLY)
      os.dup2(nothing, self._stream.fileno())
      os.close(nothing)
    if self._log.path is not None:
      note = f'{self._name} was closed; the command goes on, and its lines are in {self._log.path}'
      if self._name == 'standard output':
        print(note, file=sys.stderr, flush=True)
      else:
        self._log.add(note)


_log: Log | None = None
# The file descriptor of urgent lines: standard error, or its copy while that is held back.
_urgent = 2


def install(arguments: list[str]) -> None:
  """Replaces `sys.stdout` and `sys.stderr`; main.py calls it first.

  Args:
    arguments: of the command line, for the first line of the log.
  """
  global _log
  _occupy()
  _log = Log(shlex.join(arguments))
  for attribute, name in (('stdout', 'standard output'), ('stderr', 'standard error')):
    stream = getattr(sys, attribute)
    if stream is None:  # closed by whoever started the process, or Windows without a console
      stream = open(os.devnull, 'w', encoding='utf-8')  # noqa: SIM115
    with contextlib.suppress(AttributeError, ValueError):
      stream.reconfigure(errors='backslashreplace')
    setattr(sys, attribute, Stream(stream, name, _log))


def keep(path: pathlib.Path) -> None:
  """Keeps what was printed and will be printed in this file; nothing without `install`, and once a process."""
  if _log is not None:
    _log.open(path)


@contextlib.contextmanager
def copied(path: pathlib.Path) -> Iterator[None]:
  """Keeps what the block prints in this file as well: the log of one run of many; nothing without `install`."""
  with _log.copied(path) if _log is not None else contextlib.nullcontext():
    yield


def urgent(text: str) -> None:
  """Prints lines on standard error from any thread, past buffers and locks that another thread may hold."""
  with contextlib.suppress(OSError):
    os.write(_urgent, text.encode(errors='backslashreplace'))
  if _log is not None:
    for line in text.splitlines():
      _log.add(line)


@contextlib.contextmanager
def held() -> Iterator[None]:
  """Holds back what is written to file descriptor 2, but not what is urgent, and prints it only if the block raises."""
  global _urgent
  import tempfile  # here, because it is not needed where a command only says something

  sys.stderr.flush()
  with tempfile.TemporaryFile() as file:
    # Never closed: another thread may be writing to it.
    before = _urgent = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
      yield
    except BaseException:
      os.dup2(before, 2)
      file.seek(0)
      os.write(2, file.read())
      raise
    finally:
      os.dup2(before, 2)
      _urgent = 2


def _occupy() -> None:
  """Opens those of the first three files that are closed: otherwise what is printed would go into the next file."""
  if os.name == 'nt':
    return
  while (handle := os.open(os.devnull, os.O_RDWR)) < 3:
    pass
  os.close(handle)
