"""The page asked as a browser does: cells, labels, exports, limits, the command adapt."""

from __future__ import annotations

import csv
import io
import json
import sys
import time
import zipfile
from typing import Any

import numpy as np
import page_server
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.data.images import image_files
from bloodcell_jax.data.sources import label_csv


def test_a_photograph_becomes_cells_with_classes_and_pictures(server):
  browser = server.browser()
  assert browser.upload('field.png', page_server.field_png()) == (200, {'is_new': True})
  photograph = page_server.only(browser.analysed())
  assert (photograph['file'], photograph['size'], photograph['state']) == ('field.png', [640, 480], 'done')
  centres = sorted(
    ((left + right) / 2, (top + bottom) / 2)
    for left, top, right, bottom in (each['box'] for each in photograph['cells'])
  )
  assert np.allclose(centres, [(160, 140), (470, 330)], atol=15)
  for each in photograph['cells']:
    left, top, right, bottom = each['frame']
    assert left <= each['box'][0] < each['box'][2] <= right
    assert right - left == bottom - top
    assert 0.25 <= each['confidence'] <= 1
    for path, kind in ((f'/cells/{each["id"]}.jpg', 'jpeg'), (f'/cells/{each["id"]}-heat.png', 'png')):
      status, headers, data = browser.ask('GET', path)
      assert (status, headers['content-type']) == (200, f'image/{kind}')
      assert data
  assert browser.ask('GET', f'/cells/{photograph["id"]}/3.jpg')[0] == 404
  for size in ('large', 'small'):
    assert browser.ask('GET', f'/photographs/{photograph["id"]}/{size}.jpg')[0] == 200
  assert browser.ask('GET', f'/photographs/{photograph["id"]}/whole.jpg')[0] == 404


def test_a_photograph_without_a_cell_says_so_and_is_no_error(server):
  browser = server.browser()
  browser.upload('pale.png', page_server.png(np.full((480, 640, 3), 230, np.uint8)))
  photograph = page_server.only(browser.analysed())
  assert (photograph['state'], photograph['reason']) == ('failed', 'no white cell was found')
  assert browser.state()['count'] is None


def test_labels_change_the_count_and_come_out_as_the_list_that_a_training_takes(server, tmp_path):
  browser = server.browser()
  for i in range(3):
    browser.upload(f'slides/monday/{i}.png', page_server.cell_png(i))
  cells = [each['cells'][0] for each in browser.analysed()['photographs']]
  name = 'MONOCYTE'
  status, state = browser.post(
    '/labels', {'cells': [each['id'] for each in cells[:2]], 'label': name, 'since': 0}
  )
  assert status == 200
  assert state['labels'][name] == 2
  labelled = [each['cells'][0]['label'] for each in state['photographs']]
  assert labelled.count(name) == 2
  before = sum(each['predicted'] == name for each in cells[2:])
  assert state['count']['classes'][name]['count'] == 2 + before
  status, headers, data = browser.ask('GET', '/export/labels.csv')
  assert 'corrections.csv' in headers['content-disposition']
  rows = list(csv.DictReader(io.StringIO(data.decode())))
  # As tests/inference/review_page_test.py has them.
  assert list(rows[0]) == ['file', 'sha256_16', 'machine_label', 'human_label', 'confidence', 'model', 'time']
  assert [row['file'] for row in rows] == ['monday/0.png', 'monday/1.png']
  (tmp_path / 'monday').mkdir()
  for i in range(3):
    (tmp_path / 'monday' / f'{i}.png').write_bytes(page_server.cell_png(i))
  (tmp_path / 'corrections.csv').write_bytes(data)
  read = label_csv.read(str(tmp_path / 'corrections.csv'), str(tmp_path))
  assert [(each.file, each.label) for each in read] == [('monday/0.png', name), ('monday/1.png', name)]
  for i, each in enumerate(read):
    label_csv.check_digest(each, image_files.sha256_16(page_server.cell_png(i)))
  with pytest.raises(types.UserError, match='has changed'):
    label_csv.check_digest(read[0], image_files.sha256_16(page_server.cell_png(1)))
  browser.post('/labels', {'cells': [cells[0]['id']], 'label': None, 'since': 0})
  assert browser.state()['labels'][name] == 1
  assert browser.post('/labels', {'cells': [cells[0]['id']], 'label': 'BLAST', 'since': 0})[0] == 422
  assert browser.post('/labels', {'cells': ['nowhere/1'], 'label': name, 'since': 0})[0] == 422


def test_labelled_cells_of_a_field_come_out_as_images_that_a_training_takes(server, tmp_path):
  browser = server.browser()
  browser.upload('field.png', page_server.field_png())
  browser.upload('one.png', page_server.cell_png(0))
  cells = [each for photograph in browser.analysed()['photographs'] for each in photograph['cells']]
  assert browser.ask('GET', '/export/labelled-cells.zip')[0] == 422
  for each, name in zip(cells, ('MONOCYTE', 'LYMPHOCYTE', 'NEUTROPHIL'), strict=True):
    browser.post('/labels', {'cells': [each['id']], 'label': name, 'since': 0})
  status, _, data = browser.ask('GET', '/export/labelled-cells.zip')
  assert status == 200
  with zipfile.ZipFile(io.BytesIO(data)) as archive:
    for entry in archive.namelist():
      target = tmp_path / entry
      target.parent.mkdir(parents=True, exist_ok=True)
      target.write_bytes(archive.read(entry))
  folder = tmp_path / 'labelled-cells'
  read = label_csv.read(str(folder / 'labels.csv'), str(folder))
  assert [each.label for each in read] == ['MONOCYTE', 'LYMPHOCYTE', 'NEUTROPHIL']
  for each in read:
    label_csv.check_digest(each, image_files.sha256_16((folder / each.file).read_bytes()))
  assert (folder / read[2].file).read_bytes() == page_server.cell_png(0), 'a single cell is copied as it is'
  groups = [row['group'] for row in csv.DictReader((folder / 'groups.csv').read_text().splitlines())]
  assert groups[0] == groups[1] != groups[2]
  predictions = list(csv.DictReader(io.StringIO(browser.ask('GET', '/export/predictions.csv')[2].decode())))
  assert [row['left'] != '' for row in predictions] == [True, True, False]
  assert b'MONOCYTE' in browser.ask('GET', '/export/differential.csv')[2]


@pytest.mark.parametrize(
  ('name', 'data', 'reason'),
  [
    ('notes.png', b'no image', 'notes.png: is not an image of a known kind'),
    ('empty.png', b'', 'empty.png: is empty'),
    ('cut.png', page_server.cell_png(0)[:900], 'cut.png: is cut short or damaged'),
    ('a.docx', b'x', 'a.docx: .docx: not one of'),
    ('a.zip', b'x', 'a.zip: is an archive; unpack it'),
    ('a\nb.png', b'x', 'a\\nb.png: the name has characters'),
    ('wide.png', page_server.png(np.zeros((1001, 1000, 3), np.uint8)), 'wide.png: has 1000x1001 pixels, more than'),
    ('big.png', b'x' * (10**6 + 1), 'big.png: has 1.0 MB; the most is 1 MB'),
  ],
)  # fmt: skip
def test_a_bad_file_is_one_sentence_and_leaves_nothing(server, name, data, reason):
  browser = server.browser()
  before = set(server.files())
  status, answer = browser.upload(name, data)
  assert status == 422
  assert answer['problem'].startswith(reason)
  assert '\n' not in answer['problem']
  assert set(server.files()) == before
  assert browser.state()['problems'] == [answer['problem']]
  assert browser.upload('good.png', page_server.cell_png(0))[0] == 200
  browser.analysed()
  assert set(server.files()) != before, 'the check itself must see a file'


def test_a_session_takes_no_more_than_its_limits(server):
  browser = server.browser()
  for i in range(5):
    assert browser.upload(f'{i}.png', page_server.cell_png(i))[0] == 200
  status, answer = browser.upload('6.png', page_server.cell_png(6))
  assert (status, answer['problem']) == (422, '6.png: is one file too many; the most is 5')
  assert server.browser().upload('6.png', page_server.cell_png(6))[0] == 200, (
    'another person has limits of their own'
  )
  other = server.browser()
  large = page_server.png(np.random.default_rng(0).integers(0, 255, (550, 550, 3)).astype(np.uint8))
  statuses = [other.upload(f'{i}.png', large + bytes([i]))[0] for i in range(3)]
  assert statuses == [200, 200, 422]


def test_the_same_photograph_is_taken_once_and_another_of_its_name_is_refused(server):
  browser = server.browser()
  assert browser.upload('a.png', page_server.cell_png(0))[1] == {'is_new': True}
  assert browser.upload('a.png', page_server.cell_png(0))[1] == {'is_new': False}
  status, answer = browser.upload('a.png', page_server.cell_png(1))
  assert status == 422
  assert 'another photograph of this name' in answer['problem']
  assert browser.upload('b/a.png', page_server.cell_png(1))[0] == 200
  assert browser.state()['num'] == 2


def test_names_are_judged_before_their_files_are_sent(server):
  files = [['d/.DS_Store', 9], ['d/Thumbs.db', 9], ['d/a.jpg', 9], ['d/b.jpg', 10**7], ['d/c.txt', 9]]
  answers = server.browser().post('/names', {'files': files})[1]['answers']
  assert answers[:3] == [None, None, '']
  assert answers[3].startswith('d/b.jpg: has 10.0 MB')
  assert answers[4].startswith('d/c.txt: .txt: not one of')
  for wrong in ([], {}, {'files': [1]}, {'files': [['a.jpg', 'x']]}, None):
    assert server.browser().post('/names', wrong) == (422, {'problem': 'load the page again'})


FAKE = """
import pathlib, sys
print(*sys.argv[1:])
folder = next(a for a in sys.argv if a.startswith('--config.data.dir=')).partition('=')[2]
print(sorted(path.name for path in pathlib.Path(folder).iterdir()))
sys.exit(3)
"""


def ended(browser: page_server.Browser) -> Any:
  """What the page shows of the training once it has ended."""
  end = time.monotonic() + 20
  while (state := json.loads(browser.ask('GET', '/adapt')[2]))['is_running']:
    assert time.monotonic() < end
    time.sleep(0.1)
  return state


def test_the_command_adapt_gets_the_labelled_cells_and_its_lines_are_shown_to_its_owner(tmp_path):
  (tmp_path / 'main.py').write_text(FAKE)
  with page_server.running(tmp_path, (sys.executable, str(tmp_path / 'main.py'))) as server:
    browser, other = server.browser(), server.browser()
    assert b'id="adapt-start"' in browser.page
    browser.upload('one.png', page_server.cell_png(0))
    cell = page_server.only(browser.analysed())['cells'][0]
    assert browser.post('/adapt', {'name': 'mine'}) == (422, {'problem': 'no cell is labelled yet'})
    assert not (tmp_path / 'runs' / 'mine-labelled').exists()
    browser.post('/labels', {'cells': [cell['id']], 'label': 'MONOCYTE', 'since': 0})
    for name in ('../mine', '', '-x', 'a b', 'a' * 41):
      assert browser.post('/adapt', {'name': name})[0] == 422, name
    assert browser.post('/adapt', {'name': 'mine'})[0] == 200
    state = ended(browser)
    assert state['code'] == 3
    command, flags, files = state['lines']
    assert f'--to={tmp_path / "runs" / "mine"}' in command
    assert flags.split()[:2] == ['adapt', f'--workdir={tmp_path / "run"}']
    assert f'--config.data.labels_csv={tmp_path / "runs" / "mine-labelled" / "labels.csv"}' in flags
    assert files == "['groups.csv', 'images', 'labels.csv']"
    assert browser.post('/adapt', {'name': 'mine'})[0] == 422, 'what is there is not written over'
    hidden = json.loads(other.ask('GET', '/adapt')[2])
    assert (hidden['lines'], hidden['name'], hidden['is_own']) == ([], '', False)


REFUSES = """
import pathlib, sys
folder = pathlib.Path(next(a for a in sys.argv if a.startswith('--config.data.dir=')).partition('=')[2])
num = len(list((folder / 'images').iterdir()))
print(num)
sys.exit(2 if num < 2 else 0)
"""


def test_a_name_that_was_refused_with_too_few_labels_is_free_for_more(tmp_path):
  (tmp_path / 'main.py').write_text(REFUSES)
  images = tmp_path / 'runs' / 'mine-labelled'
  with page_server.running(tmp_path, (sys.executable, str(tmp_path / 'main.py'))) as server:
    browser = server.browser()
    for i in range(2):
      browser.upload(f'{i}.png', page_server.cell_png(i))
    cells = [page['cells'][0]['id'] for page in browser.analysed()['photographs']]
    codes = []
    for cell in cells:
      browser.post('/labels', {'cells': [cell], 'label': 'MONOCYTE', 'since': 0})
      assert browser.post('/adapt', {'name': 'mine'})[0] == 200
      codes.append(ended(browser)['code'])
    assert codes == [2, 0]
    # Negative control: what was adapted to stays.
    assert len(list((images / 'images').iterdir())) == 2
    assert browser.post('/adapt', {'name': 'mine'})[0] == 422
