"""The server of the page: bound to this computer, until it is stopped; then nothing of what was uploaded is left."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import pathlib
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import uvicorn

from bloodcell_jax.base import types
from bloodcell_jax.data.images import decode
from bloodcell_jax.serving import adaptation, analysis, app, limits, session_list, worker
from bloodcell_jax.system import lock
from bloodcell_jax.train import signals

ADDRESS = '127.0.0.1'
_PREFIX = 'bloodcell_serve_'
# Seconds: a folder without a lock is left alone for so long, because another process may be about to lock it.
_YOUNG = 60
# Seconds for open requests, and for the task of the networks that runs, once a stop was asked for.
_FOR_REQUESTS, _FOR_NETWORKS = 2, 2
_NUM_TRIED = 50  # ports, to name one that is free


def bind(port: int) -> socket.socket:
  """A listening socket of this computer alone; port 0 is any free one.

  Raises:
    UserError: the port is in use or may not be used; the message names a free one.
  """
  if not 0 <= port <= 65535:
    raise types.UserError(f'port is {port}; it must lie in 0 to 65535, 0 for any free port')
  opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
  try:
    if os.name != 'nt':
      # Without it the port of a server that has just ended would count as in use for a minute.
      opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind((ADDRESS, port))
    opened.listen(128)
  except OSError as error:
    opened.close()
    reason = 'is in use' if error.errno == errno.EADDRINUSE else f'cannot be used ({error.strerror})'
    raise types.UserError(f'port {port} {reason}; try --port={_free_port(port + 1)}, or --port=0') from None
  return opened


def _free_port(first: int) -> int:
  """The first free port from here on; 0 if there is none soon."""
  for port in range(max(first, 1024), min(first + _NUM_TRIED, 65536)):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tried, contextlib.suppress(OSError):
      tried.bind((ADDRESS, port))
      return port
  return 0


@contextlib.contextmanager
def upload_folder() -> Iterator[pathlib.Path]:
  """A private folder for what is uploaded, removed at the end; first, those that killed processes have left."""
  top = pathlib.Path(tempfile.gettempdir())
  for left in top.glob(f'{_PREFIX}*'):
    _remove_left(left)
  folder = pathlib.Path(tempfile.mkdtemp(prefix=_PREFIX))
  try:
    lock.take(folder)
    yield folder
  finally:
    shutil.rmtree(folder, ignore_errors=True)


def _remove_left(folder: pathlib.Path) -> None:
  """Removes a folder of this user whose process has ended."""
  with contextlib.suppress(OSError, types.UserError):
    status = folder.lstat()
    is_own = not hasattr(os, 'getuid') or status.st_uid == os.getuid()
    if folder.is_symlink() or not is_own or time.time() - status.st_mtime < _YOUNG:
      return
    lock.take(folder)
    shutil.rmtree(folder)


def run(
  opened: socket.socket,
  analysing: analysis.Analysis,
  limit: limits.Limits,
  adapting: adaptation.Adaptation,
  stop: signals.Stop,
  on_ready: Callable[[str], None],
) -> str:
  """Serves the page until a stop is requested; the folder of a run whose adaptation was stopped with it, or ''.

  Args:
    opened: from `bind`.
    analysing: the classifier.
    limit: of uploads.
    adapting: the command `adapt`.
    stop: polled.
    on_ready: called with the page's address once it answers.

  Raises:
    RunError: the server could not be started, or ended although no stop was requested.
  """
  port = opened.getsockname()[1]
  networks = worker.Worker()
  # Of Pillow about metadata, in every thread that decodes.
  with decode.quiet(), upload_folder() as folder:
    sessions = session_list.SessionList(folder, analysing, limit, networks)
    logging.getLogger('uvicorn.error').disabled = False
    # In a thread of its own it leaves the signals to the program.
    server = uvicorn.Server(_config(app.App(sessions, adapting, port)))
    serving = threading.Thread(target=server.run, kwargs={'sockets': [opened]}, name='server', daemon=True)
    serving.start()
    while not server.started and serving.is_alive():
      time.sleep(0.02)
    if serving.is_alive():
      on_ready(f'http://{ADDRESS}:{port}/')
    while not stop.requested and serving.is_alive():
      serving.join(0.2)
      sessions.expire()
    has_failed = not stop.requested
    # Requests that are cut off are no errors.
    logging.getLogger('uvicorn.error').disabled = True
    server.should_exit = True
    serving.join(_FOR_REQUESTS)
    server.force_exit = True
    sessions.end_all()
    stopped = adapting.stop()
    has_ended = networks.stop(_FOR_NETWORKS)
  if has_failed:
    # Python has printed the error of its thread.
    begun = 'ended by itself' if server.started else 'could not be started'
    raise types.RunError(f'http://{ADDRESS}:{port}/: the server of the page {begun}')
  if not has_ended:
    # A compilation cannot be interrupted, and the process would wait for it.
    for stream in (sys.stdout, sys.stderr):
      stream.flush()
    lock.release()
    os._exit(0)
  return stopped


def _config(page: app.App) -> uvicorn.Config:
  return uvicorn.Config(
    page.app,
    http='h11',
    loop='asyncio',
    ws='none',
    lifespan='off',
    log_config=None,
    access_log=False,
    server_header=False,
    proxy_headers=False,
    limit_concurrency=200,
    timeout_keep_alive=30,
    timeout_graceful_shutdown=1,
  )
