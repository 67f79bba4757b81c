"""A process that was killed while it wrote a compiled program: JAX keeps programs again after the next start."""

from __future__ import annotations

import pathlib

import filelock
import jax
import kept_programs
import pytest
from jax._src import lru_cache
from jax.experimental.compilation_cache import compilation_cache

from bloodcell_jax.system import process, program_cache


@pytest.fixture
def kept(tmp_path, monkeypatch):
  """The folder in which JAX keeps all programs that are compiled in this test, after its search as outside tests."""
  monkeypatch.setattr(lru_cache.LRUCache, '_evict_if_needed', kept_programs.search)
  values = {
    'jax_compilation_cache_dir': str(tmp_path),
    'jax_persistent_cache_min_compile_time_secs': 0.0,
    'jax_compilation_cache_max_size': process.MOST_CACHED_BYTES,
  }
  before = {key: getattr(jax.config, key) for key in values}
  for key, value in values.items():
    jax.config.update(key, value)
  compilation_cache.reset_cache()
  yield tmp_path
  for key, value in before.items():
    jax.config.update(key, value)
  compilation_cache.reset_cache()


def compile_program(number: int, folder: pathlib.Path) -> set[pathlib.Path]:
  """Compiles a program of its own; the files that this leaves."""
  before = set(folder.glob('*-cache'))
  jax.jit(lambda x: x * number + number)(float(number))
  return set(folder.glob('*-cache')) - before


def halve(program: pathlib.Path) -> None:
  """Leaves of an entry what a kill between its two files does."""
  program.with_name(program.name.removesuffix('-cache') + '-atime').unlink()


def test_half_an_entry_keeps_jax_from_writing_until_the_next_start_removes_it(kept, monkeypatch):
  whole, half = (compile_program(number, kept).pop() for number in (3, 4))
  halve(half)
  # Negative control: with the half there, no program is kept. JAX 0.12 keeps them, but reads the half for whole.
  if jax.__version_info__ < (0, 11):
    assert compile_program(5, kept) == set()
  monkeypatch.setenv(process.CACHE, str(kept))
  process.keep_compiled()
  assert not half.exists()
  assert whole.exists()
  assert len(compile_program(6, kept)) == 1


def test_an_entry_that_is_being_written_stays(kept):
  halve(half := compile_program(7, kept).pop())
  with filelock.FileLock(kept / '.lockfile'):
    assert program_cache.remove_halves(kept, 0.0) == 0
    assert half.exists()
  assert program_cache.remove_halves(kept, 0.0) == 1
  assert not half.exists()


def test_a_folder_that_is_not_there_is_no_error(tmp_path):
  assert program_cache.remove_halves(tmp_path / 'nowhere') == 0
  assert program_cache.remove_halves('gs://bucket/cache') == 0
