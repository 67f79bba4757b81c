"""Lines about a run's folder and its files: what each kind of them advises is done here, and it leads on."""

from __future__ import annotations

import json
import pathlib
import re
import shutil

import folder_of_cells
import numpy as np
import pytest
import starting
from PIL import Image

from bloodcell_jax.base import types
from bloodcell_jax.data.augmentation import offline, saving
from bloodcell_jax.export import folder as export_folder
from bloodcell_jax.export import formats
from bloodcell_jax.runs import saved_run, starting_weights
from bloodcell_jax.storage import journal, prediction_folder, workdir
from bloodcell_jax.system import lock
from bloodcell_jax.weights import pretrained


@pytest.fixture(autouse=True)
def released():
  yield
  lock.release()


def line(call, *arguments, **named) -> str:
  with pytest.raises(types.UserError) as caught:
    call(*arguments, **named)
  assert '\n' not in str(caught.value)
  return str(caught.value)


def test_another_folder_for_results_is_taken(tmp_path):
  taken, other = tmp_path / 'results', tmp_path / 'other'
  prediction_folder.claim(taken, ['a'], tmp_path / 'run', 'm')
  said = line(prediction_folder.claim, taken, ['b'], tmp_path / 'run', 'm')
  assert 'choose another folder with --to' in said
  prediction_folder.claim(other, ['b'], tmp_path / 'run', 'm')
  (taken / 'notes.txt').write_text('mine')
  run = workdir.Workdir(tmp_path / 'run')
  assert 'choose another folder with --to' in line(export_folder.check, taken, run)
  export_folder.check(tmp_path / 'new', run)


def test_a_damaged_journal_is_removed_and_written_anew(tmp_path):
  path = tmp_path / 'journal.jsonl'
  head = json.dumps({'network': 'net', 'class_names': ['A', 'B']})
  path.write_text(f'{head}\nx\n{head}\n')
  assert 'remove it, and the images are predicted again' in line(journal.Journal, path, 'net', 'AB')
  path.unlink()
  journal.Journal(path, 'net', 'AB').add(['x'], np.array([[0.5, 0.5]]), None)
  assert list(journal.Journal(path, 'net', 'AB').known) == ['x']


def photographs(tmp_path) -> types.Table:
  content = []
  for name in 'AB':
    path = tmp_path / f'{name}.png'
    Image.fromarray(np.full((24, 32, 3), 99, np.uint8)).save(path)
    content.append(str(path))
  column = np.array(['A.png', 'B.png'])
  columns = dict.fromkeys(('file', 'source', 'group', 'split', 'digest'), column)
  return types.Table(tuple(content), label=np.arange(2, dtype=np.int32), class_names=('A', 'B'), name='n',
                     synthetic=False, **columns)  # fmt: skip


def test_an_augmented_set_is_written_after_what_the_line_says(tmp_path):
  def write(folder, num):
    offline.write(folder, photographs(tmp_path), num, 0, 10**6, lambda: None, lambda done, total: None)

  target = tmp_path / 'set'
  assert 'raise --num_images' in line(write, target, 1)
  write(target, 2)
  assert 'labels or bytes); choose another folder' in line(write, target, 4)
  write(tmp_path / 'another', 4)
  (target / offline.SETTINGS).write_text('{')
  assert f'remove {target} and rebuild the set' in line(write, target, 2)
  shutil.rmtree(target)
  write(target, 2)
  (tmp_path / 'full').mkdir()
  (tmp_path / 'full' / 'notes.txt').write_text('mine')
  assert 'choose a new folder' in line(write, tmp_path / 'full', 2)
  image_HWC = np.zeros((8, 8, 3), np.uint8)
  saving.write(tmp_path / 'a.png', image_HWC, 'png')
  said = line(saving.write, tmp_path / 'a.png', image_HWC + 1, 'png')
  assert 'choose another folder or prefix' in said
  saving.write(tmp_path / 'b.png', image_HWC + 1, 'png')
  assert 'choose one of png' in line(saving.name, 'a', 1, 1, 'bmp')


def test_classes_whose_names_windows_refuses_have_folders_that_it_takes(tmp_path):
  table = photographs(tmp_path)
  for names, folders in (
    (('CON', 'B:1'), {'CON_', 'B_1'}),
    (('A?', 'a*'), {'A__0', 'a__1'}),
    (('A', 'B'), {'A', 'B'}),
  ):
    object.__setattr__(table, 'class_names', names)
    assert {copy.file.split('/')[1] for copy in offline.plan(table, 2)} == folders


def test_a_format_of_export_is_one_of_those_named():
  said = line(formats.choose, ['nonsense'])
  named = re.search(r'choose among ([\w, ]+)', said)[1].split(', ')
  assert [
    fmt.name for fmt in formats.choose([name for name in named if not formats.FORMATS[name].missing()])[0]
  ]


def test_weights_are_named_as_the_line_says(tmp_path):
  assert "give 'auto', 'pbc', the folder of a run, or a file ending in .h5" in line(
    pretrained.read, 'x.bin', 'vgg16'
  )
  assert 'name the folder of the run instead' in line(pretrained.read, str(tmp_path / 'x.npz'), 'cnn_a')
  assert 'name the folder of a trained run' in line(starting_weights.read, str(tmp_path), 'cnn_a')


def test_a_folder_without_checkpoints_says_to_train(tmp_path):
  assert 'no run here (config.json is missing); train one first' in line(
    saved_run.read_experiment, workdir.Workdir(tmp_path), None
  )


@pytest.fixture(scope='module')
def cells(tmp_path_factory) -> pathlib.Path:
  return folder_of_cells.write(tmp_path_factory.mktemp('runs') / 'data' / 'cells')


def command(cells: pathlib.Path, folder: pathlib.Path, *more: str) -> tuple[int, str, str]:
  return starting.run(*folder_of_cells.flags(cells, folder), *more)


def test_a_command_refused_for_its_list_is_followed_by_the_corrected_one(cells, tmp_path):
  bad, good = tmp_path / 'bad.csv', tmp_path / 'good.csv'
  files = sorted(path.relative_to(cells).as_posix() for path in cells.glob('*/*/*.png'))
  rows = [f'{file},{file.split("/")[1]}\n' for file in files]
  good.write_text('file,label\n' + ''.join(rows))
  bad.write_text('file,label\n' + ''.join(rows) + rows[0])
  code, _, err = command(cells, tmp_path / 'run', f'--config.data.labels_csv={bad}', '--config.seed=3')
  assert (code, 'keep one of the lines' in err) == (2, True), err
  code, _, err = command(
    cells, tmp_path / 'run', f'--config.data.labels_csv={good}', '--config.train.epochs=1'
  )
  assert code == 0, err
  assert json.loads((tmp_path / 'run' / 'config.json').read_text())['seed'] == 0
  # Once it is trained, its config is kept.
  code, _, err = command(cells, tmp_path / 'run', f'--config.data.labels_csv={good}', '--config.seed=3')
  assert (code, 'seed was 0 and is 3' in err) == (2, True), err


@pytest.mark.slow
def test_an_ensemble_is_completed_evaluated_and_begun_with_as_its_lines_say(cells, tmp_path):
  folder, of = tmp_path / 'run', ('--config.ensemble.method=average', '--config.ensemble.members=2')
  code, out, err = command(cells, folder, *of, '--config.ensemble.member=1')
  assert code == 0, err
  assert 'members still to train: 2; bring them to' in out
  assert 'or all with ensemble.member=0' in out
  code, out, err = command(cells, folder, *of, '--config.ensemble.member=0')
  assert (code, 'report: ' in out) == (0, True), err
  member = folder / 'members' / '1'
  code, _, err = command(cells, member, *of)
  parent = re.search(r'is a member of an ensemble; continue it with --workdir=(\S+)', err)[1]
  assert (code, pathlib.Path(parent)) == (2, folder)
  # The combination is lost, and made again by the same command.
  (folder / 'ensemble.npz').unlink(missing_ok=True)
  (folder / 'ensemble.json').unlink()
  code, _, err = starting.run('predict', f'--workdir={folder}', cells / 'TEST', '--heat_maps=false')
  assert (code, 'repeat the command to continue it' in err) == (2, True), err
  assert command(cells, folder, *of)[0] == 0
  code, _, err = starting.run('predict', f'--workdir={folder}', cells / 'TEST', '--heat_maps=false')
  assert code == 0, err
  for name in ('ensemble.json', 'combination.npz'):
    (folder / name).write_text('{')
    code, _, err = starting.run('predict', f'--workdir={folder}', cells / 'TEST', '--heat_maps=false')
    words = {'ensemble.json': 'train the ensemble again to rewrite it'}
    assert words.get(name, 'repeat the command that combined the members') in err
    assert command(cells, folder, *of)[0] == 0
  code, _, err = starting.run('ensemble', *folder_of_cells.flags(cells, folder))
  assert 'or use configs/ensemble.py' in err
  method = re.search(r'ensemble.method is empty; choose one of (\w+)', err)[1]
  assert command(cells, folder, *of, f'--config.ensemble.method={method}')[0] == 0
  said = line(starting_weights.read, str(folder), 'cnn_a')
  assert 'for an ensemble, one of its members' in said
  assert starting_weights.read(str(member), 'cnn_a').params
  code, _, err = command(
    cells, tmp_path / 'more', *of, '--config.ensemble.method=samme', '--config.ensemble.member=1'
  )
  assert (code, 'set it to 0 to train them in turn' in err) == (2, True), err


@pytest.mark.slow
def test_folds_are_completed_and_evaluated_as_their_lines_say(cells, tmp_path):
  folder = tmp_path / 'run'
  code, _, err = command(cells, folder, '--config.train.folds=2', '--config.train.fold=1')
  key, value = re.search(r'for (data\.validation_fraction)=.*; set it to ([\d.]+) or more', err).groups()
  of = ('--config.train.folds=2', f'--config.{key}={value}')
  code, out, err = command(cells, folder, *of, '--config.train.fold=1')
  assert (code, 'folds still to train: 2' in out) == (0, True), err
  code, out, err = command(cells, folder, *of, '--config.train.fold=0')
  assert (code, 'report: ' in out) == (0, True), err
  assert json.loads((folder / 'metrics.json').read_text())['out_of_fold']['conversions'] == {}
  code, _, err = starting.run('evaluate', f'--workdir={folder}')
  one = re.search(r'evaluate one of its folds: --workdir=(\S+)', err)[1]
  assert starting.run('evaluate', f'--workdir={one}')[0] == 0
  code, _, err = command(cells, folder / 'folds' / '2', *of)
  assert f'continue it with --workdir={folder}' in err
