"""Makes keras3.json: paths of Keras 3's optimizers, and when its callbacks stop a run or lower its rate.

    python tests/golden/make_keras3.py

Written with keras 3.15 on TensorFlow 2.21.
"""

from __future__ import annotations

import json
import os
import pathlib

import numpy as np

STEPS = 50
PATHS = {
  'sgd': ('SGD', {}),
  'sgd_momentum': ('SGD', {'momentum': 0.9}),
  'sgd_nesterov': ('SGD', {'momentum': 0.9, 'nesterov': True}),
  'sgd_clipnorm': ('SGD', {'clipnorm': 0.5}),
  'sgd_clipvalue': ('SGD', {'clipvalue': 0.1}),
  'adam': ('Adam', {'epsilon': 1e-7}),
  'rmsprop': ('RMSprop', {'rho': 0.9, 'epsilon': 1e-7}),
}
RATE, DECAY = 0.01, 0.1
PLANS = [  # patience, factor, min_delta, least share of the rate
  (1, 0.5, 0.0, 0.0),
  (2, 0.5, 0.0, 0.2),
  (2, 0.1, 0.05, 0.0),
  (3, 0.3, 0.02, 0.01),
]


def gradients(scale: float) -> np.ndarray:
  """[50, 4] float32: of about this size."""
  return (np.random.default_rng(5).standard_normal((STEPS, 4)) * scale).astype(np.float32)


def sequences() -> np.ndarray:
  """[6, 20] losses with gains, equal values and plateaus."""
  rng = np.random.default_rng(7)
  falling = 1 / (1 + 0.1 * np.arange(20))
  return np.round(falling + 0.1 * rng.standard_normal((6, 20)), 2)


def main() -> None:
  """Writes the file beside this script."""
  os.environ['KERAS_BACKEND'] = 'tensorflow'
  import keras

  def path(name: str, options: dict, scale: float) -> list:
    rate = keras.optimizers.schedules.InverseTimeDecay(RATE, decay_steps=1, decay_rate=DECAY)
    optimizer = getattr(keras.optimizers, name)(rate, **options)
    variable, out = keras.Variable(np.zeros(4, np.float32)), []
    for g in gradients(scale):
      optimizer.apply([keras.ops.convert_to_tensor(g)], [variable])
      out.append(np.asarray(variable).tolist())
    return out

  def judged(losses: list, plan: tuple) -> dict:
    patience, factor, min_delta, least = plan
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1.0), 'mse')
    slow = keras.callbacks.ReduceLROnPlateau('val_loss', factor, patience, min_delta=min_delta, min_lr=least)
    stop = keras.callbacks.EarlyStopping('val_loss', min_delta, patience)
    scales, stopped = [], None
    for callback in (slow, stop):
      callback.set_model(model)
      callback.on_train_begin()
    for epoch, loss in enumerate(losses):
      logs = {'val_loss': loss}
      slow.on_epoch_end(epoch, logs)
      scales.append(float(model.optimizer.learning_rate.numpy()))
      if stopped is None:
        stop.on_epoch_end(epoch, logs)
        stopped = epoch + 1 if model.stop_training else None
    return {'losses': losses, 'plan': plan, 'scales': scales, 'stopped': stopped}

  golden = {
    'paths': {f'{key}@{scale}': path(*PATHS[key], scale) for key in PATHS for scale in (1.0, 1e-4)},
    'callbacks': [judged(losses.tolist(), plan) for losses in sequences() for plan in PLANS],
  }
  target = pathlib.Path(__file__).with_name('keras3.json')
  target.write_text(json.dumps(golden, indent=None, separators=(',', ':')) + '\n')


if __name__ == '__main__':
  main()
