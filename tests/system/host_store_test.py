"""Values and folders of hosts: given once, to whoever belongs to them, and kept as a whole or not at all."""

from __future__ import annotations

import threading

import pytest

from bloodcell_jax.system import host_store
from tests.train import apart


@pytest.fixture
def pair():
  with apart.pair() as both:
    yield both


def test_of_hosts_that_ask_at_once_one_gets_its_own_value(pair):
  first, second = (group.store for group in pair)
  values: list[list[str]] = [[], []]

  def take(place: int, store: host_store.Store) -> None:
    values[place] = [store.setdefault(f'taken/{i}', str(place)) for i in range(200)]

  threads = [threading.Thread(target=take, args=each) for each in enumerate((first, second))]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert values[0] == values[1]
  assert dict(second.key_value_dir_get('taken/1')) == {
    f'taken/{i}': value for i, value in enumerate(values[0]) if str(i).startswith('1')
  }


def test_a_value_that_is_not_there_is_waited_for(pair):
  first, second = (group.store for group in pair)
  with pytest.raises(TimeoutError):
    second.blocking_key_value_get('a', 10)
  threading.Timer(0.2, lambda: first.key_value_set('a', 'b')).start()
  assert second.blocking_key_value_get('a', 5000) == 'b'


def test_a_host_that_does_not_know_the_word_gets_no_answer_and_changes_nothing(pair):
  first, second = pair
  second.store._token = 'other'
  with pytest.raises(OSError, match='ended the connection'):
    second.store.key_value_set('a', 'b')
  assert first.store.key_value_dir_get('') == []
  second.store._token = 'word'
  second.store.key_value_set('a', 'b')
  assert first.store.key_value_dir_get('') == [('a', 'b')]


def test_a_folder_that_nobody_expects_is_not_kept(pair, tmp_path):
  first, second = pair
  (tmp_path / 'a').mkdir()
  first.store.places = {'0': (tmp_path / 'b', lambda new: None)}
  assert 'is not expected' in second.store.send('../c', tmp_path / 'a')
  assert sorted(path.name for path in tmp_path.iterdir()) == ['a']
  assert second.store.send('0', tmp_path / 'a') == ''
  assert sorted(path.name for path in tmp_path.iterdir()) == ['a', 'b']


def test_a_folder_that_cannot_be_kept_leaves_the_one_before_it(pair, tmp_path):
  first, second = (group.store for group in pair)
  for name in ('sent', 'kept'):
    (tmp_path / name).mkdir()
    (tmp_path / name / 'a').write_text(name)

  def refuse(new):
    raise ValueError('no config')

  first.places = {'0': (tmp_path / 'kept', refuse)}
  assert second.send('0', tmp_path / 'sent') == f'{tmp_path / "kept"}: no config'
  assert (tmp_path / 'kept' / 'a').read_text() == 'kept'
  assert sorted(path.name for path in tmp_path.iterdir()) == ['kept', 'sent']
  first.places = {'0': (tmp_path / 'kept', lambda new: None)}
  assert second.send('0', tmp_path / 'sent') == ''
  assert (tmp_path / 'kept' / 'a').read_text() == 'sent'
