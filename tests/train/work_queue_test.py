"""Hosts divide work: each piece is done once, host 0 has all of it, and a stop or an end of one host is one of all."""

from __future__ import annotations

import json
import pathlib
import threading
import time

import pytest

from bloodcell_jax.base import types
from bloodcell_jax.system import host_store
from bloodcell_jax.train import agreed_stop, hosts, progress, signals, work_queue
from bloodcell_jax.train.work_queue import BEGUN, DONE, EVALUATED, NEW
from tests.train import apart


@pytest.fixture
def pair():
  with apart.pair() as both:
    yield both


class Work:
  """Two hosts, each with its root, that divide pieces of which each writes who did it."""

  def __init__(self, group: list[hosts.Hosts], roots: list[pathlib.Path], states: list[list[int]]):
    self.roots, self.states, self.done, self.errors = roots, states, [[], []], [None, None]
    self.adopted: list[str] = []
    self.group = group
    self.stop = [signals.Stop(), signals.Stop()]
    for root in roots[:1]:
      root.mkdir(exist_ok=True)
    # Neither goes ahead before the other has taken one.
    self.meeting = threading.Barrier(2)

  def run(self, index: int) -> None:
    group, root = self.group[index], self.roots[index]
    stop = agreed_stop.shared(self.stop[index], group)

    def work(i: int) -> None:
      if not self.done[index]:
        self.meeting.wait(10)  # less than what a host is given to end
      folder = root / 'members' / str(i)
      folder.mkdir(parents=True, exist_ok=True)
      (folder / 'config.json').write_text(json.dumps({'by': index}))
      self.done[index].append(i)

    try:
      with group.together():
        queue = work_queue.Queue(group, root, lambda new: self.adopted.append(new.name))
        pieces = [
          work_queue.Piece(f'member {i}', root / 'members' / str(i), state)
          for i, state in enumerate(self.states[index])
        ]
        queue.run(pieces, work, stop, progress.Progress(index == 0))
        group.from_first('end', lambda: None)
    except Exception as error:
      self.errors[index] = error

  def finish(self) -> Work:
    apart.run(self.group, self.run)
    return self


def by(root: pathlib.Path) -> list[int]:
  """Who did each piece that lies here."""
  places = sorted((root / 'members').iterdir())
  return [json.loads((place / 'config.json').read_text())['by'] for place in places]


def test_each_piece_is_done_by_one_host_and_sent_to_host_0_where_there_is_no_common_disk(
  pair, tmp_path, capsys
):
  shared = Work(pair, [tmp_path / 'a', tmp_path / 'b'], [[NEW] * 5, [NEW] * 5]).finish()
  assert shared.errors == [None, None]
  assert sorted([*shared.done[0], *shared.done[1]]) == [0, 1, 2, 3, 4]
  assert all(shared.done)
  assert [i for i, who in enumerate(by(tmp_path / 'a')) if who] == sorted(shared.done[1])
  assert len(shared.adopted) == len(shared.done[1])
  assert not (tmp_path / 'b').exists(), 'what was sent is not kept twice'
  assert sorted(path.name for path in (tmp_path / 'a').iterdir()) == ['members']
  assert f'member {shared.done[1][0]}: done on host 1' in capsys.readouterr().out


def test_nothing_is_sent_where_the_disk_is_common(pair, tmp_path):
  common = Work(pair, [tmp_path / 'a', tmp_path / 'a'], [[DONE] + [NEW] * 3] * 2).finish()
  assert common.errors == [None, None]
  assert sorted([*common.done[0], *common.done[1]]) == [1, 2, 3], 'what host 0 has is not done again'
  assert common.adopted == []
  assert sorted(by(tmp_path / 'a')) == sorted([0] * len(common.done[0]) + [1] * len(common.done[1]))


@pytest.mark.parametrize('index', [0, 1])
def test_a_host_takes_first_what_it_has_begun_and_last_what_another_has(index):
  states = [[DONE, BEGUN, NEW, EVALUATED, NEW], [NEW, NEW, BEGUN, NEW, NEW]]
  assert work_queue.order(states, index, True) == ([1, 3, 4, 2] if index == 0 else [2, 4, 1, 3])
  # What is evaluated on host 0 has its checkpoints there alone.
  assert work_queue.order(states, 1, False) == [2, 4, 1]


def test_what_a_host_has_finished_without_host_0_knowing_is_sent_first():
  assert work_queue.order([[NEW, NEW, NEW], [NEW, NEW, DONE]], 1, False) == [2, 0, 1]


@pytest.mark.parametrize('asked', [0, 1])
def test_a_stop_of_one_host_stops_both(pair, tmp_path, asked):
  work = Work(pair, [tmp_path / 'a', tmp_path / 'b'], [[NEW] * 400, [NEW] * 400])
  stopping = threading.Timer(0.5, lambda: setattr(work.stop[asked], 'requested', True))
  # Not before both have begun: one that is stopped first leaves the other waiting for it.
  work.meeting = threading.Barrier(2, stopping.start)
  slow = work_queue.Queue.run

  def slowly(queue, pieces, do, *rest):
    slow(queue, pieces, lambda i: (do(i), time.sleep(0.05)), *rest)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(work_queue.Queue, 'run', slowly)
    work.finish()
  assert [type(error) for error in work.errors] == [signals.Stopped, signals.Stopped]
  assert len(work.done[0]) + len(work.done[1]) < 400


def test_where_host_0_is_gone_it_is_the_one_that_is_named(monkeypatch):
  """Nothing is heard of host 2 either, whose last sign of life may be older."""
  monkeypatch.setattr(hosts, 'LOST', 1.5)
  with apart.pair() as both:
    group = hosts.Hosts(1, 3, both[1].store)
    group.start()
    for beat in range(20):
      both[0].store.key_value_set('alive/0', str(beat))
      both[0].store.key_value_set('alive/2', str(beat if beat < 12 else 12))
      time.sleep(0.1)
    assert group.ending is None
    # Nobody listens there.
    group.store._where = ('127.0.0.1', 1)
    group.store.close()
    end = time.monotonic() + 30
    while group.ending is None and time.monotonic() < end:
      time.sleep(0.05)
    group._left.set()
  assert group.ending is not None
  assert group.ending[1].startswith('host 0 no longer answers. The newest checkpoint is kept')


def test_an_error_of_one_host_ends_both_and_the_other_says_which(pair, tmp_path):
  work = Work(pair, [tmp_path / 'a', tmp_path / 'b'], [[NEW] * 3, [NEW] * 3])
  with pytest.MonkeyPatch.context() as patch:
    # A stream that is cut: as many names are announced as before, and one of them is missing.
    write = host_store.folder_stream.write
    patch.setattr(host_store.folder_stream, 'write', lambda folder, some, to: write(folder, some[1:], to))
    work.finish()
  first, second = work.errors
  assert isinstance(second, types.RunError)
  assert 'could not be sent to host 0' in str(second)
  assert 'the stream ends early' in str(second)
  assert isinstance(first, types.RunError)
  assert str(first).startswith('host 1 has ended: member ')
  assert work.done[1][0] not in [int(path.name) for path in (tmp_path / 'a' / 'members').iterdir()]
  assert (tmp_path / 'b' / 'members' / str(work.done[1][0])).is_dir(), 'what was not sent is kept'
