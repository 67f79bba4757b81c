"""Headless Chromium driven by its own DevTools protocol, with real clicks, keys and files; tests skip without it."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

_QUIET = (
  'headless=new', 'no-sandbox', 'disable-gpu', 'no-first-run', 'disable-background-networking',
  'disable-component-update', 'disable-sync', 'disable-dev-shm-usage', 'remote-debugging-port=0',
  'remote-allow-origins=*', 'hide-scrollbars',
)  # fmt: skip
_PATIENCE = 30.0
_GIVES_WAY = 'Inspected target navigated or closed'


class Page:
  """A page in a context of its own, which shares no cookie with those of other pages."""

  def __init__(self, connection: Any, session: str, numbers: Iterator[int]):
    self._connection, self._session, self._numbers = connection, session, numbers
    self.messages: list[str] = []  # of the console, and requests to elsewhere
    self.asked: list[str] = []  # addresses

  def call(self, method: str, **parameters: Any) -> dict[str, Any]:
    """The result of a command of the protocol."""
    number = next(self._numbers)
    request = {'id': number, 'method': method, 'params': parameters}
    self._connection.send(json.dumps({**request, **({'sessionId': self._session} if self._session else {})}))
    while True:
      message = json.loads(self._connection.recv())
      if message.get('id') == number:
        if 'error' in message:
          raise RuntimeError(f'{method}: {message["error"]}')
        return message['result']
      self._take(message)

  def _take(self, message: dict[str, Any]) -> None:
    method, about = message.get('method', ''), message.get('params', {})
    if method == 'Runtime.exceptionThrown':
      self.messages.append(str(about['exceptionDetails'].get('exception', about['exceptionDetails'])))
    elif method == 'Log.entryAdded':
      self.messages.append(f'{about["entry"]["text"]} {about["entry"].get("url", "")}')
    elif method == 'Network.requestWillBeSent':
      self.asked.append(about['request']['url'])
    elif method == 'Page.javascriptDialogOpening':
      # Agreed to without waiting for the reply: the page stands still meanwhile.
      answer = {
        'id': next(self._numbers),
        'method': 'Page.handleJavaScriptDialog',
        'sessionId': self._session,
      }
      self._connection.send(json.dumps({**answer, 'params': {'accept': True}}))

  def open(self, address: str, width: int, height: int = 900) -> None:
    """Loads the page, so many pixels wide."""
    for domain in ('Page', 'Runtime', 'Log', 'Network', 'DOM'):
      self.call(f'{domain}.enable')
    size = {'width': width, 'height': height, 'deviceScaleFactor': 1, 'mobile': width < 500}
    self.call('Emulation.setDeviceMetricsOverride', **size)
    self.call('Page.navigate', url=address)
    self.wait('document.readyState === "complete"')

  def evaluate(self, expression: str) -> Any:
    """The value of a JavaScript expression, awaited."""
    done = self.call('Runtime.evaluate', expression=expression, returnByValue=True, awaitPromise=True)
    if 'exceptionDetails' in done:
      raise RuntimeError(str(done['exceptionDetails']))
    return done['result'].get('value')

  def wait(self, expression: str, patience: float = _PATIENCE) -> Any:
    """The value of the expression once it is true."""
    end = time.monotonic() + patience
    while True:
      try:
        if value := self.evaluate(expression):
          return value
      except RuntimeError as error:
        # Asked while the page gave way to the one that it loads.
        if _GIVES_WAY not in str(error):
          raise
      assert time.monotonic() < end, f'not within {patience} s: {expression}\n{self.messages}'
      time.sleep(0.05)

  def text(self, selector: str) -> str:
    """What a person reads in the first such element."""
    return self.evaluate(f'document.querySelector({json.dumps(selector)}).innerText')

  def num(self, selector: str) -> int:
    """How many such elements a person can see."""
    return self.evaluate(
      f'[...document.querySelectorAll({json.dumps(selector)})].filter(e => e.checkVisibility()).length'
    )

  def click(self, selector: str, index: int = 0) -> None:
    """Clicks into the middle of an element with the mouse, where a person could."""
    x, y, is_on_top = self.evaluate(
      f'(() => {{ const e = document.querySelectorAll({json.dumps(selector)})[{index}];'
      'e.scrollIntoView({block: "center", inline: "center", behavior: "instant"}); const b = e.getBoundingClientRect();'
      'const x = b.x + b.width / 2, y = b.y + b.height / 2; const top = document.elementFromPoint(x, y);'
      'return [x, y, e === top || e.contains(top)]; })()'
    )
    assert is_on_top, f'{selector} is covered'
    for kind in ('mousePressed', 'mouseReleased'):
      self.call('Input.dispatchMouseEvent', type=kind, x=x, y=y, button='left', clickCount=1)

  def press(self, key: str, code: str) -> None:
    """Presses a key: what it writes, and its place on the keyboard."""
    for kind in ('keyDown', 'keyUp'):
      self.call('Input.dispatchKeyEvent', type=kind, key=key, code=code)

  def choose_files(self, selector: str, *paths: pathlib.Path) -> None:
    """Gives files to an input, as the dialog of the system does."""
    root = self.call('DOM.getDocument')['root']['nodeId']
    node = self.call('DOM.querySelector', nodeId=root, selector=selector)['nodeId']
    self.call('DOM.setFileInputFiles', files=[str(path) for path in paths], nodeId=node)

  def drop(self, selector: str, *paths: pathlib.Path) -> None:
    """Drags files or folders from the system's file manager onto an element."""
    x, y = self.evaluate(
      f'(() => {{ const b = document.querySelector({json.dumps(selector)}).getBoundingClientRect();'
      'return [b.x + b.width / 2, b.y + b.height / 2]; })()'
    )
    data = {'items': [], 'files': [str(path) for path in paths], 'dragOperationsMask': 1}
    for kind in ('dragEnter', 'dragOver', 'drop'):
      self.call('Input.dispatchDragEvent', type=kind, x=x, y=y, data=data)

  def screenshot(self, path: pathlib.Path, whole: bool = False) -> None:
    """Saves what is seen, or the whole page, as PNG."""
    shot = self.call('Page.captureScreenshot', format='png', captureBeyondViewport=whole)
    path.write_bytes(base64.b64decode(shot['data']))


@contextlib.contextmanager
def browser() -> Iterator[Callable[[], Page]]:
  """What opens pages, each as another person's browser."""
  websocket = pytest.importorskip('websocket', reason='websocket-client is not installed')
  program = shutil.which('chromium') or shutil.which('google-chrome')
  if not program:
    pytest.skip('Chromium is not installed')
  with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
    flags = [f'--{name}' for name in _QUIET]
    process = subprocess.Popen(
      [program, *flags, f'--user-data-dir={profile}', 'about:blank'],
      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    try:
      address = next(
        (found[1] for line in process.stderr if (found := re.search(r'listening on (ws://\S+)', line))), ''
      )
      assert address, 'Chromium did not start'
      connections = []

      def opened() -> Page:
        connection = websocket.create_connection(address, timeout=_PATIENCE, suppress_origin=True)
        connections.append(connection)
        numbers = itertools.count(1)
        whole = Page(connection, '', numbers)
        context = whole.call('Target.createBrowserContext')['browserContextId']
        target = whole.call('Target.createTarget', url='about:blank', browserContextId=context)['targetId']
        session = whole.call('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
        return Page(connection, session, numbers)

      yield opened
      for connection in connections:
        connection.close()
    finally:
      process.terminate()
      process.wait(10)
      process.stderr.close()
