"""What the commands work with: data, network and compiled functions, made from an experiment."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from bloodcell_jax import experiment as experiment_lib
from bloodcell_jax import parallel, predict, rng, types
from bloodcell_jax.data import dataset, stream
from bloodcell_jax.models import zoo
from bloodcell_jax.optim import keras
from bloodcell_jax.train import signals, step
from bloodcell_jax.train import state as state_lib


class Job:
  """An experiment with its data read and its network built."""

  def __init__(self, experiment: experiment_lib.Experiment, data: dataset.Dataset, stop: signals.Stop):
    self.experiment = experiment
    self.data = data
    self.stop = stop
    self.devices = parallel.devices(experiment.num_devices)
    self.model: nn.Module = zoo.build(experiment.model, len(data.table.class_names))

  @functools.cached_property
  def params(self) -> Any:
    """Fresh parameters."""
    return zoo.init(self.model, self.experiment.data.decode.image_size, self.experiment.seed)

  @functools.cached_property
  def arrays(self) -> stream.Arrays:
    """The images with labels and weights."""
    label_N, num_classes = self.data.table.label, len(self.data.table.class_names)
    # Data that is only scored has no rows to train on, and its weights are never read.
    train = self.data.rows.get('train', np.zeros(0, np.int64))
    weight_K = stream.class_weights(label_N[train], num_classes, self.experiment.class_weight)
    return stream.Arrays(self.data.image_NHWC, label_N, weight_K[label_N], num_classes)

  def state(self) -> state_lib.State:
    """The state before the first update."""
    tx = keras.build(self.experiment.optimizer)
    return state_lib.create(self.params, tx, self.experiment.objective.ema_momentum > 0)

  def train_step(self) -> Callable[..., Any]:
    """The compiled step `(state, batch, key, scale) -> (state, report)`."""

    def apply(params: Any, image_BHWC: jax.Array, position_B: jax.Array, key: jax.Array) -> Any:
      return self.model.apply({'params': params}, image_BHWC, position_B, True, rngs={'dropout': key})

    tx = keras.build(self.experiment.optimizer)
    return parallel.make_train(step.make(apply, tx, self.experiment.objective, parallel.AXIS), self.devices)

  @functools.cached_property
  def apply(self) -> Callable[[Any, types.Batch], np.ndarray]:
    """The compiled `(params, batch) -> logits_BK` of evaluation."""

    def logits(params: Any, batch: types.Batch) -> Any:
      return self.model.apply({'params': params}, batch.image_BHWC, batch.position_B, False)

    return parallel.make_apply(logits, self.devices)

  def batches(self, start: int) -> Generator[types.Batch, None, None]:
    """The endless training batches from step `start` on."""
    e, rows = self.experiment, self.data.rows['train']
    if e.pipeline == 'numpy':
      return stream.training(self.arrays, rows, e.batch_size, e.seed, start)
    try:
      # Imported here: TensorFlow takes seconds to load, and the NumPy pipeline does without it.
      from bloodcell_jax.data import pipeline
    except ImportError as error:
      raise types.UserError(
        f'data.pipeline is tf_data, but TensorFlow does not load ({error}); '
        'install requirements.txt, or set --config.data.pipeline=numpy'
      ) from None
    return pipeline.training(self.arrays, rows, e.batch_size, e.seed, start)

  def predict(self, params: Any, split: str) -> types.Predictions:
    """The predictions for a split, each image once. Raises `signals.Stopped` when a stop was asked for."""
    rows = self.data.rows[split]
    batches = stream.in_order(self.arrays, rows, self.experiment.evaluate_batch_size)
    return predict.run(self.apply, params, batches, self.data.table.take(rows), self._poll)

  def evaluate(self, params: Any) -> dict[str, float]:
    """The figures of an epoch on the validation split."""
    loss, accuracy = predict.loss_and_accuracy(self.predict(params, 'validation'))
    return {'val_loss': loss, 'val_accuracy': accuracy}

  def dropout_key(self) -> jax.Array:
    return rng.key(self.experiment.seed, 'dropout')

  def _poll(self) -> None:
    if self.stop.requested:
      raise signals.Stopped
