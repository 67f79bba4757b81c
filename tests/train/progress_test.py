"""The bar on a terminal and the lines elsewhere, by a clock of the test's own."""

from __future__ import annotations

import io
import sys

import pytest

from bloodcell_jax.train import history, progress

RECORD = history.Record(2, 20, 'train', 1.25, 0.5, 0.9, 0.75, 0.1, 12.34, 98.7, 0.02)


class Clock:
  """Stands for the module `time`."""

  def __init__(self):
    self.now = 100.0

  def monotonic(self) -> float:
    return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
  made = Clock()
  monkeypatch.setattr(progress, 'time', made)
  return made


def run(clock: Clock, seconds_a_step: float, num_steps: int = 10, done: int = 0) -> None:
  shown = progress.Progress()
  shown.start_epoch('train', 2, 3, num_steps, done)
  for _ in range(num_steps - done):
    clock.now += seconds_a_step
    shown.step(0.5, 0.25, 50)
  shown.end_epoch(RECORD)


def test_an_epoch_ends_in_one_line_with_its_figures(clock, capsys):
  run(clock, 0.1)
  assert capsys.readouterr().out == (
    'train epoch 2/3: loss 1.2500, accuracy 0.500, val_loss 0.9000, val_accuracy 0.750, '
    '12.3 s, 99 images/s, waited 2%\n'
  )


@pytest.mark.parametrize(('seconds', 'lines'), [(1.0, 0), (5.0, 2), (19.9, 5), (20.0, 10), (60.0, 10)])
def test_a_log_gets_a_line_at_most_every_twenty_seconds(seconds, lines, clock, capsys):
  run(clock, seconds)
  assert len(capsys.readouterr().out.splitlines()) == lines + 1


def test_a_line_tells_the_speed_and_the_time_left(clock, capsys):
  run(clock, 10.0, num_steps=4)
  first = capsys.readouterr().out.splitlines()[0]
  # Two steps of 50 images in 20 seconds; two more to go.
  assert first == 'train epoch 2/3: step 2/4, loss 0.5000, accuracy 0.250, 5 images/s, 20 s left'


def test_a_continued_epoch_counts_the_steps_made_before_but_not_their_speed(clock, capsys):
  run(clock, 20.0, num_steps=10, done=8)
  lines = capsys.readouterr().out.splitlines()
  assert 'step 9/10' in lines[0]
  assert '2 images/s, 20 s left' in lines[0]
  run(clock, 20.0, num_steps=10, done=0)
  assert 'step 1/10' in capsys.readouterr().out.splitlines()[0]


class Terminal(io.StringIO):
  def isatty(self) -> bool:
    return True


def test_a_terminal_gets_a_bar_and_a_log_none(clock, capsys, monkeypatch):
  for stream, has_bar in ((Terminal(), True), (io.StringIO(), False)):
    monkeypatch.setattr(sys, 'stderr', stream)
    shown = progress.Progress()
    shown.start_epoch('train', 2, 3, 10, 4)
    shown.step(0.5, 0.25, 50)
    shown.line('a note')
    shown.close()
    shown.close()  # once more does nothing
    assert ('train epoch 2/3' in stream.getvalue()) == has_bar
    assert ('4/10' in stream.getvalue()) == has_bar
    assert 'a note\n' in capsys.readouterr().out
