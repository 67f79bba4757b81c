"""Values that several hosts share, and folders that they send to host 0, which keeps both, at the port where they met.

A `Store` has the methods of the client of JAX's coordination service, so that hosts that each train alone need not be
processes of one JAX.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from bloodcell_jax.system import atomic, folder_stream, rendezvous

# Seconds to wait for an answer of host 0, and between two looks for a value that is not there yet.
_PATIENCE, _PAUSE = 10.0, 0.1
# Bytes of a request.
_MOST = 2**22


class Store:
  """The values, on host 0. Threads may share it."""

  def __init__(self) -> None:
    self._values: dict[str, str] = {}
    self._lock = threading.Lock()
    # Of each folder that may be sent: where it belongs, and what is done with it before it is put there.
    self.places: dict[str, tuple[pathlib.Path, Callable[[pathlib.Path], None]]] = {}

  def key_value_set(self, key: str, value: str, allow_overwrite: bool = False) -> None:
    """Keeps a value, in place of an earlier one."""
    with self._lock:
      self._values[key] = value

  def setdefault(self, key: str, value: str) -> str:
    """The value of the key, which is `value` where it had none: one host of all that ask at once gets its own."""
    with self._lock:
      return self._values.setdefault(key, value)

  def key_value_dir_get(self, prefix: str) -> list[tuple[str, str]]:
    """The keys that begin so, and their values."""
    with self._lock:
      return [(key, value) for key, value in self._values.items() if key.startswith(prefix)]

  def blocking_key_value_get(self, key: str, milliseconds: int) -> str:
    """The value of a key. Raises TimeoutError where it is not there in time."""
    end = time.monotonic() + milliseconds / 1000
    while True:
      values = dict(self.key_value_dir_get(key))
      if key in values:
        return values[key]
      if time.monotonic() > end:
        raise TimeoutError(key)
      time.sleep(_PAUSE)

  def serve(self, coordinator: str, token: str) -> None:
    """Answers the other hosts, in threads that end with the process.

    Args:
      coordinator: HOST:PORT, of this host.
      token: what the hosts were given when they met; whoever does not know it gets no answer.

    Raises:
      UserError: the port cannot be used.
    """
    server = rendezvous.listen(coordinator)
    server.settimeout(None)

    def accept() -> None:
      while True:
        try:
          guest, _ = server.accept()
        except OSError:
          # No more files can be opened just now.
          time.sleep(_PAUSE)
          continue
        threading.Thread(target=self._answer, args=(guest, token), daemon=True).start()

    threading.Thread(target=accept, name='store', daemon=True).start()

  def _answer(self, guest: socket.socket, token: str) -> None:
    with (
      guest,
      guest.makefile('rb') as requests,
      contextlib.suppress(OSError, ValueError, KeyError, TypeError),
    ):
      while line := requests.readline(_MOST):
        request = json.loads(line)
        if request['token'] != token:
          return
        guest.sendall(json.dumps(self._done(request, requests)).encode() + b'\n')

  def _done(self, request: Mapping[str, Any], more: Any) -> Any:
    match request['do']:
      case 'set':
        return self.key_value_set(request['key'], request['value'])
      case 'setdefault':
        return self.setdefault(request['key'], request['value'])
      case 'list':
        return self.key_value_dir_get(request['key'])
      case 'folder':
        return self._keep(request['key'], request['number'], more)
    raise ValueError(request['do'])

  def _keep(self, name: str, number: int, stream: Any) -> str:
    """Reads a folder and puts it into its place as a whole; what went wrong, or nothing."""
    if name not in self.places:
      return f'{name}: is not expected'
    place, adopt = self.places[name]
    try:
      with atomic.folder(place) as new:
        folder_stream.read(stream, new, number)
        adopt(new)
    except (OSError, ValueError) as error:
      # To the end: the other host gets no answer while it is still sending.
      while stream.read(2**20):
        pass
      return f'{place}: {error}'
    return ''


class Remote(Store):
  """The values, as another host sees them. Raises OSError where host 0 does not answer."""

  def __init__(self, coordinator: str, token: str):
    super().__init__()
    self._where, self._token = rendezvous.address(coordinator), token
    self._connection: tuple[socket.socket, Any] | None = None

  def key_value_set(self, key: str, value: str, allow_overwrite: bool = False) -> None:
    self._ask({'do': 'set', 'key': key, 'value': value})

  def setdefault(self, key: str, value: str) -> str:
    return self._ask({'do': 'setdefault', 'key': key, 'value': value})

  def key_value_dir_get(self, prefix: str) -> list[tuple[str, str]]:
    return [(key, value) for key, value in self._ask({'do': 'list', 'key': prefix})]

  def send(self, name: str, folder: pathlib.Path) -> str:
    """Sends a folder to host 0, which puts it into the place of this name; what went wrong there, or nothing."""
    some = folder_stream.names(folder)
    with socket.create_connection(self._where, _PATIENCE) as server, server.makefile('rb') as answers:
      # As long as the disk of host 0 takes.
      server.settimeout(None)
      self._say(server, {'do': 'folder', 'key': name, 'number': len(some)})
      with server.makefile('wb') as stream:
        folder_stream.write(folder, some, stream)
      server.shutdown(socket.SHUT_WR)
      return _heard(answers)

  def close(self) -> None:
    """Ends the connection; the next request makes another."""
    if self._connection:
      server, answers = self._connection
      answers.close()
      server.close()
    self._connection = None

  def _ask(self, request: Mapping[str, Any]) -> Any:
    with self._lock:
      try:
        if self._connection is None:
          server = socket.create_connection(self._where, _PATIENCE)
          self._connection = server, server.makefile('rb')
        server, answers = self._connection
        self._say(server, request)
        return _heard(answers)
      except OSError:
        # An answer may still be on its way.
        self.close()
        raise

  def _say(self, server: socket.socket, request: Mapping[str, Any]) -> None:
    server.sendall(json.dumps({**request, 'token': self._token}).encode() + b'\n')


def _heard(answers: Any) -> Any:
  line = answers.readline(_MOST)
  try:
    return json.loads(line)
  except ValueError:
    raise ConnectionError('host 0 has ended the connection') from None
