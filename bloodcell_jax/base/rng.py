"""Random keys and generators derived from the seed and the name of a stream; no other random state is stored."""

from __future__ import annotations

import zlib

import jax
import numpy as np


def key(seed: int, name: str) -> jax.Array:
  """A JAX key for the stream `name` of the run with this seed.

  Example:
    >>> bool(jax.random.key_data(key(0, 'dropout'))[0] == jax.random.key_data(key(0, 'init'))[0])
    False
  """
  return jax.random.fold_in(jax.random.key(seed), _digest(name))


def generator(seed: int, name: str, *counters: int) -> np.random.Generator:
  """A NumPy generator for the stream `name` and these counters, such as the epoch.

  Philox is counter-based and its stream is fixed by NumPy's compatibility policy (NEP 19), so the
  same arguments give the same draws on every machine.

  Example:
    >>> int(generator(1, 'order', 3).integers(100)) == int(generator(1, 'order', 3).integers(100))
    True
  """
  entropy = np.random.SeedSequence((seed, _digest(name), *counters))
  return np.random.Generator(np.random.Philox(entropy))


def _digest(name: str) -> int:
  # Not hash(), which Python salts in every process.
  return zlib.crc32(name.encode())
