"""Cells that overlapping photographs show again: the page marks them and counts each once, as `predict` does."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import page_server
from drawn_field import draw

SLIDE = draw(((300, 240), (520, 380)), size=(900, 600), seed=1)
SHOWN_AGAIN = 'in overlapping photographs of one field'


def view(left: int, top: int) -> bytes:
  """A photograph, 640x480, of a part of the slide."""
  return page_server.png(SLIDE[top : top + 480, left : left + 640])


def elsewhere() -> bytes:
  """A photograph of another field, of two cells as well."""
  return page_server.png(draw(((210, 150), (430, 330)), seed=5))


def counted_in(state: Any) -> dict[str, list[str]]:
  return {one['file']: [each['counted_in'] for each in one['cells']] for one in state['photographs']}


def test_a_cell_of_overlapping_photographs_is_marked_and_counted_once(server):
  browser = server.browser()
  for name, data in (('a.png', view(0, 0)), ('b.png', view(130, 100)), ('copy of b.png', view(130, 100))):
    assert browser.upload(name, data)[0] == 200
  # Negative control: another field of two cells is no part of this one.
  assert browser.upload('c.png', elsewhere())[0] == 200
  state = browser.analysed()
  again = ['a.png', 'a.png']
  assert counted_in(state) == {'a.png': ['', ''], 'b.png': again, 'copy of b.png': again, 'c.png': ['', '']}
  assert (state['count']['num_cells'], state['count']['num_repeats']) == (4, 2)
  (line,) = (line for line in state['count']['warnings'] if SHOWN_AGAIN in line)
  assert line.startswith('Not counted: 2 repeats of cells in overlapping photographs')
  assert counted_in(browser.state()) == counted_in(state), 'a page that is loaded again shows the same'
  predictions = csv.DictReader(io.StringIO(browser.ask('GET', '/export/predictions.csv')[2].decode()))
  names = {(row['file'], row['cell']): row['repeat_of'] for row in predictions}
  assert (names['a.png', '1'], names['b.png', '1'], names['c.png', '1']) == ('', 'a.png#1', '')
  assert b'not counted: shown again,2' in browser.ask('GET', '/export/differential.csv')[2]


def test_the_label_of_the_view_that_is_counted_is_counted(server):
  browser = server.browser()
  for name, data in (('a.png', view(0, 0)), ('b.png', view(130, 100))):
    browser.upload(name, data)
  first, second = browser.analysed()['photographs']
  shares = []
  for photograph, label in ((first, 'MONOCYTE'), (second, 'EOSINOPHIL')):
    cells = [each['id'] for each in photograph['cells']]
    _, state = browser.post('/labels', {'cells': cells, 'label': label, 'since': 0})
    shares.append({name: one['count'] for name, one in state['count']['classes'].items() if one['count']})
  assert shares == [{'MONOCYTE': 2}] * 2


def test_a_photograph_that_comes_later_changes_what_is_shown_of_an_earlier_one(server):
  browser = server.browser()
  # The edge cuts one of the two cells.
  browser.upload('cut.png', page_server.png(SLIDE[:480, 275:900]))
  before = browser.analysed()
  (marks,) = ([each['marks'] for each in one['cells']] for one in before['photographs'])
  assert ['cut by the edge' in each for each in marks] == [True, False]
  assert counted_in(before) == {'cut.png': ['', '']}
  assert before['count']['num_cells'] == 1
  browser.upload('whole.png', view(130, 100))
  browser.analysed()
  after = json.loads(browser.ask('GET', f'/state?since={before["version"]}')[2])
  assert counted_in(after) == {'cut.png': ['whole.png', ''], 'whole.png': ['', 'cut.png']}
  assert (after['count']['num_cells'], after['count']['num_repeats']) == (2, 2)
  # Negative control: what changes nothing of them is told alone.
  browser.upload('c.png', elsewhere())
  browser.analysed()
  assert list(counted_in(json.loads(browser.ask('GET', f'/state?since={after["version"]}')[2]))) == ['c.png']
