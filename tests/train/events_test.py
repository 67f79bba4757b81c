"""What TensorBoard is given."""

from __future__ import annotations

import os

import pytest

from bloodcell_jax.train import events, history


def records(*losses: float) -> list[history.Record]:
  return [
    history.Record(i, 10 * i, 'train', 1.0, 0.5, loss, 1 - loss, 0.1, 2.0, 100.0, 0.0)
    for i, loss in enumerate(losses, 1)
  ]


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


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='needs a device that is always full')
def test_a_full_disk_is_an_error_that_names_the_file(tmp_path):
  board = events.Events(tmp_path)
  board.write(records(0.9))
  (path,) = tmp_path.iterdir()
  with open('/dev/full', 'wb') as full:
    # What is open goes to the full disk from now on.
    os.dup2(full.fileno(), board._writer._writer.fileno())
  for refused in (lambda: board.write(records(0.9, 0.5)), board.close):
    with pytest.raises(OSError, match='No space left') as error:
      refused()
    assert error.value.filename == str(path)


def test_without_an_epoch_to_write_there_is_no_file(tmp_path):
  for epochs, num_files in (([], 0), (records(0.9), 1)):
    board = events.Events(tmp_path)
    board.write(epochs)
    board.close()
    assert len(list(tmp_path.iterdir())) == num_files
