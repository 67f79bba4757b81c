"""A folder arrives as it was sent, or not at all: streams that are cut or name places outside it are refused."""

from __future__ import annotations

import io
import pathlib
import tarfile

import pytest

from bloodcell_jax.system import folder_stream


def fill(folder: pathlib.Path) -> pathlib.Path:
  """A folder as a run's, with what stays behind: a cache, a lock and a file half written."""
  for name in ('checkpoints/2/state/a', 'checkpoints/2/state/b', '.metrics.json.sha256', 'metrics.json'):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(name.encode() * 5000)
  (folder / 'checkpoints' / 'empty').mkdir()
  for name in ('cache/f.npy', '.lock', '.lock.owner', '.metrics.json.abcd1234.tmp'):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text('stays')
  return folder


def content(folder: pathlib.Path) -> dict[str, bytes | None]:
  every = folder.rglob('*')
  return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in every}


def stream(folder: pathlib.Path) -> tuple[bytes, int]:
  some, written = folder_stream.names(folder), io.BytesIO()
  folder_stream.write(folder, some, written)
  return written.getvalue(), len(some)


def test_a_folder_arrives_without_caches_locks_and_what_is_half_written(tmp_path):
  sent, number = stream(fill(tmp_path / 'a'))
  (tmp_path / 'b').mkdir()
  folder_stream.read(io.BytesIO(sent), tmp_path / 'b', number)
  wanted = content(tmp_path / 'a')
  for name in ('cache', 'cache/f.npy', '.lock', '.lock.owner', '.metrics.json.abcd1234.tmp'):
    del wanted[name]
  assert content(tmp_path / 'b') == wanted
  assert None in wanted.values()
  assert '.metrics.json.sha256' in wanted


def test_a_stream_that_is_cut_anywhere_is_refused(tmp_path):
  sent, number = stream(fill(tmp_path / 'a'))
  with tarfile.open(fileobj=io.BytesIO(sent)) as archive:
    # Between two files, where the format itself notices nothing.
    between = archive.getmembers()[3].offset
  for place, end in enumerate((0, 100, between, between + 700, len(sent) // 2)):
    into = tmp_path / str(place)
    into.mkdir()
    with pytest.raises(ValueError, match='the stream ends early'):
      folder_stream.read(io.BytesIO(sent[:end]), into, number)


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = '') -> bytes:
  info, written = tarfile.TarInfo(name), io.BytesIO()
  info.type, info.linkname, info.size = kind, link, 4 if kind == tarfile.REGTYPE else 0
  with tarfile.open(fileobj=written, mode='w|') as archive:
    archive.addfile(info, io.BytesIO(b'text'))
  return written.getvalue()


@pytest.mark.parametrize(
  ('name', 'kind', 'says'),
  [
    ('../out', tarfile.REGTYPE, 'lies outside'),
    ('a/../../out', tarfile.REGTYPE, 'lies outside'),
    ('/outside', tarfile.REGTYPE, 'lies outside'),
    ('C:/out', tarfile.REGTYPE, 'lies outside'),
    ('..\\out', tarfile.REGTYPE, 'lies outside'),
    ('..', tarfile.DIRTYPE, 'lies outside'),
    ('link', tarfile.SYMTYPE, 'neither a file nor a folder'),
    ('link', tarfile.LNKTYPE, 'neither a file nor a folder'),
    ('pipe', tarfile.FIFOTYPE, 'neither a file nor a folder'),
  ],
)
def test_a_name_outside_the_folder_or_a_link_is_refused(tmp_path, name, kind, says):
  into = tmp_path / 'deep' / 'folder'
  into.mkdir(parents=True)
  with pytest.raises(ValueError, match=says):
    folder_stream.read(io.BytesIO(entry(name, kind, '/etc/passwd')), into, 1)
  assert sorted(tmp_path.rglob('*')) == [tmp_path / 'deep', into]
  # The control: a name inside arrives.
  folder_stream.read(io.BytesIO(entry('in/side')), into, 1)
  assert (into / 'in' / 'side').read_text() == 'text'


def test_a_name_that_comes_twice_does_not_replace_the_first(tmp_path):
  written = io.BytesIO()
  with tarfile.open(fileobj=written, mode='w|') as archive:
    for text in (b'one', b'two'):
      info = tarfile.TarInfo('a')
      info.size = 3
      archive.addfile(info, io.BytesIO(text))
  written.seek(0)
  with pytest.raises(FileExistsError):
    folder_stream.read(written, tmp_path, 2)
