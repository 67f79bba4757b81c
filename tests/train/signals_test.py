"""What a process does with SIGTERM and SIGINT once it listens, and what without."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from bloodcell_jax.train import signals

# Prints what it sees and exits by itself after a minute, so that a failing test leaves no process.
PROGRAM = """
import signal, sys, threading, time
from bloodcell_jax.train import signals
stop = signals.Stop()
if sys.argv[1] == 'listening':
  stop.install()
else:
  signal.signal(signal.SIGINT, signal.SIG_DFL)
print('ready', stop.requested, flush=True)
deadline = time.monotonic() + 60
try:
  while not stop.requested and time.monotonic() < deadline: time.sleep(0.01)
  print('requested', stop.requested, flush=True)
  if sys.argv[2] == 'leave': sys.exit(signals.EXIT_CODE)
  while time.monotonic() < deadline: time.sleep(0.01)
finally:
  print('cleaned up', flush=True)
"""


@pytest.fixture
def start():
  started = []

  def run(listening: str, then: str) -> subprocess.Popen:
    process = subprocess.Popen(
      [sys.executable, '-c', PROGRAM, listening, then],
      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    started.append(process)
    assert process.stdout.readline() == 'ready False\n'
    return process

  yield run
  for process in started:
    if process.poll() is None:
      process.kill()
    process.communicate()


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.usefixtures('default_hangup')
def test_one_signal_is_a_request_that_the_process_answers_in_its_own_time(number, request):
  start = request.getfixturevalue('start')
  process = start('listening', 'leave')
  process.send_signal(number)
  out, err = process.communicate(timeout=30)
  assert out == 'requested True\ncleaned up\n'
  assert process.returncode == signals.EXIT_CODE == 75
  assert (
    err == f'\n{number.name}: stopping at the next safe point; a second signal ends the process at once\n'
  )


def test_the_second_signal_leaves_at_once_with_75(start):
  process = start('listening', 'stay')
  process.send_signal(signal.SIGTERM)
  assert process.stdout.readline() == 'requested True\n'
  process.send_signal(signal.SIGINT)
  out, _ = process.communicate(timeout=30)
  assert process.returncode == 75
  assert out == '', 'nothing more is run, no clean-up either'


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_without_listening_a_signal_ends_the_process(number, start):
  process = start('deaf', 'leave')
  process.send_signal(number)
  out, _ = process.communicate(timeout=30)
  assert process.returncode == -number
  assert out == ''


def test_a_hang_up_that_is_ignored_as_under_nohup_stays_so():
  before = {number: signal.getsignal(number) for number in signals.SIGNALS}
  try:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals.Stop().install()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
  finally:
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
      signal.signal(number, handler)


@pytest.mark.usefixtures('default_hangup')
def test_listening_changes_the_handlers_of_its_signals_alone():
  watched = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
  before = {number: signal.getsignal(number) for number in watched}
  try:
    signals.Stop().install()
    changed = {number for number in watched if signal.getsignal(number) != before[number]}
    assert changed == {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
  finally:
    assert signal.set_wakeup_fd(-1) >= 0
    for number, handler in before.items():
      signal.signal(number, handler)


BUSY = """
import hashlib
from bloodcell_jax.train import signals
signals.PATIENCE = 1.0
stop = signals.Stop()
stop.install()
print('ready', flush=True)
hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)  # one call that takes minutes, as a compilation may
print('returned', flush=True)
"""


DONE = BUSY.replace("hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)", 'pass')


@pytest.mark.parametrize('program', [BUSY, DONE], ids=['busy', 'done'])
def test_a_call_that_does_not_return_is_left_in_time_with_75(program):
  process = subprocess.Popen(
    [sys.executable, '-c', program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
  )
  assert process.stdout.readline() == 'ready\n'
  if program != BUSY:
    # The negative control: a process that comes to its end is not touched.
    # Not by communicate, which would lose what was read ahead with the line.
    with process:
      assert (process.stdout.read(), process.wait(timeout=60)) == ('returned\n', 0)
    return
  began = time.monotonic()
  process.send_signal(signal.SIGTERM)
  out, err = process.communicate(timeout=60)
  assert process.returncode == 75
  assert time.monotonic() - began < 20
  assert out == ''
  assert 'no safe point was reached in time' in err


def test_only_the_main_thread_may_listen():
  caught = []

  def listen():
    try:
      signals.Stop().install()
    except ValueError as error:
      caught.append(error)

  thread = threading.Thread(target=listen)
  thread.start()
  thread.join()
  assert len(caught) == 1
