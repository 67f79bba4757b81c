"""TensorFlow as `tf`, kept off accelerators: it only feeds the training, whose memory JAX owns."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

# Quiet: its start-up notes about instruction sets say nothing to a user of this package.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Holds back what is written to file descriptor 2; shown after all if an error ends the block.

  TensorFlow's C++ side writes two notes there on import that no log level silences.
  """
  sys.stderr.flush()
  with tempfile.TemporaryFile() as held:
    before = os.dup(2)
    os.dup2(held.fileno(), 2)
    try:
      yield
    except BaseException:
      os.dup2(before, 2)
      held.seek(0)
      os.write(2, held.read())
      raise
    finally:
      os.dup2(before, 2)
      os.close(before)


with _quiet():
  import tensorflow as tf

  tf.config.set_visible_devices([], 'GPU')

__all__ = ['tf']
