"""The thread in which networks compute, one task after another, so that the page stays responsive."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable
from concurrent import futures
from typing import Any

# A person waits for what was clicked; photographs can wait for that; what is prepared can wait for both.
CLICK, PHOTOGRAPHS, PREPARATION = 0, 1, 2
_LAST = 9


class Worker:
  """Runs tasks in one thread: urgent ones first, those of equal urgency in the order of their arrival."""

  def __init__(self) -> None:
    self._tasks: queue.PriorityQueue[tuple[int, int, Callable[[], Any] | None, futures.Future]] = (
      queue.PriorityQueue()
    )
    self._number = itertools.count()
    self._is_stopped = False
    self._thread = threading.Thread(target=self._work, name='networks', daemon=True)
    self._thread.start()

  def submit(self, priority: int, task: Callable[[], Any]) -> futures.Future:
    """The future result of the task.

    Args:
      priority: CLICK, PHOTOGRAPHS or PREPARATION.
      task: called without arguments.
    """
    future: futures.Future = futures.Future()
    self._tasks.put((priority, next(self._number), task, future))
    return future

  def stop(self, patience: float) -> bool:
    """Begins no further task; whether the present one has ended within so many seconds."""
    self._is_stopped = True
    self._tasks.put((_LAST, next(self._number), None, futures.Future()))
    self._thread.join(patience)
    return not self._thread.is_alive()

  def _work(self) -> None:
    while True:
      _, _, task, future = self._tasks.get()
      if self._is_stopped or task is None:
        future.cancel()
        if task is None:
          return
        continue
      if not future.set_running_or_notify_cancel():
        continue
      try:
        future.set_result(task())
      except BaseException as error:
        future.set_exception(error)
