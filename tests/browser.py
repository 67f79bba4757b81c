"""A page in headless Chromium, for tests; they skip where Chromium or Selenium is missing."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

_QUIET = (
  'headless=new', 'no-sandbox', 'disable-gpu', 'no-first-run', 'disable-background-networking',
  'disable-component-update', 'disable-sync', 'disable-dev-shm-usage',
)  # fmt: skip


@contextlib.contextmanager
def opened(page: pathlib.Path, width: int) -> Iterator[Any]:
  """A Selenium driver that shows the page, so many pixels wide."""
  webdriver = pytest.importorskip('selenium.webdriver', reason='Selenium is not installed')
  from selenium.webdriver.chrome import service

  browser = shutil.which('chromium') or shutil.which('google-chrome')
  driver_path = shutil.which('chromedriver')
  if not (browser and driver_path):
    pytest.skip('Chromium and chromedriver are not installed')
  options = webdriver.ChromeOptions()
  options.binary_location = browser
  for argument in _QUIET:
    options.add_argument(f'--{argument}')
  options.set_capability('goog:loggingPrefs', {'browser': 'ALL', 'performance': 'ALL'})
  driver = webdriver.Chrome(options=options, service=service.Service(driver_path))
  try:
    size = {'width': width, 'height': 900, 'deviceScaleFactor': 1, 'mobile': width < 500}
    driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', size)
    driver.get(page.resolve().as_uri())
    yield driver
  finally:
    driver.quit()


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
