"""One training step of each network in each framework, as a function to be timed: the same maths, the same batch.

Each is run in a process of its own, because a process holds one Keras backend and one allocator's settings.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

import numpy as np

CLASSES = 4


@dataclasses.dataclass(frozen=True)
class Model:
  """A network of the study at its size: 3x3 convolutions with 2x2 pooling, then dense layers."""

  filters: tuple[int, ...]
  units: tuple[int, ...]
  dropout_at: int
  dropout_rate: float
  image_size: int = 150
  batch_size: int = 50


MODELS = {
  'cnn_a': Model((32, 32, 64, 128), (64,), 1, 0.2),
  'cnn_b': Model((32, 64, 64, 128, 128), (512, 128), 0, 0.4),
}


def gflop(model: Model) -> float:
  """Floating-point operations of a step / 1e9: forward, and backward by weights and, but for the images, inputs."""
  side, channels, total = model.image_size, 3, 0.0
  for i, filters in enumerate(model.filters):
    side -= 2
    forward = 2 * side * side * 9 * channels * filters
    total += forward * (2 if i == 0 else 3)
    side, channels = side // 2, filters
  width = side * side * channels
  for units in (*model.units, CLASSES):
    total += 3 * 2 * width * units
    width = units
  return model.batch_size * total / 1e9


def batch(model: Model) -> tuple[np.ndarray, np.ndarray]:
  """float32 images in [0, 1] and one-hot labels."""
  rng = np.random.default_rng(0)
  shape = (model.batch_size, model.image_size, model.image_size, 3)
  label = rng.integers(0, CLASSES, model.batch_size)
  return rng.random(shape, np.float32), np.eye(CLASSES, dtype=np.float32)[label]


def bloodcell_jax(name: str) -> Callable[[], float]:
  """This project's step, with everything that a run has."""
  from bloodcell_jax import process

  process.set_up()
  from bloodcell_jax import parallel, rng, types
  from bloodcell_jax.models import zoo
  from bloodcell_jax.optim import keras
  from bloodcell_jax.train import state as state_lib
  from bloodcell_jax.train import step

  size = MODELS[name]
  model = zoo.build(zoo.Spec(name=name, dropout_rate=size.dropout_rate), CLASSES)
  params = zoo.init(model, size.image_size, 0)
  spec = keras.Spec('rmsprop', 1e-3, 0.0, 0.9, 0.0, False, 0.9, 0.999, 1e-7, 0.0, 0.0, 0.0)
  tx = keras.build(spec)

  def apply(params, image_BHWC, position_B, key):
    return model.apply({'params': params}, image_BHWC, position_B, True, rngs={'dropout': key})

  made = parallel.make_train(step.make(apply, tx, step.Spec(0.0, 0.0), parallel.AXIS), parallel.devices(0))
  image_BHWC, target_BK = batch(size)
  ones, positions = np.ones(size.batch_size, np.float32), np.arange(size.batch_size, dtype=np.int32)
  given, key = types.Batch(image_BHWC, target_BK, ones, positions), rng.key(0, 'dropout')
  state = [state_lib.create(params, tx, False)]

  def run() -> float:
    state[0], report = made(state[0], given, key, np.float32(1))
    return float(report.loss)

  return run


def keras_on(backend: str, name: str) -> Callable[[], float]:
  """Keras 3 on this backend, as `fit` runs it."""
  os.environ['KERAS_BACKEND'] = backend
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  import keras
  from keras import layers

  size = MODELS[name]
  stack: list = [keras.Input((size.image_size, size.image_size, 3))]
  for filters in size.filters:
    stack += [layers.Conv2D(filters, 3, activation='relu'), layers.MaxPooling2D()]
  stack.append(layers.Flatten())
  for i, units in enumerate((*size.units, CLASSES)):
    if i == size.dropout_at:
      stack.append(layers.Dropout(size.dropout_rate))
    stack.append(layers.Dense(units, activation='softmax' if units == CLASSES else 'relu'))
  model = keras.Sequential(stack)
  model.compile(keras.optimizers.RMSprop(1e-3), 'categorical_crossentropy', metrics=['accuracy'])
  image_BHWC, target_BK = batch(size)
  return lambda: float(model.train_on_batch(image_BHWC, target_BK)[0])


def pytorch(name: str) -> Callable[[], float]:
  """PyTorch in channels_last, all cores."""
  import torch
  from torch import nn

  torch.set_num_threads(os.cpu_count() or 1)
  size = MODELS[name]
  stack: list[nn.Module] = []
  side, channels = size.image_size, 3
  for filters in size.filters:
    stack += [nn.Conv2d(channels, filters, 3), nn.ReLU(), nn.MaxPool2d(2)]
    side, channels = (side - 2) // 2, filters
  stack.append(nn.Flatten())
  width = side * side * channels
  for i, units in enumerate((*size.units, CLASSES)):
    if i == size.dropout_at:
      stack.append(nn.Dropout(size.dropout_rate))
    stack.append(nn.Linear(width, units))
    if units != CLASSES:
      stack.append(nn.ReLU())
    width = units
  model = nn.Sequential(*stack).to(memory_format=torch.channels_last)
  optimizer = torch.optim.RMSprop(model.parameters(), 1e-3, alpha=0.9, eps=1e-7)
  image_BHWC, target_BK = batch(size)
  image = torch.from_numpy(image_BHWC).permute(0, 3, 1, 2)  # a view: these strides are channels_last
  target = torch.from_numpy(target_BK)

  def run() -> float:
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(image), target)
    loss.backward()
    optimizer.step()
    return loss.item()

  return run


WHO: dict[str, Callable[[str], Callable[[], float]]] = {
  'bloodcell_jax': bloodcell_jax,
  'keras_tensorflow': lambda name: keras_on('tensorflow', name),
  'keras_jax': lambda name: keras_on('jax', name),
  'pytorch': pytorch,
}
