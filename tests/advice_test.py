"""Lines that tell the user what to do: each kind is followed here by doing just what it says, and it leads on."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess

import folder_of_cells
import pytest
import starting

from bloodcell_jax.config import experiment
from bloodcell_jax.runs import training
from bloodcell_jax.system import atomic


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> tuple[pathlib.Path, pathlib.Path, str]:
  """The folders of a run and of its images, and what it printed."""
  top = tmp_path_factory.mktemp('advice')
  data = folder_of_cells.write(top / 'data' / 'cells')
  code, out, err = starting.run(*folder_of_cells.flags(data, top / 'run'))
  assert code == 0, err
  return top / 'run', data, out


@pytest.fixture
def copy(trained, tmp_path):
  """A copy of the run, and the folder of its images."""
  shutil.copytree(trained[0], tmp_path / 'run')
  return tmp_path / 'run', trained[1]


def advice(*arguments) -> str:
  """The line of a command that is refused."""
  code, _, err = starting.run(*arguments)
  assert code == 2, err
  assert len(err.strip().splitlines()) == 1, err
  return err


def arrives(*arguments) -> str:
  code, out, err = starting.run(*arguments)
  assert code == 0, err
  return out


def test_another_config_in_the_folder_of_a_run(copy, tmp_path):
  folder, data = copy
  other = [*folder_of_cells.flags(data, folder), '--config.seed=7']
  line = advice(*other)
  assert 'Choose another --workdir for a new run; to continue this one, set these keys as they were' in line
  key, value = re.search(r'(seed) was (\S+) and is', line).groups()
  assert 'complete' in arrives(*other, f'--config.{key}={value}')
  arrives(*other, f'--workdir={tmp_path / "another"}')


def test_data_that_has_changed_since_training(copy, tmp_path):
  folder, data = copy
  changed = tmp_path / 'cells'
  shutil.copytree(data, changed)
  path = next(changed.glob('TRAIN/*/*'))
  path.write_bytes(
    next(folder_of_cells.write(tmp_path / 'new' / 'cells', seed=9).glob('TRAIN/*/*')).read_bytes()
  )
  command = folder_of_cells.flags(changed, folder)
  command = [part.replace(str(tmp_path / 'groups.csv'), str(data.parent / 'groups.csv')) for part in command]
  line = advice(*command)
  assert 'Name the folder of its own images with --data_dir' in line
  assert 'complete' in arrives(*command, f'--data_dir={data}')


@pytest.mark.parametrize('name', ['calibration.json', 'metrics.json', 'predictions/test.csv'])
def test_a_damaged_result_is_written_anew_by_evaluate(name, copy, tmp_path):
  folder, data = copy
  (folder / name).write_text('x')
  commands = {
    'calibration.json': ('evaluate', f'--data_dir={data / "TEST"}'),
    'metrics.json': ('evaluate',),
    'predictions/test.csv': ('evaluate', f'--compare={folder}'),
  }
  line = advice(*commands[name], f'--workdir={folder}')
  assert 'evaluate the run' in line
  if 'remove it and' in line:
    path = pathlib.Path(line.split(': ')[0])
    assert path == folder / name, 'a result, not the run'
    path.unlink()
  arrives('evaluate', f'--workdir={folder}')
  if commands[name] != ('evaluate',):
    arrives(*commands[name], f'--workdir={folder}')


def test_a_damaged_history_is_written_anew_by_the_command_that_trained(copy):
  folder, data = copy
  (folder / 'history.jsonl').write_text('x\n')
  line = advice('evaluate', f'--workdir={folder}')
  assert 'train the run again, which writes it anew' in line
  arrives(*folder_of_cells.flags(data, folder))
  arrives('evaluate', f'--workdir={folder}')


def test_a_folder_without_a_run(trained, tmp_path):
  line = advice('predict', f'--workdir={tmp_path / "typo"}', trained[1])
  assert 'train one first' in line
  assert not (tmp_path / 'typo').exists(), 'a training there starts as in any new folder'
  shutil.copytree(trained[0], tmp_path / 'typo')
  arrives('predict', f'--workdir={tmp_path / "typo"}', trained[1] / 'TEST', '--heat_maps=false')


def test_paths_in_the_place_of_flags(copy, tmp_path):
  folder, data = copy
  line = advice('evaluate', f'--workdir={folder}', data / 'TEST')
  flag = re.search(r'name it with (--\w+)', line)[1]
  arrives('evaluate', f'--workdir={folder}', f'{flag}={data / "TEST"}')
  line = advice('audit', data)
  flags = re.search(r'with (\S+) (--\S+)', line).groups()
  code, _, err = starting.run('audit', flags[0], f'{flags[1]}={data}', f'--workdir={tmp_path / "audit"}')
  assert code in (0, 3), err


def test_files_that_are_no_images(trained, tmp_path):
  data = tmp_path / 'cells'
  shutil.copytree(trained[1], data)
  (data.parent / 'groups.csv').write_bytes((trained[1].parent / 'groups.csv').read_bytes())
  next(data.glob('TEST/*/*')).write_bytes(b'no image')
  command = folder_of_cells.flags(data, tmp_path / 'run')
  code, _, err = starting.run(*command)
  assert code == 2
  arrives(*command, re.search(r'--config\.data\.on_bad_image=skip', err)[0])


def test_few_updates_are_told_with_the_key_to_raise_and_enough_are_not(trained):
  line = next(each for each in trained[2].splitlines() if 'updates in total' in each)
  assert line.startswith('10 updates in total, ')
  key = re.search(r'too few to learn much; raise (\S+)', line)[1]
  flat = json.loads((trained[0] / 'config.json').read_text())
  num = int(re.search(r'passes over (\d+) training images', line)[1])
  said = [training.length(experiment.from_flat({**flat, key: epochs}), 5, num, '') for epochs in (2, 40)]
  assert said[0] == line, 'what the command prints'
  assert re.fullmatch(rf'200 updates in total, [\d.]+ passes over {num} training images', said[1])


def test_files_of_another_folder_that_are_no_images_are_left_out_of_its_evaluation(copy, tmp_path):
  folder, data = copy
  shutil.copytree(data / 'TEST', tmp_path / 'other')
  next((tmp_path / 'other').glob('*/*')).write_bytes(b'no image')
  command = ('evaluate', f'--workdir={folder}', f'--data_dir={tmp_path / "other"}')
  code, _, err = starting.run(*command)
  assert code == 2
  arrives(*command, re.search(r'or skip them with (--\S+)', err)[1])
  assert json.loads((folder / 'metrics.json').read_text())['other']['num_images'] == 15


def test_images_that_were_trained_on_and_have_changed_are_found_where_data_dir_names_them(tmp_path, copy):
  folder, data = copy
  place = tmp_path / 'cells'
  shutil.copytree(data, place)
  config = json.loads((folder / 'config.json').read_text())
  atomic.write_json(folder / 'config.json', {**config, 'data.dir': str(place)})
  file = next(place.glob('TEST/*/*'))
  good = file.read_bytes()
  file.write_bytes(b'no image')
  code, _, err = starting.run('evaluate', f'--workdir={folder}')
  assert (code, 'the run was trained with them: restore them from a copy' in err) == (2, True), err
  file.write_bytes(next(place.glob('TRAIN/*/*')).read_bytes())
  flag = re.search(r'with (--data_dir)', advice('evaluate', f'--workdir={folder}'))[1]
  out = arrives('evaluate', f'--workdir={folder}', f'{flag}={data}')
  assert 'its own splits are scored' in out
  arrives('evaluate', f'--workdir={folder}')
  file.write_bytes(good)


def test_a_run_is_evaluated_with_other_keys_without_its_config(copy):
  folder, data = copy
  predict = ('predict', f'--workdir={folder}', data / 'TEST', '--heat_maps=false')
  config = json.loads((folder / 'config.json').read_text())
  atomic.write_json(folder / 'config.json', {**config, 'evaluate.tta': 'mirrors'})
  key = re.search(r'with the keys that you want, such as (--config\S+)', advice(*predict))[1]
  arrives('evaluate', f'--workdir={folder}', key)
  arrives(*predict)
  assert 'seed was 0 and is 7' in advice('evaluate', f'--workdir={folder}', '--config.seed=7')
  assert 'did you mean --config.evaluate.tta?' in advice('evaluate', '--config.evaluate.ttta=none')
  line = advice('train', '--config.seed=7')
  arrives_at = re.search(r'such as (--config=\S+)', line)[1]
  assert 'train takes no paths' in advice('train', arrives_at, '--config.seed=7', data)


def test_paths_and_keys_that_a_command_does_not_take(copy, tmp_path):
  folder, data = copy
  line = advice('export', f'--workdir={folder}', 'safetensors')
  assert 'the formats are --format, the folder is --to' in line
  arrives('export', f'--workdir={folder}', '--format=safetensors', f'--to={tmp_path / "export"}')
  adapt = ('adapt', f'--workdir={folder}', f'--data_dir={data / "TEST"}', '--propose=3')
  assert 'keeps the settings of the run; leave it out' in advice(*adapt, '--config.seed=3')
  arrives(*adapt)
  line = advice(*adapt, '--updates=7')
  assert 'fitted without updates; leave it out, or add --trainable=convolutions' in line
  arrives(*adapt, '--updates=7', line.split()[-1])
  line = advice(*adapt, f'--data_dir={data / "TRAIN"}')
  assert (
    'of the run itself or cannot be opened; name the folder of another laboratory with --data_dir' in line
  )
  arrives(*adapt)
  line = advice('train', *starting.TINY, data)
  flags = re.search(r'name the folder with (\S+) (--\S+)', line).groups()
  assert flags == re.search(r'name the folder with (\S+) (--\S+)', advice('study', data)).groups()
  arrives('train', *starting.TINY, flags[0], f'{flags[1]}={data}', '--config.train.epochs=1',
          f'--workdir={tmp_path / "new"}')  # fmt: skip


def test_predictions_that_are_missing_are_written_by_evaluate(copy, tmp_path):
  folder, _ = copy
  shutil.copytree(folder, tmp_path / 'second')
  shutil.rmtree(folder / 'predictions')
  combine = ('ensemble', '--combine', f'--workdir={tmp_path / "both"}', folder, tmp_path / 'second')
  assert 'have no split in common; evaluate them first' in advice(*combine)
  few = [f'--config.trees.{key}=2' for key in ('num_trees', 'max_iter', 'num_permutations')]
  line = advice('ensemble', '--trees', f'--workdir={folder}', *few)
  assert 'missing; run `evaluate --workdir=' in line
  command = re.search(r'`(.*)` first', line)[1]
  arrives(*command.split())
  arrives('ensemble', '--trees', f'--workdir={folder}', *few)
  arrives(*combine)


def test_no_line_advises_to_remove_a_run_or_its_checkpoints():
  done = subprocess.run(
    ['grep', '-rniE', r'(or|and|;) remove \{(path\.parent|self\._?folder|self\.path|folder\.path)|or remove it.$',
     '--include=*.py', str(starting.ROOT / 'bloodcell_jax')],
    capture_output=True, text=True,
  )  # fmt: skip
  assert done.stdout == ''


def test_a_damaged_config_leads_to_a_copy_and_not_to_the_loss_of_the_run(copy, trained):
  folder, data = copy
  (folder / 'config.json').write_text('{')
  line = advice('evaluate', f'--workdir={folder}')
  assert 'restore it from a copy' in line
  assert 'remove' not in line
  shutil.copy(trained[0] / 'config.json', folder / 'config.json')
  arrives('evaluate', f'--workdir={folder}')
  assert json.loads((folder / 'config.json').read_text())['data.dir'] == str(data)
