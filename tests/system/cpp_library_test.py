"""C++ code that is compiled when it is needed: kept, or done without."""

import shutil
import stat

import pytest

from bloodcell_jax.system import cpp_library, process

SOURCE = 'extern "C" int answer() { return VALUE; }\n'


@pytest.fixture
def source(tmp_path, monkeypatch):
  if not cpp_library._compiler():
    pytest.skip('no C++ compiler here')
  monkeypatch.setenv(process.CACHE, str(tmp_path / 'programs'))
  monkeypatch.delenv(cpp_library.COMPILER, raising=False)
  path = tmp_path / 'answer.cc'
  path.write_text(SOURCE.replace('VALUE', '42'))
  return path


def load(source, version='1'):
  # Past the cache of this process, as a new one.
  return cpp_library.load.__wrapped__(source, '.', version)


def names(tmp_path):
  paths = (tmp_path / 'programs').iterdir()
  return sorted(path.name for path in paths if path.suffix != '.lock')


def test_a_library_is_compiled_once_and_kept_whatever_the_compiler_is_then(source, tmp_path, monkeypatch):
  assert load(source).library.answer() == 42
  (kept,) = names(tmp_path)
  assert kept.startswith('answer-')
  assert kept.endswith('.so')
  monkeypatch.setenv(cpp_library.COMPILER, '/nowhere/c++')
  assert load(source).library.answer() == 42
  assert 'no C++ compiler' in load(source, '2').reason, 'of other headers'
  source.write_text(SOURCE.replace('VALUE', '43'))
  assert load(source).library is None, 'of other code'
  monkeypatch.delenv(cpp_library.COMPILER)
  assert load(source).library.answer() == 43
  assert len(names(tmp_path)) == 2


def test_what_a_killed_process_has_left_is_removed(source, tmp_path):
  load(source)
  (kept,) = names(tmp_path)
  left = tmp_path / 'programs' / f'{kept.removesuffix(".so")}-left'
  left.mkdir()
  (left / 'half').write_text('')
  (tmp_path / 'programs' / kept).unlink()
  assert load(source).library.answer() == 42
  assert names(tmp_path) == [kept]


def test_code_that_cannot_be_compiled_says_so_and_leaves_nothing(source, tmp_path):
  source.write_text('int answer() { return nothing; }\n')
  loaded = load(source)
  assert loaded.library is None
  assert "'nothing' was not declared" in loaded.reason
  assert not names(tmp_path)


def test_a_compiler_that_does_not_end_is_not_waited_for(source, tmp_path, monkeypatch):
  slow = tmp_path / 'slow'
  slow.write_text(f'#!{shutil.which("sh")}\nsleep 30\n')
  slow.chmod(slow.stat().st_mode | stat.S_IXUSR)
  monkeypatch.setenv(cpp_library.COMPILER, str(slow))
  monkeypatch.setattr(cpp_library, 'PATIENCE', 0.2)
  assert load(source).reason.endswith('has not ended after 0.2 s')
  assert not names(tmp_path)


@pytest.mark.parametrize('value', ['', None])
def test_without_a_folder_nothing_is_compiled(source, monkeypatch, value):
  monkeypatch.delenv(process.CACHE) if value is None else monkeypatch.setenv(process.CACHE, value)
  assert process.CACHE in load(source).reason


def test_a_folder_that_cannot_be_made_is_a_reason(source, tmp_path, monkeypatch):
  (tmp_path / 'file').write_text('')
  monkeypatch.setenv(process.CACHE, str(tmp_path / 'file' / 'programs'))
  assert str(tmp_path / 'file') in load(source).reason


def test_a_library_that_is_cut_short_is_a_reason(source, tmp_path, monkeypatch):
  load(source)
  (kept,) = names(tmp_path)
  other = tmp_path / 'others' / kept
  other.parent.mkdir()
  other.write_bytes((tmp_path / 'programs' / kept).read_bytes()[:100])
  monkeypatch.setenv(process.CACHE, str(other.parent))
  assert str(other) in load(source).reason
