"""A process of its own for each contestant, which does something when it is asked and stands still in between."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any


class Child:
  """The parent's end: `python -m MODULE --child NAME...`, asked with a number, answering with JSON."""

  def __init__(self, module: str, *names: str):
    self._what = ' '.join((module, *names))
    command = [sys.executable, '-m', module, '--child', *names]
    self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

  def ask(self, number: int) -> Any:
    """What the child answers.

    Raises:
      RuntimeError: the process has died; what it said stands above.
    """
    assert self._process.stdin
    assert self._process.stdout
    # A process that is gone says so by the empty line it answers with.
    with contextlib.suppress(BrokenPipeError):
      print(number, file=self._process.stdin, flush=True)
    line = self._process.stdout.readline()
    if not line:
      raise RuntimeError(f'{self._what} did not run')
    return json.loads(line)

  def close(self) -> None:
    """Ends the process."""
    self._process.kill()
    self._process.wait()


def serve(make: Callable[[], Callable[[int], Any]]) -> None:
  """The child's end: makes a function, then answers each number with what it returns."""
  answers = sys.stdout
  # Whatever the frameworks print goes to the other stream.
  sys.stdout = sys.stderr
  answer = make()
  for line in sys.stdin:
    print(json.dumps(answer(int(line))), file=answers, flush=True)
