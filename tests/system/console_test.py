"""What is printed: kept in a file, never the end of the program, whatever becomes of the stream."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from bloodcell_jax.system import console

CLASS = '嗜酸性粒细胞'


@pytest.fixture
def log(tmp_path):
  return console.Log('main.py train'), tmp_path / 'log.txt'


def lines(path):
  return path.read_text('utf-8').splitlines()


def test_the_log_has_what_was_printed_before_it_was_opened_and_after_under_the_command(log):
  kept, path = log
  stream = console.Stream(io.StringIO(), 'standard output', kept)
  print('reading images', file=stream)
  assert not path.exists()
  kept.open(path)
  print('a', 'b', file=stream)
  head, *rest = lines(path)
  assert head.startswith('--- 20')
  assert head.endswith(' main.py train')
  assert rest == ['reading images', 'a b']
  assert stream.getvalue() == 'reading images\na b\n'


def test_one_run_of_many_has_a_log_of_its_own_beside_that_of_the_command(log, tmp_path):
  kept, path = log
  kept.open(path)
  kept.add('before')
  for run in ('a', 'b'):
    with kept.copied(tmp_path / f'{run}.txt'):
      kept.add(f'{run}: epoch 1')
  kept.add('after')
  assert lines(path)[1:] == ['before', 'a: epoch 1', 'b: epoch 1', 'after']
  head, *rest = lines(tmp_path / 'b.txt')
  assert head.endswith(' main.py train')
  assert rest == ['b: epoch 1']


def test_bars_are_shown_and_not_kept(log):
  kept, path = log
  kept.open(path)
  stream = console.Stream(io.StringIO(), 'standard error', kept)
  for text in ('\rtrain: 10%', '\rtrain: 20%', '\n', '\x1b[A', '\r          \r', 'epoch 1', '\n'):
    stream.write(text)
  assert lines(path)[1:] == ['epoch 1']
  assert '20%' in stream.getvalue()


def test_a_later_command_is_appended_and_the_size_is_bounded(tmp_path, monkeypatch):
  monkeypatch.setattr(console, 'MOST_BYTES', 2000)
  path = tmp_path / 'log.txt'
  for command in range(60):
    kept = console.Log(f'main.py {command}')
    kept.open(path)
    kept.add('x' * 40)
  left = [*lines(tmp_path / 'log.1.txt'), *lines(path)]
  assert left[-2].endswith('main.py 59'), 'the newest is there'
  assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 2 * 2000 + 200
  assert {file.name for file in tmp_path.iterdir()} <= {'log.txt', 'log.1.txt'}


@pytest.mark.parametrize('encoding', ['ascii', 'cp1252', 'latin-1', 'utf-8'])
def test_letters_that_the_output_lacks_are_escaped_there_and_whole_in_the_log(encoding, log):
  kept, path = log
  kept.open(path)
  inner = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
  print(CLASS, file=console.Stream(inner, 'standard output', kept), flush=True)
  shown = inner.buffer.getvalue().decode(encoding).strip()
  assert shown == (CLASS if encoding == 'utf-8' else ascii(CLASS)[1:-1])
  assert lines(path)[1:] == [CLASS]
  with pytest.raises(UnicodeEncodeError):
    print(CLASS, file=io.TextIOWrapper(io.BytesIO(), encoding='ascii'), flush=True)


class Broken(io.StringIO):
  """A stream whose other end is gone."""

  def write(self, text):
    raise BrokenPipeError(32, 'Broken pipe')


def test_a_stream_that_breaks_is_given_up_and_the_log_goes_on(log, capsys):
  kept, path = log
  kept.open(path)
  stream = console.Stream(Broken(), 'standard output', kept)
  for i in range(3):
    print(i, file=stream, flush=True)
  assert lines(path)[1:] == ['0', '1', '2']
  err = capsys.readouterr().err
  assert err == f'standard output was closed; the command goes on, and its lines are in {path}\n'


def test_a_link_in_the_place_of_the_log_is_not_followed(log, tmp_path):
  kept, path = log
  victim = tmp_path / 'victim'
  victim.write_text('mine')
  path.symlink_to(victim)
  kept.open(path)
  kept.add('a class name that is a command')
  assert victim.read_text() == 'mine'


def test_a_log_that_cannot_be_written_is_no_error(tmp_path):
  kept = console.Log('main.py')
  kept.open(tmp_path / 'nowhere' / 'log.txt')
  kept.add('x')


CLOSED = """
import os, sys
from bloodcell_jax.system import console
console.install(['x'])
print('out'); print('err', file=sys.stderr)
with open(sys.argv[1], 'w') as file:
  print('more'); sys.stdout.flush(); os.write(2, b'raw')
  assert file.fileno() > 2
"""


def test_streams_closed_from_the_start_leave_files_alone(tmp_path):
  to = tmp_path / 'data'
  shell = f'exec "{sys.executable}" -c "$0" "{to}" >&- 2>&-'
  done = subprocess.run(['sh', '-c', shell, CLOSED], env={**os.environ, 'PYTHONPATH': os.getcwd()})
  assert done.returncode == 0
  assert to.read_bytes() == b''


def test_urgent_lines_are_printed_while_the_notes_of_a_library_are_held_back(capfd):
  with console.held():
    os.write(2, b'a note\n')
    console.urgent('SIGINT\n')
  console.urgent('later\n')
  assert capfd.readouterr().err == 'SIGINT\nlater\n'
  with pytest.raises(ImportError):
    fail_with_a_note()
  assert capfd.readouterr().err == 'a note\n', 'what may explain an error is not lost'


def fail_with_a_note():
  with console.held():
    os.write(2, b'a note\n')
    raise ImportError
