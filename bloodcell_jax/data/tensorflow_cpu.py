"""TensorFlow as `tf`, kept off accelerators: it only feeds the training, whose memory JAX owns."""

import contextlib
import functools
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

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


@functools.cache
def load() -> Any:
  """TensorFlow itself, loaded at the first call.

  Raises:
    ImportError: it is not installed, or does not load.
  """
  with _quiet():
    import tensorflow

    tensorflow.config.set_visible_devices([], 'GPU')
  return tensorflow


class _Lazy:
  """Stands for TensorFlow until something of it is used: it takes seconds to load, and describing a run needs none."""

  def __getattr__(self, name: str) -> Any:
    return getattr(load(), name)


tf: Any = _Lazy()
