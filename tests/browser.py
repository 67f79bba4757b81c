"""A page in headless Chromium, for tests; they skip where Chromium is missing."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import chromium
import pytest

_QUIET = (
  'headless=new', 'no-sandbox', 'disable-gpu', 'no-first-run', 'disable-background-networking',
  'disable-component-update', 'disable-sync', 'disable-dev-shm-usage',
)  # fmt: skip


@contextlib.contextmanager
def opened(page: pathlib.Path, width: int) -> Iterator[Any]:
  """A driver, with the methods of Selenium's, that shows the page, so many pixels wide."""
  browser = shutil.which('chromium') or shutil.which('google-chrome')
  if not browser:
    pytest.skip('Chromium is not installed')
  with _driver(browser) as driver:
    size = {'width': width, 'height': 900, 'deviceScaleFactor': 1, 'mobile': width < 500}
    driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', size)
    driver.get(page.resolve().as_uri())
    yield driver


@contextlib.contextmanager
def _driver(browser: str) -> Iterator[Any]:
  """A driver of Selenium where there is chromedriver, else one of `chromium`."""
  driver_path = shutil.which('chromedriver')
  options = [f'--{argument}' for argument in _QUIET]
  if not driver_path:
    pytest.importorskip('websocket', reason='websocket-client, which comes with Selenium, is not installed')
    with chromium.started(browser, options) as driver:
      yield driver
    return
  webdriver = pytest.importorskip('selenium.webdriver', reason='Selenium is not installed')
  from selenium.webdriver.chrome import service

  chrome = webdriver.ChromeOptions()
  chrome.binary_location = browser
  for option in options:
    chrome.add_argument(option)
  chrome.set_capability('goog:loggingPrefs', {'browser': 'ALL', 'performance': 'ALL'})
  driver = webdriver.Chrome(options=chrome, service=service.Service(driver_path))
  try:
    yield driver
  finally:
    driver.quit()


def click(driver: Any, element: Any) -> None:
  """Clicks what a bar along an edge may cover, as a person does: scrolls to it first."""
  driver.execute_script('arguments[0].scrollIntoView({block: "center"})', element)
  element.click()


def problems(driver: Any, width: int) -> list[str]:
  """Console messages, requests to elsewhere, and a page that is wider than the screen."""
  found = [entry['message'] for entry in driver.get_log('browser')]
  for entry in driver.get_log('performance'):
    message = json.loads(entry['message'])['message']
    if message['method'] == 'Network.requestWillBeSent':
      address = message['params']['request']['url']
      if not address.startswith(('data:', 'file:')):
        found.append(f'asks for {address[:80]}')
  wide = driver.execute_script('return document.documentElement.scrollWidth')
  if wide > width:
    found.append(f'{wide} pixels wide on a screen of {width}')
  return found
