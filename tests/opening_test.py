"""Images are read to their end, or until a stop is asked for."""

from __future__ import annotations

import pytest

from bloodcell_jax import opening
from bloodcell_jax.train import progress, signals


def test_a_stop_is_heard_between_two_blocks_of_images():
  stop, read = signals.Stop(), []

  def build(on_progress):
    for done in range(0, 100, 10):
      on_progress(done, 100)
      read.append(done)
      stop.requested = done >= 20
    raise AssertionError('read on')

  with pytest.raises(signals.Stopped):
    opening.read_data(build, stop, progress.Progress())
  assert read == [0, 10, 20]
