"""TensorFlow as `tf`, restricted to the CPU: it only prepares data; accelerator memory belongs to JAX."""

import functools
import os
from typing import Any

from bloodcell_jax.system import console

# Suppresses TensorFlow's start-up notes about instruction sets.
os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')


@functools.cache
def load() -> Any:
  """TensorFlow itself, loaded at the first call.

  Raises:
    ImportError: it is not installed, or does not load.
  """
  # Its C++ code writes two notes on import that no log level suppresses.
  with console.held():
    import tensorflow

    tensorflow.config.set_visible_devices([], 'GPU')
  return tensorflow


class _Lazy:
  """Loads TensorFlow when an attribute is first used, because loading it takes seconds."""

  def __getattr__(self, name: str) -> Any:
    return getattr(load(), name)


tf: Any = _Lazy()
