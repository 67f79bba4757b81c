"""TensorFlow as `tf`, restricted to the CPU: it only prepares data; accelerator memory belongs to JAX."""

import contextlib
import functools
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

# Suppresses TensorFlow's start-up notes about instruction sets.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Captures what is written to file descriptor 2, and prints it only if the block raises.

  TensorFlow's C++ code writes two notes there on import that no log level suppresses.
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
  """Loads TensorFlow when an attribute is first used, because loading it takes seconds."""

  def __getattr__(self, name: str) -> Any:
    return getattr(load(), name)


tf: Any = _Lazy()
