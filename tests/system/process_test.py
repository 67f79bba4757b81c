"""The process' settings where the user has no home, or one that cannot be written."""

from __future__ import annotations

import os

import pytest

from bloodcell_jax.system import process


@pytest.fixture
def without_cache(monkeypatch):
  for name in (process.CACHE, 'XDG_CACHE_HOME', process.SWITCH):
    monkeypatch.delenv(name, raising=False)


def no_home(*args, **kwargs):
  raise RuntimeError('could not determine the home directory')


def nothing_known(*args, **kwargs):
  raise KeyError('getpwuid(): uid not found: 54321')


@pytest.mark.parametrize('answer', [no_home, nothing_known, lambda name: f'~/.cache/{name}'])
def test_a_user_without_a_home_gets_one_line_and_no_cache(answer, without_cache, monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(process.platformdirs, 'user_cache_dir', answer)
  line = process.set_up()
  assert line.startswith('this user has no home folder: compiled programs are not kept')
  assert '\n' not in line
  assert process.CACHE not in os.environ
  assert list(tmp_path.iterdir()) == [], 'no folder called ~'


def test_following_the_line_keeps_the_programs(without_cache, monkeypatch, tmp_path):
  monkeypatch.setattr(process.platformdirs, 'user_cache_dir', no_home)
  assert f'set {process.CACHE} to a folder' in process.set_up()
  monkeypatch.setenv(process.CACHE, str(tmp_path))
  assert process.set_up() == ''


def test_with_a_flag_that_crashes_the_cache_no_program_is_kept(without_cache, monkeypatch, tmp_path):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  monkeypatch.delenv('JAX_ENABLE_COMPILATION_CACHE', raising=False)
  monkeypatch.setenv('XLA_FLAGS', process.ONEDNN)
  assert process.set_up().startswith(
    f'XLA_FLAGS has {process.ONEDNN}, with which compiled programs cannot be kept'
  )
  assert os.environ.pop('JAX_ENABLE_COMPILATION_CACHE') == 'false'
  monkeypatch.setenv('XLA_FLAGS', process.ONEDNN.replace('true', 'false'))
  assert process.set_up() == ''
  monkeypatch.delenv(process.CACHE)


def test_a_home_that_is_no_folder_is_named(without_cache, monkeypatch, tmp_path):
  (tmp_path / 'home').write_text('')
  monkeypatch.setattr(process.platformdirs, 'user_cache_dir', lambda name: str(tmp_path / 'home' / name))
  assert process.set_up().startswith(f'{tmp_path / "home" / "bloodcell_jax"}: Not a directory')


def test_a_home_is_used_in_silence(without_cache, monkeypatch, tmp_path):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  assert process.set_up() == ''
  assert os.environ[process.CACHE].startswith(str(tmp_path / 'bloodcell_jax' / 'xla'))
  monkeypatch.delenv(process.CACHE)
