"""A subprocess for each contestant, which works on request and is idle in between."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any


class Child:
  """The parent's end of `python -m MODULE --child NAME...`: sends numbers, receives JSON."""

  def __init__(self, module: str, *names: str):
    self._what = ' '.join((module, *names))
    command = [sys.executable, '-m', module, '--child', *names]
    self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

  def ask(self, number: int) -> Any:
    """Sends a number and returns the child's answer.

    Raises:
      RuntimeError: the process has died; its messages are on standard error.
    """
    assert self._process.stdin
    assert self._process.stdout
    # If the process has died, the line read below is empty.
    with contextlib.suppress(BrokenPipeError):
      print(number, file=self._process.stdin, flush=True)
    line = self._process.stdout.readline()
    if not line:
      raise RuntimeError(f'{self._what} did not run')
    return json.loads(line)

  def close(self) -> None:
    """Kills the process."""
    self._process.kill()
    self._process.wait()


def in_turn(children: Mapping[Any, Child], rounds: int, steps: int) -> dict[Any, list[Any]]:
  """By contestant its answers, one a round, each asked for so many steps while the others are idle."""
  answers: dict[Any, list[Any]] = {name: [] for name in children}
  names = list(children)
  for i in range(rounds):
    # The order rotates, so that no contestant always follows the same one.
    for name in names[i % len(names) :] + names[: i % len(names)]:
      answers[name].append(children[name].ask(steps))
  return answers


def serve(make: Callable[[], Callable[[int], Any]]) -> None:
  """The child's end: makes a function, then answers each number with its result."""
  answers = sys.stdout
  # Output of the frameworks goes to standard error.
  sys.stdout = sys.stderr
  answer = make()
  for line in sys.stdin:
    print(json.dumps(answer(int(line))), file=answers, flush=True)
