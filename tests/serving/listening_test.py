"""The port, the folder of uploads and the worker's thread."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from types import SimpleNamespace

import lock_holder
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.serving import limits, worker
from bloodcell_jax.train import signals

uvicorn = pytest.importorskip('uvicorn', reason='Uvicorn is not installed')
from bloodcell_jax.serving import adaptation, server

LIMITS = limits.Limits(5, 10**6, 2 * 10**6, 10**6, 10.0, 3)


def test_a_port_in_use_is_one_line_that_names_a_free_one():
  with server.bind(0) as first:
    port = first.getsockname()[1]
    with pytest.raises(
      types.UserError, match=rf'^port {port} is in use; try --port=(\d+), or --port=0$'
    ) as raised:
      server.bind(port)
    free = int(str(raised.value).partition('--port=')[2].partition(',')[0])
    with server.bind(free) as second:
      assert second.getsockname() == ('127.0.0.1', free)
  # Free again at once.
  server.bind(port).close()
  with pytest.raises(types.UserError, match='0 to 65535'):
    server.bind(65536)


def test_what_a_killed_process_left_is_removed_and_what_a_running_one_has_is_not(tmp_path, monkeypatch):
  monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
  left = tmp_path / 'bloodcell_serve_x'
  left.mkdir()
  (left / 'photograph').write_text('x')
  process = lock_holder.start(left)
  old = time.time() - 3600
  os.utime(left, (old, old))
  with server.upload_folder():
    assert (left / 'photograph').exists(), 'its process runs'
  process.kill()
  process.communicate()
  with server.upload_folder() as folder:
    assert not left.exists()
    assert folder.stat().st_mode & 0o777 == 0o700
  assert list(tmp_path.glob('bloodcell_serve_*')) == []


def test_what_was_clicked_comes_before_photographs_that_wait():
  running, begin, order = worker.Worker(), threading.Event(), []
  running.submit(worker.PHOTOGRAPHS, begin.wait)
  futures = [
    running.submit(priority, lambda name=name: order.append(name))
    for priority, name in (
      (worker.PREPARATION, 'later'), (worker.PHOTOGRAPHS, 'first'), (worker.PHOTOGRAPHS, 'second'),
      (worker.CLICK, 'click'),
    )
  ]  # fmt: skip
  begin.set()
  for future in futures:
    future.result(10)
  assert order == ['click', 'first', 'second', 'later']
  assert running.submit(worker.CLICK, lambda: 1 / 0).exception(10)
  assert running.submit(worker.CLICK, lambda: 7).result(10) == 7, 'an error ends its task alone'
  assert running.stop(10)


@pytest.mark.parametrize(('is_begun', 'said'), [(False, 'could not be started'), (True, 'ended by itself')])
def test_a_server_that_ends_without_being_asked_is_no_closed_page(is_begun, said, tmp_path, monkeypatch):
  monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
  ready: list[str] = []

  def ends(self, sockets):
    self.started = is_begun
    for _ in range(100 * is_begun):
      time.sleep(0.02)
      if ready:
        break

  monkeypatch.setattr(uvicorn.Server, 'run', ends)
  adapting, analysing = adaptation.Adaptation((), tmp_path, tmp_path), SimpleNamespace(class_names=('a',))
  with server.bind(0) as opened, pytest.raises(types.RunError, match=f'the server of the page {said}$'):
    server.run(opened, analysing, LIMITS, adapting, signals.Stop(), ready.append)
  assert bool(ready) == is_begun
  assert list(tmp_path.iterdir()) == [], 'what was uploaded is removed all the same'
