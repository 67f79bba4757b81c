"""Checkpoints whose files were cut short, emptied, flipped in one bit or removed: never another state in silence."""

from __future__ import annotations

import json
import os
import pathlib
import shutil

import damaging
import jax
import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.optim import keras
from bloodcell_jax.system import atomic
from bloodcell_jax.train import checkpoint, checkpoint_folder, checksums, history, state

OPTIMIZER = keras.Spec('sgd', 0.1, 0.0, 0.9, 0.9, False, 0.9, 0.999, 1e-7, 0.0, 0.0, 0.0)
STAGE_INFO = checkpoint_folder.StageInfo('train', 'abc', {'rescale': 0.5})


def make_state(epoch: int) -> state.State:
  kernel = np.random.default_rng(epoch).standard_normal((2, 3)).astype(np.float32)
  return state.create({'dense_1': {'kernel': kernel}}, keras.build(OPTIMIZER), False, 10 * epoch)


def run(folder: pathlib.Path, losses: list[float], first: int = 1) -> None:
  """Epochs of these losses, each saved."""
  records = [
    history.Record(i, 10 * i, 'train', 1.0, 0.5, loss, 0.5, 0.1, 2.0, 100.0, 0.0)
    for i, loss in enumerate(losses, 1)
  ]
  store = checkpoint.Store(folder, 'val_loss')
  for epoch in range(first, len(losses) + 1):
    store.save(checkpoint.Saved(make_state(epoch), records[:epoch], 0.25, STAGE_INFO), True)
  store.close()


def epoch_of(found: checkpoint.Saved) -> int:
  """The epoch whose bits the state has."""
  epoch = len(found.records)
  wanted = jax.tree.leaves(make_state(epoch))
  assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(found.state), wanted, strict=True))
  return epoch


def read(folder: pathlib.Path) -> tuple[int, int]:
  """The epochs of the newest and of the best."""
  store = checkpoint.Store(folder, 'val_loss')
  try:
    found = store.latest(lambda stage_info: make_state(0))
    return epoch_of(found) if found else 0, epoch_of(store.best(lambda stage_info: make_state(0)))
  finally:
    store.close()


@pytest.fixture(scope='module')
def three(tmp_path_factory) -> pathlib.Path:
  """Checkpoints 2 to 4; the last one is the best."""
  folder = tmp_path_factory.mktemp('three') / 'checkpoints'
  run(folder, [0.9, 0.8, 0.85, 0.5])
  assert sorted(path.name for path in folder.iterdir()) == ['3', '4']
  return folder


def files_of(folder: pathlib.Path) -> list[str]:
  return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())


@pytest.mark.parametrize('kind', damaging.KINDS)
def test_whatever_happens_to_a_file_the_newest_sound_checkpoint_is_used_or_the_file_is_named(
  kind, three, tmp_path, capsys
):
  seen = []
  names = files_of(three)
  assert len(names) > 20
  for i, name in enumerate(names):
    copy = tmp_path / str(i)
    shutil.copytree(three, copy)
    damaging.KINDS[kind](copy / name)
    number = int(name.split('/')[0])
    try:
      seen.append((name, number, read(copy), capsys.readouterr().err))
    except types.UserError as error:
      seen.append((name, number, str(error), capsys.readouterr().err))
  for name, number, found, told in seen:
    if found == (4, 4):
      # Harmless, or the older one of the two: its loss takes nothing away.
      assert number == 3 or checksums.METADATA in name or name.endswith(('txt', checksums.FILE)), (name, told)
      continue
    # The best one up to the third epoch was the second, which had been removed by then: none is left.
    assert isinstance(found, str), (name, found)
    assert str(number) in found
    assert '\n' not in found
    assert number == 4
    assert told.count('passed over') == 1
  assert sum(isinstance(found, str) for _, _, found, _ in seen) >= len(names) // 2 - 5


@pytest.mark.parametrize('kind', damaging.KINDS)
def test_the_run_goes_on_from_the_one_before_and_sets_the_damaged_one_aside(kind, tmp_path, capsys):
  run(tmp_path, [0.9, 0.8, 0.7])
  damaging.KINDS[kind](tmp_path / '3' / 'progress' / 'metadata')
  assert read(tmp_path) == (2, 2)
  assert 'progress/metadata' in capsys.readouterr().err
  assert (tmp_path / '3').exists(), 'who only reads changes nothing'
  run(tmp_path, [0.9, 0.8, 0.7, 0.6], first=3)
  assert read(tmp_path) == (4, 4)
  assert (tmp_path / 'damaged-3').is_dir()
  assert 'set aside' in capsys.readouterr().err


def test_a_kill_while_an_old_checkpoint_goes_leaves_none_that_looks_damaged(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(shutil, 'rmtree', lambda *given, **more: None)
  run(tmp_path, [0.9, 0.8, 0.7])
  monkeypatch.undo()
  # Half of the first one's files are gone when the kill falls.
  (removed,) = tmp_path.glob('.removed*')
  for path in [path for path in sorted(removed.rglob('*')) if path.is_file()][::2]:
    path.unlink()
  assert read(tmp_path) == (3, 3)
  atomic.clear(tmp_path, [])
  assert sorted(path.name for path in tmp_path.iterdir()) == ['2', '3']
  run(tmp_path, [0.9, 0.8, 0.7, 0.6], first=4)
  assert sorted(path.name for path in tmp_path.iterdir()) == ['3', '4'], 'nothing is left when a run ends'
  assert capsys.readouterr().err == ''


def test_a_damaged_best_checkpoint_is_never_replaced_by_the_second_best(tmp_path, capsys):
  run(tmp_path, [0.5, 0.9, 0.8])
  assert read(tmp_path) == (3, 1)
  shutil.copytree(tmp_path, twin := tmp_path.with_name('twin'))
  damaging.flip(next((tmp_path / '1' / 'state').rglob('manifest.ocdbt')))
  with pytest.raises(
    types.UserError, match=r'1/state/.*: differs from what was written; the run cannot continue'
  ):
    read(tmp_path)
  assert read(twin) == (3, 1), 'the check lets a sound one pass'
  shutil.rmtree(twin / '1')
  with pytest.raises(types.UserError, match='cannot continue'):
    read(twin)


def test_a_checkpoint_of_before_there_were_sums_is_read(tmp_path):
  run(tmp_path, [0.9, 0.8])
  for path in tmp_path.rglob(checksums.FILE):
    path.unlink()
  for path in tmp_path.glob('*/progress/metadata'):
    progress = json.loads(path.read_text())
    del progress['best']
    path.write_text(json.dumps(progress))
  assert read(tmp_path) == (2, 2)


def test_a_reader_leaves_what_is_being_written_alone(tmp_path):
  run(tmp_path, [0.9])
  (tmp_path / '2.orbax-checkpoint-tmp').mkdir()
  assert read(tmp_path) == (1, 1)
  assert (tmp_path / '2.orbax-checkpoint-tmp').exists()


class Full:
  """A disk without room, from the n-th synchronisation on."""

  def __init__(self, monkeypatch):
    self.is_full = False
    original = os.fsync

    def fsync(handle):
      if self.is_full:
        raise OSError(28, os.strerror(28))
      original(handle)

    monkeypatch.setattr(os, 'fsync', fsync)


def test_a_disk_that_is_full_is_one_line_and_the_checkpoints_before_are_intact(tmp_path, monkeypatch):
  disk = Full(monkeypatch)
  run(tmp_path, [0.9, 0.8])
  disk.is_full = True
  with pytest.raises(types.RunError, match='a checkpoint could not be written') as caught:
    run(tmp_path, [0.9, 0.8, 0.7], first=3)
  assert 'No space left on device' in str(caught.value)
  assert '\n' not in str(caught.value)
  assert read(tmp_path) == (2, 2)
  disk.is_full = False
  run(tmp_path, [0.9, 0.8, 0.7], first=3)
  assert read(tmp_path) == (3, 3)
  assert not list(tmp_path.glob('*tmp*'))
