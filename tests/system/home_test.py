"""`~` where a path is typed: replaced as a shell would, or refused; never a folder of that name."""

from __future__ import annotations

import getpass
import os
import pathlib

import pytest

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data.sources import embedded, input_paths
from bloodcell_jax.system import home
from configs import default


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path / 'ada'))
  (tmp_path / 'ada').mkdir()
  monkeypatch.chdir(tmp_path)
  return tmp_path / 'ada'


@pytest.mark.parametrize(
  ('typed', 'meant'),
  [
    ('--workdir=~/x', '--workdir={}/x'),
    ('--config.data.dir=~', '--config.data.dir={}'),
    ('-config.weights.path=~/w.h5', '-config.weights.path={}/w.h5'),
    ('--config=~/mine.py:adam', '--config={}/mine.py:adam'),
    ('~/slides/*.png', '{}/slides/*.png'),
    ('--to=a~b', '--to=a~b'),
    ('./~/x', './~/x'),
    ('predict', 'predict'),
    ('--config.augment.fill_mode=nearest', '--config.augment.fill_mode=nearest'),
  ],
)
def test_a_word_of_the_command_line(typed, meant, at_home):
  assert home.expand_argument(typed) == meant.format(at_home)


def test_the_home_of_a_user_by_name():
  name = getpass.getuser()
  assert home.expand(f'~{name}/x') == os.path.expanduser(f'~{name}/x') != f'~{name}/x'


def test_a_user_who_is_not_there_is_named_and_a_file_of_such_a_name_is_a_file(tmp_path):
  with pytest.raises(
    ValueError, match=r'^~nobody-here/x: there is no user nobody-here; write the whole path'
  ):
    home.expand_argument('--workdir=~nobody-here/x')
  (tmp_path / '~backup.png').write_text('')
  assert home.expand('~backup.png') == '~backup.png'


def test_without_a_home_it_is_refused(monkeypatch):
  monkeypatch.setattr(os.path, 'expanduser', lambda path: path)
  with pytest.raises(ValueError, match='this user has no home folder; write the whole path'):
    home.expand('~/x')


def test_the_keys_of_a_config_file(at_home):
  config = default.get_config()
  config.data.source, config.data.dir, config.data.groups_csv = 'folders', '~/cells', '~/groups.csv'
  config.weights.path, config.augment.preprocessing_function = '~/w.h5', 'weights'
  exp = experiment.resolve(config)
  assert exp.data.dir == f'{at_home}/cells'
  assert exp.data.groups_csv == f'{at_home}/groups.csv'
  assert exp.weights.path == f'{at_home}/w.h5'
  config.data.dir = '~nobody-here'
  with pytest.raises(types.UserError, match=r'^config.data: ~nobody-here: there is no user'):
    experiment.resolve(config)


def test_the_files_of_a_list(at_home, tmp_path):
  spec = embedded.Spec(num_train=1, num_test=1, num_copies=1, height=32, width=32, seed=0)
  picture = next(iter(embedded.draw_all(spec))).png
  (at_home / 'a.png').write_bytes(picture)
  (tmp_path / '~b.png').write_bytes(picture)
  pathlib.Path('list.csv').write_text('file\n~/a.png\n~b.png\n')
  found, _ = input_paths.find(['list.csv'])
  assert sorted(os.path.realpath(one.path) for one in found) == [
    str(at_home / 'a.png'),
    str(tmp_path / '~b.png'),
  ]
