"""Weights in Keras' .h5, of a network alone or of a whole saved model, with its top or without."""

from __future__ import annotations

import os
import re

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.weights import hdf5, keras3, published

# Names in the files that keras-applications published, `block1_conv1_W_1:0`.
OLD_NAMES = {'W': 'kernel', 'b': 'bias'}


def read(path: str | os.PathLike[str], record: published.Weights) -> dict[str, np.ndarray]:
  """The weights under Keras' names, `block1_conv1/kernel`, also those of a network that is a layer of another one.

  Both layouts are read: Keras 2's, which later versions write too, and that of Keras 3's .weights.h5.

  Args:
    path: the file.
    record: of the network, whose layers are known by their places where the file does not name them.
  """
  contents = hdf5.read(path, str(path), skipped=('optimizer_weights', *keras3.SKIPPED))
  if keras3.is_layout(contents[0]):
    return keras3.named(contents, keras3.known_places(contents[0], record), record, str(path))
  return named(contents[0], str(path))


def named(arrays: dict[str, np.ndarray], where: str) -> dict[str, np.ndarray]:
  """The same arrays by layer and weight instead of by path within the file.

  Example:
    >>> list(named({'model_weights/fc1/fc1_1/kernel:0': np.zeros(1)}, 'x.h5'))
    ['fc1/kernel']
  """
  paths = {path: path.removeprefix('model_weights/').split('/') for path in arrays}
  parents: dict[str, set[str]] = {}
  for parts in paths.values():
    if len(parts) < 2:
      raise types.UserError(f'{where}: not weights of Keras: {parts[0]!r} stands outside any layer')
    parents.setdefault(parts[0], set()).add(parts[-2])
  renamed: dict[str, np.ndarray] = {}
  for path, parts in paths.items():
    # One folder within a layer's may carry a counter of its session, `fc1_1`; several are the layers of a network.
    layer = parts[0] if len(parents[parts[0]]) == 1 else parts[-2]
    weight = parts[-1].removesuffix(':0')
    if old := re.fullmatch(rf'{re.escape(layer)}_([Wb])_\d+', weight):
      weight = OLD_NAMES[old[1]]
    if f'{layer}/{weight}' in renamed:
      raise types.UserError(f'{where}: {layer}/{weight} is there twice; save the network by itself')
    renamed[f'{layer}/{weight}'] = arrays[path]
  if not renamed:
    raise types.UserError(f'{where}: holds no weights')
  return renamed
