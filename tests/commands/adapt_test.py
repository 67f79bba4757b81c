"""`adapt` with labels of cells within photographs: the folder beside the new run, into which they are cut out."""

from __future__ import annotations

import csv
import pathlib

import drawn_field
import pytest
from PIL import Image
from starting import run

from bloodcell_jax.base import types
from bloodcell_jax.commands import adapt
from bloodcell_jax.system import lock
from bloodcell_jax.train import progress as progress_lib

BOXES = ((108, 88, 212, 192), (418, 278, 522, 382))  # around drawn_field.WHITE_CELLS


@pytest.fixture(autouse=True)
def released():
  yield
  lock.release()


def write_list(path: pathlib.Path, labels: tuple[str, ...]) -> str:
  """Labels of the cells of photographs 0.png, 1.png, ..., two each."""
  rows = [[f'{i // 2}.png', *BOXES[i % 2], label] for i, label in enumerate(labels)]
  with open(path, 'w', newline='') as file:
    csv.writer(file).writerows([['file', 'left', 'top', 'right', 'bottom', 'human_label'], *rows])
  return str(path)


@pytest.fixture
def slides(tmp_path) -> pathlib.Path:
  folder = tmp_path / 'slides'
  folder.mkdir()
  for i in range(2):
    Image.fromarray(drawn_field.draw(seed=i)).save(folder / f'{i}.png')
  write_list(tmp_path / 'many.csv', ('MONOCYTE', 'NEUTROPHIL') * 2)
  write_list(tmp_path / 'few.csv', ('MONOCYTE', 'NEUTROPHIL'))
  return folder


def files(folder: pathlib.Path) -> dict[str, tuple[bytes, int]]:
  """Content and time of all files; empty without the folder."""
  found = [path for path in folder.rglob('*') if path.is_file()]
  return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in found}


def cut_out(top: pathlib.Path, name: str) -> pathlib.Path | None:
  """The folder that was made for the labels of a list; None where it was there."""
  values = {'data_dir': str(top / 'slides'), 'labels_csv': str(top / name), 'groups_csv': ''}
  return adapt._cut_out(values, top / 'new', 10**6, progress_lib.Progress())[1]


def test_labels_that_are_refused_leave_no_folder_and_no_other_folder_is_touched(slides, tmp_path):
  place = tmp_path / 'new-labelled'
  (place / 'images').mkdir(parents=True)
  (place / 'groups.csv').write_text('file,group\n')
  (place / 'notes.txt').write_text('note')
  before = files(place)
  command = ('adapt', f'--data_dir={slides}', f'--labels_csv={tmp_path / "few.csv"}')
  code, _, err = run(*command, f'--to={tmp_path / "new"}', inside=tmp_path)
  assert (code, err.count('\n')) == (2, 1), err
  assert 'holds something other than these labelled cells; name another run with --to' in err
  assert files(place) == before
  # As it says: now the labels themselves are read, and too few of them leave nothing behind.
  code, _, err = run(*command, f'--to={tmp_path / "other"}', inside=tmp_path)
  assert (code, err.count('\n')) == (2, 1), err
  assert err.startswith(
    f'{tmp_path / "few.csv"}: the class MONOCYTE has labels of 1 image in 1 group (cells of'
  )
  assert sorted(path.name for path in tmp_path.glob('[!.]*')) == [
    'few.csv', 'many.csv', 'new-labelled', 'runs', 'slides',
  ]  # fmt: skip


def test_the_folder_of_the_same_labels_stays_as_it_is_and_that_of_others_is_refused(slides, tmp_path):
  place = tmp_path / 'new-labelled'
  assert cut_out(tmp_path, 'many.csv') == place
  before = files(place)
  assert len(before) == 6
  assert cut_out(tmp_path, 'many.csv') is None
  with pytest.raises(types.UserError, match='holds something other'):
    cut_out(tmp_path, 'few.csv')
  assert files(place) == before
  (place / 'notes.txt').write_text('note')
  with pytest.raises(types.UserError, match='holds something other'):
    cut_out(tmp_path, 'many.csv')


@pytest.mark.parametrize('command', ['adapt', 'predict'])
def test_results_are_not_written_among_other_things(slides, tmp_path, command):
  (tmp_path / 'results').mkdir()
  (tmp_path / 'results' / 'notes.txt').write_text('note')
  what = ('adapt', f'--data_dir={slides}', f'--labels_csv={tmp_path / "many.csv"}')
  given = what if command == 'adapt' else ('predict', slides)
  code, _, err = run(*given, f'--to={tmp_path / "results"}', inside=tmp_path)
  assert (code, 'results: holds other things, such as notes.txt; choose' in err) == (2, True), err
  assert [path.name for path in (tmp_path / 'results').iterdir()] == ['notes.txt']
  assert not (tmp_path / 'results-labelled').exists()


def test_cells_are_cut_out_by_one_process_at_a_time(slides, tmp_path):
  place = tmp_path / 'new-labelled'
  lock.take(place, beside=True)
  code, _, err = run(
    'adapt', f'--data_dir={slides}', f'--labels_csv={tmp_path / "few.csv"}', f'--to={tmp_path / "new"}',
    inside=tmp_path,
  )  # fmt: skip
  assert (code, 'is writing there' in err) == (2, True), err
  assert not place.exists()
