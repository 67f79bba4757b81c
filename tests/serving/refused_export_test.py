"""Labelled cells that cannot be written: the page is told the reason, and what was deleted only where it was."""

from __future__ import annotations

import builtins
import errno
import os
import pathlib
import types as builtin_types
from typing import Any

import numpy as np
import page_server
import pytest

from bloodcell_jax.base import cell
from bloodcell_jax.inference import differential_count
from bloodcell_jax.serving import analysis, exported_file, labelled_folder, limits, photograph_file, session
from bloodcell_jax.system import atomic

LIMITS = limits.Limits(5, 10**6, 2 * 10**6, 10**6, 10.0, 3)
BOX = cell.Box(110, 90, 210, 190)
DELETED = 'the photographs have been deleted meanwhile'


def labelled(place: pathlib.Path, box: cell.Box | None) -> tuple[session.Session, Any, pathlib.Path]:
  """A session with one photograph, `ward/a.png`, whose one cell is labelled; its analysis, and its stored file."""

  def find(photographs, _: Any) -> list[analysis.Found]:
    return [analysis.Found((cell.Cell(one.shown, one.digest, 1, box),), (box,), '') for one in photographs]

  def classify(cells, *_: Any) -> differential_count.ClassifiedCells:
    return differential_count.classify(cells, np.array([[0.9, 0.1]] * len(cells)), ('a', 'b'), None, None)

  analysing: Any = builtin_types.SimpleNamespace(
    network='n', model='run n', class_names=('a', 'b'), confidence=0.95, find=find, classify=classify,
    repeated=lambda *_: {}, spec=builtin_types.SimpleNamespace(max_pixels=10**6),
  )  # fmt: skip
  place.mkdir()
  own, path = session.Session(place, 'token', analysing, LIMITS), place / 'secret'
  path.write_bytes(page_server.field_png())
  photograph = photograph_file.PhotographFile('1', 'ward/a.png', path, 'ab', (640, 480), 9)
  own.add(photograph)
  own.analyse([photograph])
  own.label(['1/1'], 'a')
  return own, analysing, path


def said(own: session.Session, folder: pathlib.Path) -> str:
  with pytest.raises(session.Refused) as refused:
    labelled_folder.write(own, folder, 10**6)
  assert not folder.exists()
  return str(refused.value)


def fill_the_disk(patch: pytest.MonkeyPatch, number: int) -> None:
  """Every list that is written from now on meets this error."""

  def write_csv(path, rows) -> None:
    raise OSError(number, os.strerror(number), str(path))

  patch.setattr(atomic, 'write_csv', write_csv)


@pytest.mark.parametrize('box', [None, BOX])
def test_a_disk_that_takes_no_file_is_named_and_nothing_is_said_to_be_deleted(box, tmp_path, monkeypatch):
  own, analysing, _ = labelled(tmp_path / 'session', box)
  folder = tmp_path / 'mine-labelled'
  with monkeypatch.context() as patch:
    fill_the_disk(patch, errno.ENOSPC)
    full = f'{folder} cannot be written (No space left on device); make room there and try again'
    assert said(own, folder) == full
    for name in (exported_file.PREDICTIONS, exported_file.COUNT, exported_file.CELLS):
      with pytest.raises(session.Refused, match='No space left on device'):
        exported_file.content(name, own, analysing)
    fill_the_disk(patch, errno.EACCES)
    assert said(own, folder) == f'{folder} cannot be written (Permission denied)'
  # Negative control: with room, the same cells are written.
  assert labelled_folder.write(own, folder, 10**6) == 1
  assert exported_file.content(exported_file.PREDICTIONS, own, analysing)


@pytest.mark.parametrize('box', [None, BOX])
def test_photographs_of_a_session_that_ends_meanwhile_have_been_deleted(box, tmp_path, monkeypatch):
  own, analysing, path = labelled(tmp_path / 'session', box)
  read = builtins.open

  def ends(*args, **kwargs):
    own.close()
    return read(*args, **kwargs)

  monkeypatch.setattr(builtins, 'open', ends)
  assert said(own, tmp_path / 'mine-labelled') == DELETED
  assert not path.exists()
  with pytest.raises(session.Refused, match='there is no cell yet'):
    exported_file.content(exported_file.CELLS, own, analysing)


def test_a_photograph_that_is_gone_or_damaged_is_named(tmp_path):
  own, _, path = labelled(tmp_path / 'session', BOX)
  data = path.read_bytes()
  path.write_bytes(b'no image')
  assert said(own, tmp_path / 'new').startswith('ward/a.png: is not an image of a known kind')
  path.unlink()
  assert said(own, tmp_path / 'new') == 'ward/a.png: cannot be read (No such file or directory)'
  whole, _, copied = labelled(tmp_path / 'other', None)
  copied.unlink()
  assert said(whole, tmp_path / 'new') == 'ward/a.png: cannot be read (No such file or directory)'
  # Negative control: with the photograph it is written.
  path.write_bytes(data)
  assert labelled_folder.write(own, tmp_path / 'new', 10**6) == 1


def test_a_name_that_is_taken_is_refused_and_another_one_does(tmp_path):
  own, _, _ = labelled(tmp_path / 'session', None)
  taken = tmp_path / 'mine-labelled'
  taken.symlink_to(tmp_path / 'nowhere')
  assert said(own, taken) == f'{taken} is there already; choose another name'
  assert taken.is_symlink()
  assert labelled_folder.write(own, tmp_path / 'other-labelled', 10**6) == 1


def test_the_page_answers_with_the_sentence(server):
  browser = server.browser()
  before = set(server.files())
  browser.upload('a.png', page_server.field_png())
  photograph = page_server.only(browser.analysed())
  for each in photograph['cells']:
    browser.post('/labels', {'cells': [each['id']], 'label': 'MONOCYTE', 'since': 0})
  (path,) = (one for one in set(server.files()) - before if one.name == photograph['id'])
  assert browser.ask('GET', '/export/labelled-cells.zip')[0] == 200
  path.write_bytes(b'no image')
  status, headers, data = browser.ask('GET', '/export/labelled-cells.zip')
  assert (status, headers['content-type']) == (422, 'application/json')
  assert data.startswith(b'{"problem":"a.png: is not an image of a known kind')
