"""The command serve from its start to Ctrl-C, with two people's browsers that really click, drop and press keys."""

from __future__ import annotations

import csv
import os
import pathlib
import re
import signal
import time

import devtools
import page_server
import pytest
import starting
from export import trained

NUM = 50
FIRST_CELL = '[...document.querySelectorAll(".item")].length > 0'


@pytest.fixture(scope='module')
def place(tmp_path_factory):
  return tmp_path_factory.mktemp('clicks')


@pytest.fixture(scope='module')
def started(place):
  """The process of `serve`, its address and the folder of its temporary files."""
  pytest.importorskip('starlette', reason='Starlette is not installed')
  pytest.importorskip('uvicorn', reason='Uvicorn is not installed')
  trained.write_run(place / 'run', page_server.loaded())
  (place / 'tmp').mkdir()
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('TMPDIR', str(place / 'tmp'))
    process = starting.start('serve', f'--workdir={place / "run"}', '--port=0')
  lines = []
  assert process.stdout is not None
  for line in process.stdout:
    lines.append(line)
    if found := re.search(r'http://127\.0\.0\.1:\d+/', line):
      yield process, found[0], place / 'tmp'
      break
  else:
    raise AssertionError(f'no address: {lines} {process.stderr and process.stderr.read()}')
  if process.poll() is None:
    process.kill()
  process.communicate()


@pytest.fixture(scope='module')
def pages():
  with devtools.browser() as opened:
    yield opened


def write(folder: pathlib.Path, num: int) -> list[pathlib.Path]:
  folder.mkdir()
  paths = [folder / f'{i}.png' for i in range(num)]
  for i, path in enumerate(paths):
    path.write_bytes(page_server.cell_png(i))
  return paths


def problems(page, width):
  """Errors in the page, requests to elsewhere, and a page that is wider than the screen."""
  found = [message for message in page.messages if '422' not in message]
  found += [
    address for address in page.asked if not address.startswith(('http://127.0.0.1:', 'data:', 'blob:'))
  ]
  wide = page.evaluate('document.documentElement.scrollWidth')
  return found + ([f'{wide} pixels wide on a screen of {width}'] if wide > width else [])


def test_a_field_is_dropped_looked_at_labelled_and_exported_while_another_person_sees_nothing(
  started, pages, place
):
  _, address, _ = started
  (place / 'field.png').write_bytes(page_server.field_png())
  (place / 'notes.png').write_text('no image')
  page, other = pages(), pages()
  page.open(address, 1280)
  other.open(address, 400)
  assert 'Not a medical device' in page.text('main')
  assert page.num('#results') == 0
  page.drop('#drop', place / 'field.png', place / 'notes.png')
  page.wait(FIRST_CELL)
  page.wait(
    'document.querySelector("#problems").innerText.includes("notes.png: is not an image of a known kind")'
  )
  assert page.num('#frame .box') == 2
  assert page.num('.item') == 2
  assert re.search(r'(EOSINOPHIL|LYMPHOCYTE|MONOCYTE|NEUTROPHIL)\??\s\d+\s%', page.text('#frame .box'))
  # A click on a box shows the cell and where the network looked.
  page.click('#frame .box', 1)
  page.wait(
    '[...document.querySelectorAll("#chosen-pictures .heat")].some(e => e.complete && e.naturalWidth > 0)'
  )
  assert 'cell 2' in page.text('#chosen')
  page.press('2', 'Digit2')
  page.wait('document.querySelector("#status").innerText.includes("1 labelled by you")')
  assert page.num('#frame .box.yours') == 1
  assert 'LYMPHOCYTE' in page.text('#frame .box.yours')
  assert page.text('#count-rows tr:nth-child(2) td') == '1'
  page.click('#frame .box', 0)
  page.click('[data-class="0"]')
  page.wait('document.querySelector("#status").innerText.includes("2 labelled by you")')
  # The next cell of the photograph follows by itself, and its label is taken back.
  page.press('Backspace', 'Backspace')
  page.wait('document.querySelector("#status").innerText.includes("1 labelled by you")')
  page.press('h', 'KeyH')
  page.wait('document.querySelectorAll(".heated .item .heat").length === 2')
  page.call('Page.setDownloadBehavior', behavior='allow', downloadPath=str(place))
  page.click('[data-export="labels.csv"]')
  for _ in range(100):
    if (place / 'corrections.csv').exists():
      break
    time.sleep(0.1)
  rows = list(csv.DictReader((place / 'corrections.csv').read_text().splitlines()))
  assert [(row['file'], row['cell'], row['human_label']) for row in rows] == [
    ('field.png', '1', 'EOSINOPHIL')
  ]
  page.call('Page.reload')
  page.wait(FIRST_CELL)
  assert '1 labelled by you' in page.text('#status'), 'labels outlast a reload'
  # Before the first click Enter agrees too, with the cell that has no label yet.
  assert 'you:' not in page.text('#chosen')
  page.press('Enter', 'Enter')
  page.wait('document.querySelector("#status").innerText.includes("2 labelled by you")')
  page.click('#dismiss')
  assert page.num('#problems') == 0
  other.evaluate('location.reload()')
  other.wait('document.readyState === "complete"')
  assert other.num('#results') == 0
  assert problems(page, 1280) == []
  assert problems(other, 400) == []
  page.click('#delete')
  page.wait('document.querySelector("#results")?.hidden')


def test_a_folder_of_fifty_photographs_stays_fluent_on_a_small_screen(started, pages, place):
  _, address, _ = started
  write(place / 'slides', NUM)
  (place / 'slides' / '.DS_Store').write_text('x')
  page = pages()
  page.open(address, 400)
  # The longest time in which the page did not react to anything.
  page.evaluate(
    'window.longest = 0; let last = performance.now(); setInterval(() => { const now = performance.now();'
    'window.longest = Math.max(window.longest, now - last); last = now; }, 20); 1'
  )
  page.drop('#drop', place / 'slides')
  page.wait(FIRST_CELL, 60)
  page.click('.item')
  page.press('1', 'Digit1')
  page.wait('document.querySelector("#status").innerText.includes("1 labelled by you")')
  page.wait(
    f'document.querySelector("#progress-text").innerText.startsWith("{NUM} photographs analysed")', 90
  )
  assert 'passed over: 1' in page.text('#progress-text')
  assert page.num('.item') == NUM
  assert page.evaluate('window.longest') < 1000
  loaded = page.evaluate('[...document.querySelectorAll("#strip img")].filter(e => e.complete).length')
  assert loaded < NUM, 'pictures that are not seen are not loaded'
  confidence = page.evaluate(
    '[...document.querySelectorAll(".item strong")].map(e => Number(/(\\d+)\\s%/.exec(e.textContent)[1]))'
  )
  assert confidence == sorted(confidence)
  # From the least certain one on, each label leads to the next cell; the one of before may be among these four.
  page.click('.item')
  for _ in range(4):
    page.click('[data-class="1"]')
  page.wait('[4, 5].includes(Number(/(\\d+) labelled/.exec(document.querySelector("#status").innerText)[1]))')
  assert page.num('[data-export="labels.csv"]:disabled') == 0
  assert problems(page, 400) == []


@pytest.mark.parametrize('width', [390, 320])
def test_long_captions_stay_within_a_photograph_on_a_small_screen(started, pages, place, width):
  _, address, _ = started
  (place / 'field.png').write_bytes(page_server.field_png())
  page = pages()
  page.open(address, width)
  page.drop('#drop', place / 'field.png')
  page.wait(FIRST_CELL)
  words = 'UNCLASSIFIED? 56 %, cut by the edge, touching, out of focus'
  for where in ('', 'inside'):
    outside = page.evaluate(
      '(() => { const wrap = document.querySelector(".photograph-wrap").getBoundingClientRect();'
      'return [...document.querySelectorAll("#frame .caption")].flatMap(caption => {'
      f'caption.textContent = "{words}"; caption.classList.toggle("inside", "{where}" !== "");'
      'const {left, right} = caption.getBoundingClientRect();'
      'return left < wrap.left - 5 || right > wrap.right + 5 ? [[left, right]] : []; }); })()'
    )
    assert outside == []
    assert problems(page, width) == []
  page.click('#delete')
  page.wait('document.querySelector("#results")?.hidden')


def test_ctrl_c_ends_it_and_deletes_what_was_uploaded_but_an_open_page_still_exports_its_labels(
  started, pages, tmp_path
):
  process, address, folder = started
  if os.name == 'nt':
    pytest.skip('Windows has no such signal')
  assert [path for path in folder.glob('bloodcell_serve_*/*/*') if path.suffix == '.jpg'], (
    'something was uploaded'
  )
  page = pages()
  page.open(address, 1280)
  (tmp_path / 'one.png').write_bytes(page_server.cell_png(0))
  page.drop('#drop', tmp_path / 'one.png')
  page.wait(FIRST_CELL)
  page.click('.item')
  page.press('2', 'Digit2')
  page.wait('document.querySelector("#status").innerText.includes("1 labelled by you")')
  page.wait('performance.getEntriesByName(new URL("/export/labels.csv", location).href).length === 1')
  # A third person is sending a photograph at that moment.
  browser = page_server.Browser(int(address.rstrip('/').rpartition(':')[2]))
  with browser.half_sent('late.png'):
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
  out, err = process.communicate(timeout=20)
  assert process.returncode == 0, err
  assert 'Traceback' not in out + err
  assert 'what was uploaded is deleted' in out
  assert list(folder.glob('bloodcell_serve_*')) == []
  page.call('Page.setDownloadBehavior', behavior='allow', downloadPath=str(tmp_path))
  page.press('3', 'Digit3')
  page.wait('document.querySelector("#problems").innerText.includes("still saves yours from this page")')
  page.click('[data-export="labels.csv"]')
  for _ in range(100):
    if (tmp_path / 'corrections.csv').exists():
      break
    time.sleep(0.1)
  (row,) = csv.DictReader((tmp_path / 'corrections.csv').read_text().splitlines())
  assert (row['file'], row['human_label']) == ('one.png', 'LYMPHOCYTE')
