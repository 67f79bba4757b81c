"""What a run keeps: history, checkpoints, events; and how it hears a signal."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bloodcell_jax import types
from bloodcell_jax.optim import keras
from bloodcell_jax.train import checkpoint, events, history, progress, state

PLAN = history.Spec('val_loss', 0.0, 0, 0, 0.5, 0.0)


def records(*losses: float) -> list[history.Record]:
  return [
    history.Record(i, 10 * i, 'train', 1.0, 0.5, loss, 1 - loss, 0.1, 2.0, 100.0)
    for i, loss in enumerate(losses, 1)
  ]


def plan(**changes) -> history.Spec:
  return dataclasses.replace(PLAN, **changes)


def test_early_stopping_waits_for_its_patience():
  losses = (0.9, 0.8, 0.85, 0.84, 0.83)
  stops = [history.should_stop(records(*losses[:n]), plan(early_stopping_patience=2)) for n in range(6)]
  assert stops == [False, False, False, False, True, True]
  assert not history.should_stop(records(*losses), PLAN), 'a patience of 0 never stops'


def test_a_gain_below_min_delta_is_none():
  losses = (0.9, 0.89, 0.88)
  assert history.should_stop(records(*losses), plan(early_stopping_patience=2, min_delta=0.05))
  assert not history.should_stop(records(*losses), plan(early_stopping_patience=2))


def test_a_plateau_lowers_the_rate_down_to_the_least_share():
  spec = plan(reduce_on_plateau_patience=1, reduce_on_plateau_min_scale=0.3)
  scales = [history.learning_rate_scale(records(*[0.5] * n), spec) for n in range(1, 5)]
  assert scales == [1.0, 0.5, 0.3, 0.3]


@pytest.mark.parametrize(('monitor', 'epoch'), [('val_loss', 2), ('val_accuracy', 2)])
def test_the_best_epoch_is_the_first_among_equals(monitor, epoch):
  assert history.best(records(0.9, 0.5, 0.5, 0.7), monitor).epoch == epoch


def test_history_is_read_back_and_a_damaged_line_named(tmp_path):
  path = tmp_path / 'history.jsonl'
  history.write(path, records(0.9, 0.5))
  assert history.read(path) == records(0.9, 0.5)
  path.write_text(path.read_text()[:-30])
  with pytest.raises(types.UserError, match='line 2'):
    history.read(path)


@pytest.mark.parametrize(
  ('key', 'value'), [('monitor', 'f1'), ('early_stopping_patience', -1), ('reduce_on_plateau_factor', 0.0)]
)
def test_a_plan_out_of_range_is_named(key, value):
  with pytest.raises(types.UserError, match=f'train.{key}'):
    plan(**{key: value})


def make_state(value: float) -> state.State:
  tx = keras.build(keras.Spec('adam', 1e-3, 0.0, 0.9, 0.0, False, 0.9, 0.999, 1e-7, 0.0, 0.0, 0.0))
  made = state.create({'a': {'kernel': jnp.full((2, 3), value)}}, tx, True)
  return dataclasses.replace(made, step=jnp.int32(10 * value))


def test_the_latest_two_and_the_best_are_kept_and_read_back_bit_for_bit(tmp_path):
  losses = (0.9, 0.3, 0.8, 0.7, 0.6, 0.5)
  store = checkpoint.Store(tmp_path, 'val_loss')
  for i in range(1, 7):
    store.save(make_state(float(i)), records(*losses[:i]), 0.5)
  store.wait()
  assert sorted(int(p.name) for p in tmp_path.iterdir()) == [2, 5, 6]
  best, latest = store.best(make_state(0.0)), store.latest(make_state(0.0))
  store.close()
  for found, value in ((best, 2.0), (latest, 6.0)):
    jax.tree.map(np.testing.assert_array_equal, found.state, make_state(value))
    assert found.records == records(*losses[: int(value)])
  assert best.seconds == 0.5


def test_saving_does_not_read_what_is_donated_afterwards(tmp_path):
  store = checkpoint.Store(tmp_path, 'val_loss')
  current = make_state(1.0)
  store.save(current, records(0.5), 0.0)
  for leaf in jax.tree.leaves(current):
    leaf.delete()
  found = store.latest(make_state(0.0))
  store.close()
  jax.tree.map(np.testing.assert_array_equal, found.state, make_state(1.0))


def test_no_checkpoint_of_a_finished_epoch_is_said(tmp_path):
  store = checkpoint.Store(tmp_path, 'val_loss')
  assert store.latest(make_state(0.0)) is None
  store.save(make_state(1.0), [], 0.0)
  with pytest.raises(types.UserError, match='no checkpoint of a finished epoch'):
    store.best(make_state(0.0))
  store.close()


def test_events_are_what_tensorboard_reads(tmp_path):
  from tensorboard.compat.proto import event_pb2
  from tensorboard.compat.tensorflow_stub import pywrap_tensorflow

  board = events.Events(tmp_path)
  board.write(records(0.9))
  board.write(records(0.9, 0.5))
  board.close()
  (path,) = tmp_path.iterdir()
  reader, found = pywrap_tensorflow.PyRecordReader_New(str(path)), []
  while True:
    try:
      reader.GetNext()
    except Exception:  # its end of file is an error of TensorFlow's
      break
    found.append(event_pb2.Event.FromString(reader.record()))
  assert found[0].file_version == 'brain.Event:2'
  assert [event.step for event in found[1:]] == [1, 2]
  values = {v.tag: v.simple_value for v in found[2].summary.value}
  assert values['epoch/val_loss'] == pytest.approx(0.5)


def test_progress_off_a_terminal_is_plain_lines(capsys):
  shown = progress.Progress()
  shown.start_epoch(1, 2, 3, 0)
  shown.step(0.5, 0.25, 50)
  shown.end_epoch(records(0.9)[0])
  out, err = capsys.readouterr()
  assert (
    out
    == 'epoch 1/2: loss 1.0000, accuracy 0.500, val_loss 0.9000, val_accuracy 0.100, 2.0 s, 100 images/s\n'
  )
  assert err == ''


WAITING = """
import time
from bloodcell_jax.train import signals
stop = signals.Stop(); stop.install(); print('ready', flush=True)
deadline = time.monotonic() + 60
while not stop.requested and time.monotonic() < deadline: time.sleep(0.01)
print('asked', flush=True)
while time.monotonic() < deadline: time.sleep(0.01)
"""


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_and_the_second_leaves(number):
  process = subprocess.Popen(
    [sys.executable, '-c', WAITING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
  )
  assert process.stdout.readline() == 'ready\n'
  process.send_signal(number)
  assert process.stdout.readline() == 'asked\n'
  assert process.poll() is None
  began = time.monotonic()
  process.send_signal(number)
  process.communicate(timeout=10)
  assert process.returncode == 75
  assert time.monotonic() - began < 5
