"""How much memory there is is known from what limits it, and what is more than that is refused before it is taken."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from bloodcell_jax.base import types
from bloodcell_jax.data.images import image_buffer
from bloodcell_jax.system import memory
from bloodcell_jax.train import devices

ROOT = pathlib.Path(__file__).parent.parent.parent
GB = 2**30
COMPILED = '/jax/core/compile/backend_compile_duration'
SHOW = 'from bloodcell_jax.system import memory; print(memory.available())'


def group(folder: pathlib.Path, **files: object) -> None:
  folder.mkdir(parents=True, exist_ok=True)
  for name, value in files.items():
    (folder / name.replace('__', '.')).write_text(f'{value}\n')


def test_every_group_above_a_process_counts(tmp_path):
  stat = 'anon 5\ninactive_file 900\nactive_file 100\n'
  group(tmp_path / 'job', memory__max=9000, memory__current=6000, memory__stat=stat)
  group(tmp_path / 'job' / 'step', memory__max='max', memory__current=5000, memory__stat=stat)
  group(tmp_path, memory__max=20000, memory__current=6000, memory__stat='')
  found = list(memory._of_groups('0::/job/step\n', tmp_path))
  assert found == [9000 - 6000 + 1000, 20000 - 6000], 'files that were read can be given back'
  assert list(memory._of_groups('0::/elsewhere\n', tmp_path)) == [14000], (
    'a container sees its own as the top'
  )


def test_the_older_kind_of_group_counts(tmp_path):
  files = {
    'memory__limit_in_bytes': 700,
    'memory__usage_in_bytes': 300,
    'memory__stat': 'total_inactive_file 20\ntotal_active_file 30',
  }
  group(tmp_path / 'memory' / 'a', **files)
  assert list(memory._of_groups('3:cpuset:/\n4:memory:/a\n', tmp_path)) == [450]
  assert list(memory._of_groups('3:cpuset:/a\n', tmp_path)) == []


def test_what_cannot_be_read_limits_nothing(tmp_path):
  group(tmp_path, memory__max='some', memory__current=1, memory__stat='')
  assert list(memory._of_groups('0::/\n', tmp_path)) == []


def test_where_nothing_limits_the_machine_itself_does(monkeypatch):
  monkeypatch.setattr(memory, '_of_groups', lambda named, top: iter(()))
  monkeypatch.setattr(memory, '_of_process', lambda: iter(()))
  monkeypatch.setattr(memory, '_of_machine', lambda *fields: len(fields) * GB)
  assert (memory.available(), memory.obtainable(), memory.shortage()) == (GB, 2 * GB, '')


def available_after(limit: str) -> int:
  """What a new process finds available once its shell has limited itself."""
  command = ['sh', '-c', f'{limit}; exec {sys.executable} -c "{SHOW}"']
  return int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def test_a_limit_of_the_process_is_known():
  found = available_after(f'ulimit -v {GB // 2**10}')
  assert 0 < found < GB
  assert memory.available() > found


def test_swap_counts_for_what_can_be_had_and_not_for_what_is_free():
  with open('/proc/meminfo') as file:
    swap = next(1024 * int(line.split()[1]) for line in file if line.startswith('SwapFree'))
  machine, both = memory._of_machine('MemAvailable'), memory._of_machine('MemAvailable', 'SwapFree')
  assert abs(both - machine - swap) < GB, 'others take and give between the two'
  assert memory._of_machine('SwapFree') == pytest.approx(swap, abs=GB / 4)


def test_images_that_do_not_fit_are_refused_before_they_are_written(monkeypatch, tmp_path):
  monkeypatch.setattr(memory, 'obtainable', lambda: 1000)
  with pytest.raises(types.RunError, match=r'data\.cache=disk'):
    image_buffer.make((10, 10, 10, 3), 'memory', tmp_path)
  assert image_buffer.make((10, 5, 6, 3), 'memory', tmp_path).nbytes == 900


def double(params, batch):
  return batch.image_BHWC * params


@pytest.fixture
def batch() -> types.Batch:
  return types.Batch(
    np.ones((4, 8, 8, 3), np.float32), np.zeros((4, 2)), np.ones(4), np.arange(4, dtype=np.int32)
  )


def test_a_batch_that_does_not_fit_is_refused_before_it_is_computed(monkeypatch, batch, capsys):
  out = batch.image_BHWC.nbytes
  monkeypatch.setattr(memory, 'free', lambda device: out - 1)
  apply = devices.make_apply(double, devices.devices(1, 'pmap'))
  with pytest.raises(types.RunError, match=r'lower evaluate\.batch_size'):
    apply(np.float32(2), batch)
  monkeypatch.setattr(memory, 'free', lambda device: out)
  assert apply(np.float32(2), batch).sum() == 2 * batch.image_BHWC.sum(), 'and is computed once there is room'
  assert 'the system may kill this process' in capsys.readouterr().err, 'the peak may not fit'
  monkeypatch.setattr(memory, 'free', lambda device: pytest.fail('asked once'))
  apply(np.float32(2), batch)
  assert not capsys.readouterr().err


def test_a_batch_with_room_to_spare_is_computed_without_a_word(monkeypatch, batch, capsys):
  monkeypatch.setattr(memory, 'free', lambda device: memory.PEAK_FACTOR * batch.image_BHWC.nbytes)
  devices.make_apply(double, devices.devices(1, 'pmap'))(np.float32(2), batch)
  assert capsys.readouterr().err == ''


@contextlib.contextmanager
def caching(is_kept: bool, folder: pathlib.Path):
  """JAX with a persistent cache of all programs in this folder, or with none."""
  keys = (
    'jax_compilation_cache_dir',
    'jax_persistent_cache_min_compile_time_secs',
    'jax_enable_compilation_cache',
  )
  before = {key: getattr(jax.config, key) for key in keys}
  for key, value in zip(keys, (str(folder), 0.0, is_kept), strict=True):
    jax.config.update(key, value)
  compilation_cache.reset_cache()
  try:
    yield
  finally:
    for key, value in before.items():
      jax.config.update(key, value)
    compilation_cache.reset_cache()


def of_two_kinds(on, added: float):
  """What a call of each kind of compiled function compiles: an evaluation, and an update that donates its state."""

  def update(state, batch, key, scale):
    return state + scale * jax.lax.psum(batch.image_BHWC.sum() + added, devices.AXIS), batch.weight_B.sum()

  apply = devices.make_apply(lambda *given: double(*given) + added, on)
  train = devices.make_train(update, on)
  return {
    'evaluation': lambda batch: apply(np.float32(2), batch),
    'update': lambda batch: train(np.zeros((), np.float32), batch, jax.random.key(0), np.float32(1)),
  }


@pytest.mark.parametrize('is_kept', [False, True], ids=['no persistent cache', 'persistent cache'])
@pytest.mark.parametrize('kind', ['evaluation', 'update'])
def test_the_question_costs_no_second_compilation(kind, is_kept, batch, tmp_path):
  names: list[str] = []

  def listen(name: str, seconds: float, **more: object) -> None:
    names.append(name)

  # Functions that no other test has compiled.
  call, other = (
    of_two_kinds(devices.devices(1, 'pmap'), added)[kind] for added in (1.5 + is_kept, 3.5 + is_kept)
  )
  call_again = dataclasses.replace(batch, weight_B=batch.weight_B + 1)
  jax.random.key(0)  # compiled before anything is counted
  # Every program is kept, or none.
  with caching(is_kept, tmp_path):
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
      call(batch)
      call(call_again)
      assert names.count(COMPILED) == 1
      other(batch)
      assert names.count(COMPILED) == 2, 'another function is compiled anew'
    finally:
      jax.monitoring.unregister_event_duration_listener(listen)
    assert bool(list(tmp_path.iterdir())) == is_kept


@contextlib.contextmanager
def limited(num_bytes: int):
  """The file to whose list a process adds itself, to have no more memory than this."""
  top = pathlib.Path('/sys/fs/cgroup/memory')
  place = top / f'test-{os.getpid()}'
  try:
    place.mkdir()
    (place / 'memory.limit_in_bytes').write_text(str(num_bytes))
  except OSError:
    pytest.skip('no right to make a control group of memory')
  try:
    yield place / 'cgroup.procs'
  finally:
    place.rmdir()


def test_a_real_group_is_known():
  with limited(GB) as procs:
    assert 0.8 * GB < available_after(f'echo $$ > {procs}') < GB
