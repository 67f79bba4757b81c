"""The package as people install it: a wheel, a fresh environment, the command `bloodcell`, another folder."""

from __future__ import annotations

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

from bloodcell_jax.system import config_file

ROOT = pathlib.Path(__file__).parent.parent
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
