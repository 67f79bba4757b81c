"""The journal keeps what was predicted through a kill at any byte, and trusts no other network's."""

import json

import numpy as np
import pytest

from bloodcell_jax.base import cell, types
from bloodcell_jax.storage import journal

CLASSES = ('A', 'B')
PROBS = np.array([[0.1, 0.9], [1 / 3, 2 / 3], [0.5, 0.5]])


def written(path):
  made = journal.Journal(path, 'net', CLASSES)
  made.add(['x', 'y'], PROBS[:2], None)
  made.add(['z'], PROBS[2:], None)
  return path.read_bytes()


def test_what_was_added_is_known_again_to_the_last_bit(tmp_path):
  written(tmp_path / 'journal.jsonl')
  again = journal.Journal(tmp_path / 'journal.jsonl', 'net', CLASSES)
  assert list(again.known) == ['x', 'y', 'z']
  np.testing.assert_array_equal(np.stack(list(again.known.values())), PROBS)


def test_a_file_cut_at_any_byte_loses_at_most_its_last_line_and_is_written_on(tmp_path):
  whole = written(tmp_path / 'whole.jsonl')
  for cut in range(len(whole)):
    path = tmp_path / 'cut.jsonl'
    path.write_bytes(whole[:cut])
    known = journal.Journal(path, 'net', CLASSES).known
    assert len(known) == max(0, whole[:cut].count(b'\n') - 1)
    journal.Journal(path, 'net', CLASSES).add(['new'], PROBS[:1], None)
    assert list(journal.Journal(path, 'net', CLASSES).known) == [*known, 'new']


def test_another_networks_journal_is_begun_anew(tmp_path):
  path = tmp_path / 'journal.jsonl'
  for network, classes in (('other', CLASSES), ('net', ('A', 'C'))):
    written(path)
    assert journal.Journal(path, network, classes).known == {}
  written(path)
  assert len(journal.Journal(path, 'net', CLASSES).known) == 3


def test_damage_in_the_middle_is_one_line_that_names_the_file(tmp_path):
  path = tmp_path / 'journal.jsonl'
  lines = written(path).split(b'\n')
  for damaged in (b'{', json.dumps({'sha256_16': 'x', 'probs': [1]}).encode(), b'[]'):
    path.write_bytes(b'\n'.join([lines[0], damaged, *lines[2:]]))
    with pytest.raises(types.UserError, match=r'journal\.jsonl: damaged'):
      journal.Journal(path, 'net', CLASSES)


def test_the_boxes_of_a_photograph_and_the_cells_that_are_missing_are_known_again(tmp_path):
  path = tmp_path / 'journal.jsonl'
  regions = cell.Region(cell.Box(0, 0, 5, 5), ()), cell.Region(cell.Box(5, 0, 9, 5), ('touching',))
  log = journal.Journal(path, 'net', CLASSES)
  log.add(['whole'], PROBS[:1], None)
  log.add_regions('cut', regions)
  log.add(['cut#0,0,5,5'], PROBS[1:2], None)
  again = journal.Journal(path, 'net', CLASSES)
  assert again.regions == {'cut': regions}
  assert again.keys('cut') == ['cut#0,0,5,5', 'cut#5,0,9,5']
  assert (again.is_complete('whole'), again.is_complete('cut'), again.is_complete('new')) == (
    True,
    False,
    False,
  )
  again.add(['cut#5,0,9,5'], PROBS[2:], None)
  assert journal.Journal(path, 'net', CLASSES).is_complete('cut')


def test_a_damaged_box_is_one_line_that_names_the_file(tmp_path):
  path = tmp_path / 'journal.jsonl'
  for boxes in ([[5, 0, 5, 9]], [[1, 2]], 7):
    path.unlink(missing_ok=True)
    lines = written(path).split(b'\n')
    damaged = json.dumps({'sha256_16': 'x', 'boxes': boxes}).encode()
    path.write_bytes(b'\n'.join([lines[0], damaged, *lines[2:]]))
    with pytest.raises(types.UserError, match=r'journal\.jsonl: damaged'):
      journal.Journal(path, 'net', CLASSES)


def test_a_journal_of_an_earlier_version_is_read(tmp_path):
  path = tmp_path / 'journal.jsonl'
  head = {'network': 'net', 'class_names': list(CLASSES)}
  path.write_text(f'{json.dumps(head)}\n{json.dumps({"sha256_16": "x", "probs": [0.25, 0.75]})}\n')
  log = journal.Journal(path, 'net', CLASSES)
  assert log.is_complete(cell.Cell('a.png', 'x', 1, None).key)
  np.testing.assert_array_equal(log.known['x'], [0.25, 0.75])
