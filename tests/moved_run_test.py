"""A run and its images carried elsewhere: the new place is named once, and every command works."""

from __future__ import annotations

import json
import pathlib
import re
import shutil

import folder_of_cells
import pytest
import starting


@pytest.fixture(scope='module')
def moved(tmp_path_factory) -> tuple[pathlib.Path, pathlib.Path]:
  """The folders of a run and of its images, both moved since it was trained, and the list of groups gone."""
  top = tmp_path_factory.mktemp('desk')
  data = folder_of_cells.write(top / 'data' / 'cells')
  code, _, err = starting.run(*folder_of_cells.flags(data, top / 'run'))
  assert code == 0, err
  (top / 'attic').mkdir()
  data.rename(top / 'attic' / 'cells')
  (top / 'run').rename(top / 'attic' / 'run')
  shutil.rmtree(top / 'data')
  return top / 'attic' / 'run', top / 'attic' / 'cells'


@pytest.fixture
def copy(moved, tmp_path):
  """A copy of the moved run, and its images."""
  shutil.copytree(moved[0], tmp_path / 'run')
  return tmp_path / 'run', moved[1]


def metrics(folder):
  return json.loads((folder / 'metrics.json').read_text())


@pytest.mark.parametrize(
  'command',
  [
    ('evaluate',),
    *(
      pytest.param(others, marks=pytest.mark.long)
      for others in (('export', '--format=safetensors'), ('explain', '--max_images=1'))
    ),
  ],
)
def test_the_line_names_the_flag_that_leads_on_and_it_is_needed_once(command, copy):
  folder, data = copy
  before = metrics(folder)
  code, _, err = starting.run(*command, f'--workdir={folder}')
  assert code == 2
  assert 'no longer there' in err
  assert str(folder) in err
  flag = re.search(r'--\w+(?==FOLDER)', err)[0]
  code, _, err = starting.run(*command, f'--workdir={folder}', f'{flag}={data}')
  assert code == 0, err
  # The run keeps the place; that no command needs the flag any more is seen of one.
  assert json.loads((folder / 'config.json').read_text())['data.dir'] == str(data)
  if command[0] == 'explain':
    code, _, err = starting.run('evaluate', f'--workdir={folder}')
    assert code == 0, err
  assert metrics(folder) == before


def test_predict_needs_no_images_of_the_run_and_training_goes_on_with_either_flag(copy):
  folder, data = copy
  code, _, err = starting.run('predict', f'--workdir={folder}', data / 'TEST', '--heat_maps=false')
  assert code == 0, err
  gone = pathlib.Path(json.loads((folder / 'config.json').read_text())['data.dir'])
  again = [*folder_of_cells.flags(gone, folder), '--config.train.epochs=3', '--config.data.groups_csv=']
  again[-1] += str(folder / 'lists' / 'groups.csv')
  code, _, err = starting.run(*again)
  assert code == 2
  assert f'{gone}: no such folder; set --config.data.dir' in err
  code, out, err = starting.run(*again, f'--data_dir={data}')
  assert code == 0, err
  assert 'continuing after step 10' in out
  assert json.loads((folder / 'config.json').read_text())['data.dir'] == str(data)


def test_other_images_are_scored_as_others_and_do_not_become_the_runs(copy, tmp_path):
  folder, _ = copy
  config = (folder / 'config.json').read_bytes()
  other = folder_of_cells.write(tmp_path / 'new' / 'other', seed=6) / 'TEST'
  code, _, err = starting.run('evaluate', f'--workdir={folder}', f'--data_dir={other}')
  assert code == 0, err
  # Not TEST, which on a disk of Windows or macOS is the file of the run's own test.
  assert 'TEST-2' in metrics(folder)
  code, _, err = starting.run(
    'export', '--format=safetensors', f'--workdir={folder}', f'--data_dir={other.parent}'
  )
  assert code == 2
  assert 'other data' in err
  assert 'Name the folder of its own images with --data_dir' in err
  assert (folder / 'config.json').read_bytes() == config


def test_a_wrong_folder_in_the_command_that_continues_leaves_the_place_as_it_was(copy, tmp_path):
  folder, data = copy
  code, _, err = starting.run('evaluate', f'--workdir={folder}', f'--data_dir={data}')
  assert code == 0, err
  wrong = folder_of_cells.flags(tmp_path / 'typo', folder)
  code, _, err = starting.run(*wrong)
  assert code == 2
  code, _, err = starting.run('evaluate', f'--workdir={folder}')
  assert code == 0, err


def test_a_list_that_another_audit_has_written_over_is_replaced_by_the_runs_copy(copy):
  folder, data = copy
  before, given = (
    metrics(folder),
    pathlib.Path(json.loads((folder / 'config.json').read_text())['data.groups_csv']),
  )
  given.parent.mkdir(parents=True, exist_ok=True)
  given.write_text('file,group\nA/x.png,1\n')
  try:
    code, out, err = starting.run('evaluate', f'--workdir={folder}', f'--data_dir={data}')
    assert code == 0, err
    assert out.count(f'{given}: has changed since {folder} was trained with it') == 1
    assert metrics(folder) == before
    again = [
      *folder_of_cells.flags(data, folder),
      '--config.train.epochs=3',
      f'--config.data.groups_csv={given}',
    ]
    code, out, err = starting.run(*again)
    assert code == 0, err
    assert f'its copy {folder / "lists" / "groups.csv"} is used' in out
    assert 'continuing after step 10' in out
    # Negative control: a run that begins uses the list that it is given.
    again[again.index(f'--workdir={folder}')] = f'--workdir={folder.parent / "fresh"}'
    code, _, err = starting.run(*again)
    assert (code, f'{given}: line 2 names A/x.png' in err) == (2, True), err
  finally:
    given.unlink()
