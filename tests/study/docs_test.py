"""The parts of docs/study.md and README.md that a study's folder fills in."""

from __future__ import annotations

import pathlib

import pytest
import tiny

from benchmarks import study as study_docs
from bloodcell_jax.base import types

ROOT = pathlib.Path(__file__).parent.parent.parent
RIGHT = {'validation': 36, 'test': 30, 'test_clean': 28}


@pytest.fixture
def project(tmp_path, monkeypatch):
  """Pages with the marks, and a study of which one row is complete."""
  (tmp_path / 'docs').mkdir()
  for name in ('README.md', 'docs/study.md'):
    (tmp_path / name).write_text(f'before\n{study_docs.BEGIN}\nold\n{study_docs.END}\nafter\n')
  rows = tiny.rows()
  tiny.complete(tiny.run_of(rows[0], tmp_path / 'runs'), RIGHT)
  monkeypatch.setattr(study_docs, 'README_ROWS', ('a', 'a-adam'))
  return tmp_path, rows


def test_a_half_finished_study_fills_in_its_page_and_leaves_readme(project, capsys):
  root, rows = project
  before = sorted((root / 'runs').rglob('*'))
  study_docs.write(rows, root / 'runs', root)
  text = (root / 'docs' / 'study.md').read_text()
  assert text.startswith('before\n')
  assert text.endswith(f'{study_docs.END}\nafter\n')
  assert '\nold\n' not in text
  for words in (
    '1 of 3 rows complete; 2 not run',
    '| CNN A, Adam |',
    '### Rows compared in pairs',
    'study.png',
  ):
    assert words in text
  assert 'seed_0' not in text, 'folders that a reader does not have'
  assert (root / 'docs' / 'study.png').stat().st_size > 1000
  assert '\nold\n' in (root / 'README.md').read_text()
  assert 'not complete are a-adam' in capsys.readouterr().out
  assert sorted((root / 'runs').rglob('*')) == before, 'the study is left as it is'


def test_the_rows_of_readme_are_filled_in_once_they_are_complete(project):
  root, rows = project
  tiny.complete(tiny.run_of(rows[1], root / 'runs'), RIGHT)
  for _ in range(2):
    study_docs.write(rows, root / 'runs', root)
    text = (root / 'README.md').read_text()
    assert '| CNN A, Adam | not stated' not in text
    assert '| CNN A | 0.91 (not stated) | 0.700 [' in text
    assert text.count('| CNN A, Adam |') == 1
    assert text.endswith('after\n')


def test_a_page_without_its_marks_is_left_as_it_is(project):
  root, rows = project
  page = root / 'docs' / 'study.md'
  page.write_text('mine')
  with pytest.raises(types.UserError, match=r'study\.md: must have the lines'):
    study_docs.write(rows, root / 'runs', root)
  assert page.read_text() == 'mine'


def test_the_pages_of_the_project_have_their_marks_once():
  for name in ('README.md', 'docs/study.md'):
    text = (ROOT / name).read_text()
    assert (text.count(study_docs.BEGIN), text.count(study_docs.END)) == (1, 1)
