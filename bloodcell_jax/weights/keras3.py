"""Weights in the layout of Keras 3: .weights.h5, and .keras, a zip archive with one inside."""

from __future__ import annotations

import io
import json
import os
import re
from collections import Counter
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.weights import archive, hdf5, published

SKIPPED = ('optimizer', 'seed_generator')
# Source: keras/src/layers: the variables of a layer by their number, of any layer and of a normalization.
WEIGHTS = ('kernel', 'bias')
NORM_WEIGHTS = ('gamma', 'beta', 'moving_mean', 'moving_variance')
# The description of a network of 16 layers takes 12 kB.
MOST_CONFIG_BYTES = 2**24
Contents = tuple[dict[str, np.ndarray], dict[str, str]]  # as hdf5.read gives


def read_keras(path: str | os.PathLike[str], record: published.Weights) -> dict[str, np.ndarray]:
  """The weights of a .keras file under Keras' names. Code of layers, which such a file may hold, is not read.

  Args:
    path: the file.
    record: of the network.
  """
  with archive.opened(path) as file:
    if file.getinfo('config.json').file_size > MOST_CONFIG_BYTES:
      raise types.UserError(f'{path}: refused, its config.json is too large')
    config = json.loads(file.read('config.json'))
    weights = io.BytesIO(file.read('model.weights.h5'))
  try:
    by_place = _layer_names(config, '')
  except (AttributeError, KeyError, TypeError, RecursionError):
    raise types.UserError(f'{path}: its config.json describes no layers') from None
  return named(hdf5.read(weights, str(path), SKIPPED), by_place, record, str(path))


def is_layout(arrays: dict[str, np.ndarray]) -> bool:
  """Whether these paths are those of Keras 3's weights, `layers/conv2d/vars/0`."""
  return any(re.search(r'(^|/)vars/\d+$', path) for path in arrays)


def named(
  contents: Contents, by_place: dict[str, str], record: published.Weights, where: str
) -> dict[str, np.ndarray]:
  """The arrays by layer and weight.

  Later versions of Keras 3 write each layer's name beside its variables, earlier ones only its class and number.

  Args:
    contents: as `hdf5.read` gives.
    by_place: the layers' names by their place in the file, `layers/conv2d_1`, for the earlier versions.
    record: of the network.
    where: the file's name in errors.
  """
  arrays, names = contents
  norms = {norm.name for norm in record.norms}
  renamed: dict[str, np.ndarray] = {}
  for path, array in arrays.items():
    found = re.fullmatch(r'(.*)/vars/(\d+)', path)
    layer = found and (names.get(f'{found[1]}/vars') or by_place.get(found[1]))
    if not found or not layer:
      raise types.UserError(f'{where}: the layer of {path!r} is not named in it; save the model as .keras')
    number, names_of = int(found[2]), NORM_WEIGHTS if layer in norms else WEIGHTS
    name = f'{layer}/{names_of[number] if number < len(names_of) else number}'
    if name in renamed:
      raise types.UserError(f'{where}: {name} is there twice; save the network by itself')
    renamed[name] = array
  if not renamed:
    raise types.UserError(f'{where}: holds no weights of Keras 3')
  return renamed


def known_places(arrays: dict[str, np.ndarray], record: published.Weights) -> dict[str, str]:
  """The layers' names by place, if the file has exactly the network's places, with its head or without; else {}."""
  places = {path.split('/vars/')[0] for path in arrays}
  features = {place for place, name in record.layers.items() if name not in record.head}
  return dict(record.layers) if places in (features, set(record.layers)) else {}


def _layer_names(model: Any, place: str) -> dict[str, str]:
  # Keras counts the layers of each class, in order, to name their places.
  places: dict[str, str] = {}
  seen: Counter[str] = Counter()
  for layer in model['config']['layers']:
    kind = _snake_case(layer['class_name'])
    here = f'{place}layers/{kind}_{seen[kind]}' if seen[kind] else f'{place}layers/{kind}'
    seen[kind] += 1
    places[here] = layer['config']['name']
    if 'layers' in layer['config']:
      places |= _layer_names(layer, f'{here}/')
  return places


def _snake_case(name: str) -> str:
  # Source: keras/src/utils/naming.py, `to_snake_case`.
  name = re.sub('(.)([A-Z][a-z]+)', r'\1_\2', name)
  return re.sub('([a-z])([A-Z])', r'\1_\2', name).lower()
