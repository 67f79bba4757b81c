"""Headless Chromium by its own DevTools protocol, for tests where there is no chromedriver.

`Driver` has those of Selenium's methods that the tests use, under the same names. The browser is started once a
process; each driver has a context of its own in it, which keeps nothing of those before.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import pathlib
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

SECONDS = 60
# Selenium's codes of keys that write no letter.
_KEYS = {
  '\ue003': ('Backspace', 8), '\ue004': ('Tab', 9), '\ue006': ('Enter', 13), '\ue007': ('Enter', 13),
  '\ue00c': ('Escape', 27), '\ue012': ('ArrowLeft', 37), '\ue013': ('ArrowUp', 38), '\ue014': ('ArrowRight', 39),
  '\ue015': ('ArrowDown', 40),
}  # fmt: skip
_BY = {'id': '#{}', 'tag name': '{}', 'css selector': '{}'}


@contextlib.contextmanager
def started(browser: str, options: Sequence[str]) -> Iterator[Driver]:
  """An empty page in a context of its own."""
  import websocket

  port, path = _address(browser, tuple(options))
  whole = websocket.create_connection(f'ws://127.0.0.1:{port}{path}', SECONDS, suppress_origin=True)
  with contextlib.closing(whole):
    own = {'browserContextId': _answer(whole, 'Target.createBrowserContext', {})['browserContextId']}
    page = _answer(whole, 'Target.createTarget', {'url': 'about:blank', **own})['targetId']
    socket = websocket.create_connection(
      f'ws://127.0.0.1:{port}/devtools/page/{page}', SECONDS, suppress_origin=True
    )
    with contextlib.closing(socket):
      yield Driver(socket)
    _answer(whole, 'Target.disposeBrowserContext', own)


def _answer(socket: Any, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
  """The result of a command to the browser itself."""
  socket.send(json.dumps({'id': 1, 'method': method, 'params': parameters}))
  while (message := json.loads(socket.recv())).get('id') != 1:
    pass
  if 'error' in message:
    raise RuntimeError(f'{method}: {message["error"]["message"]}')
  return message['result']


@functools.cache
def _address(browser: str, options: tuple[str, ...]) -> tuple[str, str]:
  """Port and path of the browser, which runs until this process ends."""
  folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
  command = [browser, *options, f'--user-data-dir={folder.name}', '--remote-debugging-port=0', 'about:blank']
  process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

  def end() -> None:
    process.kill()
    process.wait()
    folder.cleanup()

  atexit.register(end)
  return _port(pathlib.Path(folder.name, 'DevToolsActivePort'), process)


def _port(file: pathlib.Path, process: subprocess.Popen[bytes]) -> tuple[str, str]:
  for _ in range(10 * SECONDS):
    if file.exists() and '\n' in (text := file.read_text()):
      port, path = text.split()
      return port, path
    if process.poll() is not None:
      raise RuntimeError(f'Chromium ended with {process.returncode}')
    time.sleep(0.1)
  raise RuntimeError('Chromium does not start')


class Driver:
  """The page that is open."""

  def __init__(self, socket: Any):
    self._socket, self._number = socket, 0
    self._events: list[dict[str, Any]] = []
    for domain in ('Page', 'Runtime', 'Network', 'Log'):
      self.execute_cdp_cmd(f'{domain}.enable', {})
    # Several windows are open at once; each behaves as the one in front.
    self.execute_cdp_cmd('Emulation.setFocusEmulationEnabled', {'enabled': True})

  def execute_cdp_cmd(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
    self._number += 1
    self._socket.send(json.dumps({'id': self._number, 'method': method, 'params': parameters}))
    while True:
      message = json.loads(self._socket.recv())
      if message.get('id') == self._number:
        if 'error' in message:
          raise RuntimeError(f'{method}: {message["error"]["message"]}')
        return message['result']
      self._events.append(message)

  def get(self, address: str) -> None:
    self._load('Page.navigate', {'url': address})

  def refresh(self) -> None:
    self._load('Page.reload', {})

  def _load(self, method: str, parameters: dict[str, Any]) -> None:
    before = len(self._events)
    self.execute_cdp_cmd(method, parameters)
    while not any(each['method'] == 'Page.loadEventFired' for each in self._events[before:]):
      self._events.append(json.loads(self._socket.recv()))

  def execute_script(self, code: str, *arguments: Any) -> Any:
    return self._call(f'function() {{ return (function() {{ {code} }}).apply(null, arguments) }}', arguments)

  def execute_async_script(self, code: str, *arguments: Any) -> Any:
    inner = f'(function() {{ {code} }}).apply(null, [...outer, done])'
    return self._call(
      f'function() {{ const outer = arguments; return new Promise(done => {{ {inner} }}) }}', arguments
    )

  def _call(self, function: str, arguments: Sequence[Any], on: str = '') -> Any:
    """The result of a function of JavaScript: JSON, an element, or a list of either."""
    on = on or self.execute_cdp_cmd('Runtime.evaluate', {'expression': 'window'})['result']['objectId']
    given = [{'objectId': each.id} if isinstance(each, Element) else {'value': each} for each in arguments]
    call = {'functionDeclaration': function, 'objectId': on, 'arguments': given, 'awaitPromise': True}
    answer = self.execute_cdp_cmd('Runtime.callFunctionOn', {**call, 'userGesture': True})
    if 'exceptionDetails' in answer:
      raise RuntimeError(json.dumps(answer['exceptionDetails'])[:500])
    result = answer['result']
    if 'objectId' not in result:
      return result.get('value')
    if result.get('subtype') == 'node':
      return Element(self, result['objectId'])
    whole = {'functionDeclaration': 'function() { return this }', 'objectId': result['objectId']}
    return self.execute_cdp_cmd('Runtime.callFunctionOn', {**whole, 'returnByValue': True})['result']['value']

  def find_elements(self, by: str, what: str) -> list[Element]:
    selector = _BY[by].format(what)
    number = self.execute_script('return document.querySelectorAll(arguments[0]).length', selector)
    code = 'return document.querySelectorAll(arguments[0])[arguments[1]]'
    return [self.execute_script(code, selector, i) for i in range(number)]

  def find_element(self, by: str, what: str) -> Element:
    found = self.execute_script('return document.querySelector(arguments[0])', _BY[by].format(what))
    if found is None:
      raise RuntimeError(f'no element {what}')
    return found

  @property
  def title(self) -> str:
    return self.execute_script('return document.title')

  @property
  def switch_to(self) -> Driver:
    return self

  @property
  def active_element(self) -> Element:
    return self.execute_script('return document.activeElement')

  def get_log(self, kind: str) -> list[dict[str, str]]:
    """What the console was told since the last time, or all events."""
    self.execute_script('return 1')  # events come before its answer
    if kind == 'performance':
      return [{'message': json.dumps({'message': each})} for each in self._events]
    told = ('Log.entryAdded', 'Runtime.consoleAPICalled', 'Runtime.exceptionThrown')
    found = [each for each in self._events if each['method'] in told]
    self._events = [each for each in self._events if each['method'] not in told]
    return [{'message': json.dumps(each['params'])} for each in found]


class Element:
  """An element of the page."""

  def __init__(self, driver: Driver, id: str):
    self.id, self._driver = id, driver

  def _of(self, code: str, *arguments: Any) -> Any:
    return self._driver._call(f'function() {{ {code} }}', arguments, self.id)

  @property
  def text(self) -> str:
    return self._of('return this.innerText').strip()

  def get_attribute(self, name: str) -> Any:
    code = 'const n = arguments[0]; return typeof this[n] === "string" ? this[n] : this.getAttribute(n)'
    return self._of(code, name)

  def is_displayed(self) -> bool:
    return self._of('return this.checkVisibility({visibilityProperty: true, opacityProperty: true})')

  def is_enabled(self) -> bool:
    return self._of('return !this.disabled')

  def find_element(self, by: str, what: str) -> Element:
    return self._of('return this.querySelector(arguments[0])', _BY[by].format(what))

  def click(self) -> None:
    code = """
      if (this.tagName === 'OPTION') {
        const list = this.closest('select');
        list.value = this.value;
        for (const kind of ['input', 'change']) list.dispatchEvent(new Event(kind, {bubbles: true}));
        return null;
      }
      this.scrollIntoView({block: 'nearest', behavior: 'instant'});
      const box = this.getBoundingClientRect();
      return [box.x + box.width / 2, box.y + box.height / 2];
    """
    place = self._of(code)
    for kind in ('mousePressed', 'mouseReleased') if place else ():
      event = {'type': kind, 'x': place[0], 'y': place[1], 'button': 'left', 'clickCount': 1}
      self._driver.execute_cdp_cmd('Input.dispatchMouseEvent', event)

  def send_keys(self, *texts: str) -> None:
    self._of('if (document.activeElement !== this) this.focus()')
    for letter in ''.join(texts):
      key, code = _KEYS.get(letter, (letter, ord(letter.upper())))
      written = {'Enter': '\r'}.get(key, '' if letter in _KEYS else letter)
      event = {'key': key, 'windowsVirtualKeyCode': code, 'text': written}
      self._driver.execute_cdp_cmd('Input.dispatchKeyEvent', {'type': 'keyDown', **event})
      self._driver.execute_cdp_cmd('Input.dispatchKeyEvent', {'type': 'keyUp', **event, 'text': ''})
