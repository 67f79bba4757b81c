"""A network with VGG16's layers and few filters, in Keras, saved in every kind of file."""

from __future__ import annotations

import warnings

import pytest

from bloodcell_jax.weights import published

RECORD = published.VGG16_KERAS
CONVS = [name for name in RECORD.layers.values() if name not in RECORD.head]


@pytest.fixture(scope='session')
def twin(tmp_path_factory):
  """(folder of files, weights by name): base and top, alone and within another network, trained one step."""
  import keras
  import numpy as np

  def stack(x, with_top):
    for i, name in enumerate(CONVS):
      x = keras.layers.Conv2D(2 + i % 3, 3, padding='same', name=name)(x)
    if with_top:
      x = keras.layers.Flatten(name='flatten')(x)
      for units, name in zip((4, 5, 6), RECORD.head, strict=True):
        x = keras.layers.Dense(units, name=name)(x)
    return x

  def model(with_top):
    image = keras.Input((4, 4, 3))
    return keras.Model(image, stack(image, with_top), name='vgg16')

  folder = tmp_path_factory.mktemp('keras')
  values = {}
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')  # Keras warns that .h5 is its older format, and of its own libraries
    keras.utils.set_random_seed(0)
    for label, network in (('top', model(True)), ('base', model(False))):
      network.set_weights(
        [np.random.default_rng(i).random(w.shape) for i, w in enumerate(network.get_weights())]
      )
      values[label] = {w.path: np.asarray(w) for w in network.weights}
      network.save_weights(folder / f'{label}.weights.h5')
      network.save(folder / f'{label}.h5')
      network.save(folder / f'{label}.keras')
    outer = keras.Sequential(
      [keras.Input((4, 4, 3)), network, keras.layers.Flatten(), keras.layers.Dropout(0.5)]
      + [keras.layers.Dense(4, name='dense_1')]
    )
    outer.compile('rmsprop', 'categorical_crossentropy')
    outer.fit(np.zeros((2, 4, 4, 3)), np.zeros((2, 4)), verbose=0)
    values['within'] = {'/'.join(w.path.split('/')[-2:]): np.asarray(w) for w in outer.weights}
    outer.save(folder / 'within.h5')
    outer.save_weights(folder / 'within.weights.h5')
    outer.save(folder / 'within.keras')
  return folder, values
