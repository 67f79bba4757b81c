"""A disk that is full or read-only, at one write after another: one line, and the run goes on once there is room."""

from __future__ import annotations

import gc
import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable, Iterator

import pytest

from bloodcell_jax import commands
from bloodcell_jax.base import types
from bloodcell_jax.commands import train
from bloodcell_jax.config import experiment
from bloodcell_jax.data.images import feature_cache, image_buffer
from bloodcell_jax.system import atomic, lock, unwritable
from bloodcell_jax.train import signals
from configs import default

CHANGES = {
  'data.image_size': 46, 'data.pipeline': 'numpy', 'data.cache': 'memory', 'data.embedded.num_train': 8,
  'data.embedded.num_test': 2, 'data.embedded.num_copies': 1, 'data.embedded.height': 48, 'data.embedded.width': 64,
  'train.batch_size': 4, 'train.epochs': 2, 'train.steps_per_epoch': 3, 'train.num_devices': 1,
  'train.checkpoint_every': 2.0, 'train.checkpoint_unit': 'steps', 'evaluate.num_resamples': 100,
}  # fmt: skip


def run(folder: pathlib.Path) -> str:
  """Trains to the end; what stood in the way, or nothing."""
  flat = {**experiment.flat(default.get_config()), **CHANGES}
  said = ''
  try:
    train.run(commands.Request(experiment.nest(flat), 'test', str(folder), ()), signals.Stop())
  except (types.UserError, types.RunError, OSError) as error:
    said = f'{type(error).__name__}: {error}'
  if said:
    # What a failed write leaves warns when it is collected: here, and not in the test that comes next.
    gc.collect()
  return said


def answers(folder: pathlib.Path) -> dict[str, bytes]:
  names = ('metrics.json', 'calibration.json', 'predictions/validation.csv', 'predictions/test.csv')
  return {name: (folder / name).read_bytes() for name in names}


# Orbax abandons a coroutine when a write fails, and its loop is closed by the time it is collected.
WARNS = pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
Disk = Callable[[str], pathlib.Path]


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
  """A function that makes the small disk of these mount options, or gives it others."""
  place = tmp_path / 'disk'
  place.mkdir()
  mounted = False

  def mount(options: str) -> pathlib.Path:
    nonlocal mounted
    given = f'remount,{options}' if mounted else options
    command = ['mount', '-t', 'tmpfs', '-o', given, 'none', str(place)]
    done = subprocess.run(command, capture_output=True, text=True) if os.geteuid() == 0 else None
    if done is None or (done.returncode and not mounted):
      pytest.skip('only root may mount a small disk')
    assert done.returncode == 0, done.stderr
    mounted = True
    return place

  yield mount
  if mounted:
    subprocess.run(['umount', '-l', str(place)], check=True)


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory) -> tuple[dict[str, bytes], int, pathlib.Path]:
  """What the run says, the bytes that its folder takes, and the folder."""
  folder = tmp_path_factory.mktemp('undisturbed') / 'run'
  assert run(folder) == ''
  size = sum(path.stat().st_size for path in folder.rglob('*') if path.is_file())
  return answers(folder), size, folder


@WARNS
def test_a_full_disk_is_one_line_and_with_room_the_run_comes_to_the_same_end(undisturbed, disk):
  wanted, size, _ = undisturbed
  # In the first config, in a checkpoint, in the report; each time with more room, where the run goes on.
  for share in (0.001, 0.3, 0.9):
    folder = disk(f'size={int(share * size) // 1024}k') / 'run'
    said = run(folder)
    assert 'No space left on device' in said, share
    assert '\n' not in said
  disk(f'size={4 * size // 1024}k')
  assert run(folder) == ''
  assert answers(folder) == wanted
  assert not [
    path for path in folder.rglob('*') if path.name.endswith('.tmp') or 'orbax-checkpoint-tmp' in path.name
  ]


@WARNS
def test_a_read_only_folder_is_one_line_and_nothing_of_it_changes(undisturbed, disk):
  wanted, size, finished = undisturbed
  folder = shutil.copytree(finished, disk(f'size={4 * size // 1024}k') / 'run')
  assert run(folder) == ''
  (folder / 'metrics.json').unlink()
  # An open file would keep the disk writable.
  lock.release()
  disk('ro')
  said = run(folder)
  assert 'Read-only file system' in said
  assert '\n' not in said
  disk('rw')
  assert run(folder) == ''
  assert answers(folder) == wanted


def test_room_is_reserved_before_it_is_mapped(disk):
  folder = disk('size=1m')
  with pytest.raises(types.UserError, match='are needed for the decoded images'):
    image_buffer.make((100, 128, 128, 3), 'disk', folder)
  assert image_buffer.make((10, 64, 64, 3), 'disk', folder).shape == (10, 64, 64, 3)


def test_features_that_another_program_took_the_room_of_are_an_error_and_no_crash(disk, monkeypatch):
  folder = disk('size=1m')
  # The room is there when it is asked for and gone when it is written.
  monkeypatch.setattr(feature_cache, 'check_room', lambda directory, needed: 0)
  with pytest.raises(OSError, match='No space left'):
    feature_cache.read_or_build(
      folder,
      'maps',
      (64, 32, 32, 16),
      'float32',
      lambda rows: pytest.fail('computed'),
      lambda done, total: None,
    )


def test_a_write_that_names_no_file_is_told_with_its_folder_and_works_once_there_is_room(disk):
  place = disk('size=64k')
  (place / 'filler').write_bytes(bytes(60 * 1024))

  def make() -> None:
    with atomic.folder(place / 'made') as folder:
      (folder / 'file').write_bytes(bytes(8 * 1024))

  def refused(call: Callable[[], None]) -> str:
    with pytest.raises(OSError, match='No space left on device') as error:
      call()
    assert unwritable.advice(error.value, '') == 'free some space there and give the same command again'
    return error.value.filename

  assert refused(make) == str(place / 'made')
  lock.take(place / 'run')
  lock.release()
  with open(place / 'filler', 'ab') as file, pytest.raises(OSError, match='No space'):
    file.write(bytes(64 * 1024))
  assert refused(lambda: lock.take(place / 'run')) == str(place / 'run')
  assert list((place / 'run').iterdir()) == []
  (place / 'filler').unlink()
  lock.take(place / 'run')
  lock.release()
  make()
  assert [path.name for path in (place / 'made').iterdir()] == ['file']
