"""The package as people install it: a wheel, a fresh environment, the command `bloodcell`, another folder."""

from __future__ import annotations

import csv
import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile

import pytest

from bloodcell_jax.data.sources import embedded
from bloodcell_jax.system import config_file

ROOT = pathlib.Path(__file__).parent.parent
SMEARS = embedded.Spec(num_train=2, num_test=0, num_copies=1, height=240, width=320, seed=3)
pytestmark = pytest.mark.slow


def tracked() -> list[str]:
  """The files of the project that git knows or would add."""
  command = ['git', 'ls-files', '--cached', '--others', '--exclude-standard']
  names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
  return [name for name in names if (ROOT / name).is_file()]


@pytest.fixture(scope='module')
def wheel(tmp_path_factory) -> pathlib.Path:
  """The wheel of `pip install .`, built from a copy, since building leaves files beside the source."""
  source, target = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('wheel')
  for name in tracked():
    if not name.startswith(('tests/', 'docs/')):
      (source / name).parent.mkdir(parents=True, exist_ok=True)
      shutil.copy(ROOT / name, source / name)
  command = [sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '-w', str(target), str(source)]
  done = subprocess.run(command, capture_output=True, text=True, timeout=300)
  assert done.returncode == 0, done.stderr
  (path,) = target.glob('*.whl')
  return path


@pytest.fixture(scope='module')
def program(wheel, tmp_path_factory) -> pathlib.Path:
  """The command `bloodcell` of a fresh environment, which takes the other libraries from the one of the tests."""
  folder = tmp_path_factory.mktemp('environment')
  venv.create(folder, with_pip=False)
  (site,) = folder.glob('lib/python*/site-packages')
  command = [sys.executable, '-m', 'pip', '--python', str(folder / 'bin' / 'python'), 'install', '-q']
  done = subprocess.run([*command, '--no-deps', '--no-index', str(wheel)], capture_output=True, text=True)
  assert done.returncode == 0, done.stderr
  (site / 'others.pth').write_text(sysconfig.get_path('purelib'))
  return folder / 'bin' / 'bloodcell'


def bloodcell(program: pathlib.Path, where: pathlib.Path, *arguments: object) -> tuple[int, str, str]:
  """Exit code, standard output, standard error of the installed command, started in a folder."""
  environment = {key: value for key, value in os.environ.items() if key not in ('PYTHONPATH', 'XLA_FLAGS')}
  command = [str(program), *map(str, arguments)]
  done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, timeout=300)
  return done.returncode, done.stdout, done.stderr


def test_the_wheel_carries_every_file_of_the_package_and_the_configs_and_nothing_else(wheel):
  with zipfile.ZipFile(wheel) as archive:
    inside = {name for name in archive.namelist() if '.dist-info/' not in name}
  assert inside == {name for name in tracked() if name.startswith(('bloodcell_jax/', 'configs/'))}


def test_the_command_says_what_it_does_in_any_folder(program, tmp_path):
  code, out, err = bloodcell(program, tmp_path, '--help')
  assert code == 0, err
  assert out.startswith('bloodcell [COMMAND]')
  assert '  predict ' in out


def test_the_configs_are_found_from_any_folder_and_one_s_own_come_first(program, tmp_path):
  wrong = '--config.train.epochs=0'
  code, _, err = bloodcell(program, tmp_path, '--config=configs/cnn_a.py:adam', wrong)
  assert (code, err.strip()) == (2, 'config.train.epochs is 0; it must be 1 or more')
  (tmp_path / 'configs').mkdir()
  (tmp_path / 'configs' / 'cnn_a.py').write_text(
    'from configs import default\ndef get_config():\n  c = default.get_config()\n  c.seed = -1\n  return c\n'
  )
  code, _, err = bloodcell(program, tmp_path, '--config=configs/cnn_a.py')
  assert code == 2
  assert err.startswith('seed is -1')


def test_photographs_are_predicted_from_any_folder_without_a_run_of_one_s_own(program, tmp_path):
  (tmp_path / 'slides').mkdir()
  for smear in embedded.draw_all(SMEARS):
    (tmp_path / 'slides' / smear.file.replace('/', '_')).write_bytes(smear.png)
  code, out, err = bloodcell(program, tmp_path, 'predict', 'slides', '--cells=one')
  assert code == 0, err
  assert out.startswith('the model in the box is used: ')
  with open(tmp_path / 'runs' / 'predict' / 'slides' / 'predictions.csv', newline='') as file:
    assert len(list(csv.DictReader(file))) == 8
  assert [path.name for path in tmp_path.iterdir() if path.name not in ('slides', 'runs')] == []
  before = [path.read_bytes() for path in sorted(program.parents[1].rglob('box/**/*')) if path.is_file()]
  assert before
  code, _, err = bloodcell(program, tmp_path, 'explain', '--workdir=box', 'slides', '--max_images=1')
  assert code == 0, err
  assert (tmp_path / 'runs' / 'box' / 'explain' / 'explain.html').exists()
  assert [
    path.read_bytes() for path in sorted(program.parents[1].rglob('box/**/*')) if path.is_file()
  ] == before


def test_extras_ask_for_the_versions_that_are_tested():
  extras = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['optional-dependencies']
  tested = {line.split('#')[0].strip() for line in (ROOT / 'requirements-dev.txt').read_text().splitlines()}
  assert set(extras['onnx']) <= tested


def test_a_config_of_the_package_is_meant_only_where_there_is_none_of_that_path(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  shipped = config_file.FOLDER / 'default.py'
  assert config_file.expand_argument('--config=configs/default.py:x') == f'--config={shipped}:x'
  for word in ('--config=default.py', '--config=configs/nowhere.py', '--config.seed=3', 'configs/default.py'):
    assert config_file.expand_argument(word) == word
  (tmp_path / 'configs').mkdir()
  (tmp_path / 'configs' / 'default.py').touch()
  assert config_file.expand_argument('--config=configs/default.py') == '--config=configs/default.py'
