"""The page's server in this process, with an untrained network, and a browser's requests to it without a browser."""

from __future__ import annotations

import contextlib
import functools
import http.client
import io
import json
import pathlib
import re
import socket
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from export import trained
from PIL import Image, ImageDraw

from bloodcell_jax.inference import classifier

LIMITS = {
  'num_files': 5, 'file_bytes': 10**6, 'total_bytes': 2 * 10**6, 'pixels': 10**6, 'minutes': 10.0, 'num_sessions': 3,
}  # fmt: skip


@functools.cache
def loaded() -> classifier.Classifier:
  return trained.load('cnn_a', trained.RULE)


def cell_png(seed: int) -> bytes:
  """A picture of one cell: smaller than a photograph that is searched."""
  return png(np.random.default_rng(seed).integers(90, 220, (64, 64, 3)).astype(np.uint8))


def field_png() -> bytes:
  """A drawn photograph, 640x480, of red cells 60 pixels wide and two white cells, at (160, 140) and (470, 330)."""
  white = ((160, 140), (470, 330))
  image = Image.new('RGB', (640, 480), (225, 222, 220))
  draw = ImageDraw.Draw(image)

  def disc(x: int, y: int, radius: int, colour: tuple[int, int, int]) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

  for x in range(50, 640, 90):
    for y in range(50, 480, 90):
      if all(np.hypot(x - a, y - b) > 95 for a, b in white):
        disc(x, y, 30, (196, 140, 136))
  for x, y in white:
    disc(x, y, 52, (205, 190, 212))
    for dx, dy in ((-15, -12), (15, -12), (0, 16)):
      disc(x + dx, y + dy, 20, (104, 68, 156))
  noise = np.random.default_rng(0).normal(0, 3, (480, 640, 1))
  return png((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def png(image_HWC: np.ndarray) -> bytes:
  buffer = io.BytesIO()
  Image.fromarray(image_HWC).save(buffer, 'PNG')
  return buffer.getvalue()


class Browser:
  """One person's browser: its cookie and the token of its page."""

  def __init__(self, port: int):
    self.port, self.cookie, self.token = port, '', ''
    _, headers, self.page = self.ask('GET', '/')
    self.cookie = headers['set-cookie'].partition(';')[0]
    self.set_cookie = headers['set-cookie']
    about = re.search(r'id="about">(.*?)</script>', self.page.decode())
    assert about
    self.token = json.loads(about[1])['token']

  def ask(
    self, method: str, path: str, body: bytes | None = None, **headers: str
  ) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer; a header of the request is left out where it is ''."""
    sent = {'Cookie': self.cookie, 'X-Bloodcell-Token': self.token}
    sent |= {name.replace('_', '-'): value for name, value in headers.items()}
    connection = http.client.HTTPConnection('127.0.0.1', self.port, timeout=60)
    connection.putrequest(method, path, skip_host='Host' in sent)
    if body is not None:
      sent.setdefault('Content-Length', str(len(body)))
    for name, value in sent.items():
      if value:
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    found = {name.lower(): value for name, value in answer.getheaders()}
    data = answer.read()
    connection.close()
    return answer.status, found, data

  def post(self, path: str, value: Any) -> tuple[int, Any]:
    status, _, data = self.ask('POST', path, json.dumps(value).encode())
    return status, json.loads(data)

  def upload(self, name: str, data: bytes, **headers: str) -> tuple[int, Any]:
    status, _, answer = self.ask(
      'POST', '/photographs', data, **{'X-Name': urllib.parse.quote(name), **headers}
    )
    return status, json.loads(answer)

  @contextlib.contextmanager
  def half_sent(self, name: str) -> Iterator[None]:
    """An upload of which half the bytes have arrived."""
    with socket.create_connection(('127.0.0.1', self.port)) as connection:
      connection.sendall(
        f'POST /photographs HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nCookie: {self.cookie}\r\n'
        f'X-Bloodcell-Token: {self.token}\r\nX-Name: {name}\r\nContent-Length: 2000\r\n\r\n'.encode()
      )
      connection.sendall(b'x' * 1000)
      time.sleep(0.5)
      yield

  def state(self) -> Any:
    return json.loads(self.ask('GET', '/state')[2])

  def analysed(self) -> Any:
    """The state once no photograph waits."""
    end = time.monotonic() + 60
    while (state := self.state())['num_waiting']:
      assert time.monotonic() < end
      time.sleep(0.05)
    return state


def only(state: Any) -> Any:
  """The one photograph of a state."""
  (photograph,) = state['photographs']
  return photograph


class Server:
  """A running server."""

  def __init__(self, port: int, folder: pathlib.Path):
    self.port, self.folder = port, folder

  def browser(self) -> Browser:
    return Browser(self.port)

  def files(self) -> list[pathlib.Path]:
    """What lies on the disk for all sessions, without their journals."""
    found = [path for path in self.folder.rglob('*') if path.is_file()]
    return [path for path in found if path.name not in ('journal.jsonl', '.lock', '.lock.owner')]


@contextlib.contextmanager
def running(place: pathlib.Path, program: tuple[str, ...] = (), **limits: Any) -> Iterator[Server]:
  """A server whose uploads lie in a folder of `place`, with other limits than LIMITS where given."""
  pytest.importorskip('starlette', reason='Starlette is not installed')
  pytest.importorskip('uvicorn', reason='Uvicorn is not installed')
  from bloodcell_jax.serving import adaptation, analysis, server
  from bloodcell_jax.serving import limits as limits_lib
  from bloodcell_jax.train import signals

  opened, stop, ready = server.bind(0), signals.Stop(), threading.Event()
  adapting = adaptation.Adaptation(program, place / 'run', place / 'runs')
  limit = limits_lib.Limits(**{**LIMITS, **limits})
  analysing = analysis.Analysis(loaded(), 'run', '', 'auto', {}, limit.pixels)
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(tempfile, 'tempdir', str(place))
    serving = threading.Thread(
      target=server.run, args=(opened, analysing, limit, adapting, stop, lambda address: ready.set())
    )
    serving.start()
    try:
      assert ready.wait(60)
      yield Server(opened.getsockname()[1], next(place.glob('bloodcell_serve_*')))
    finally:
      stop.requested = True
      serving.join(30)
  assert not serving.is_alive()
  assert not list(place.glob('bloodcell_serve_*')), 'nothing of what was uploaded is left'
