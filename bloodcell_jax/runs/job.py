"""The data, network and compiled functions of an experiment."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Generator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from bloodcell_jax.base import pipelines, rng, types
from bloodcell_jax.config import experiment as experiment_lib
from bloodcell_jax.config import stages
from bloodcell_jax.data import dataset, pipeline, stream, tensorflow_cpu
from bloodcell_jax.data.augmentation import standardize, test_time, transform
from bloodcell_jax.data.sources import laboratories
from bloodcell_jax.heads import svr
from bloodcell_jax.models import zoo
from bloodcell_jax.optim import staged
from bloodcell_jax.runs import compiled, forward, stage_loss
from bloodcell_jax.system import memory
from bloodcell_jax.train import batch_part, devices, plan, precision, signals, step
from bloodcell_jax.train import state as state_lib


@dataclasses.dataclass(frozen=True)
class Targets:
  """Targets and weights that replace the labels, for every row of the data's table."""

  weight_N: np.ndarray  # float32, >= 0, multiplied by the weight of the row's class
  target_NK: np.ndarray  # float32
  is_residual: bool  # whether the targets are residuals, fitted by least squares, not class probabilities


class Job:
  """An experiment with its data in memory and its network built.

  Args:
    experiment: the settings.
    data: the images.
    pixels: the standardization of the images: that of the experiment, or that of the weights it begins with.
    statistics: of the training images, where `pixels` needs them.
    stop: polled between batches.

  Raises:
    UserError: there are fewer devices, or the batch is too small for several hosts.
  """

  def __init__(
    self,
    experiment: experiment_lib.Experiment,
    data: dataset.Dataset,
    pixels: standardize.Spec,
    statistics: standardize.Statistics | None,
    stop: signals.Stop,
  ):
    self.experiment = experiment
    self.data = data
    self.transform: transform.Spec = dataclasses.replace(experiment.transform, standardize=pixels)
    self.statistics = statistics
    self.stop = stop
    self._targets: Targets | None = None
    self.devices = devices.devices(experiment.num_devices, experiment.parallel)
    # The rows of each training batch that this host computes; a batch of which it has none is refused.
    self.part = batch_part.own(self.devices, experiment.batch_size)
    self.num_classes = len(data.table.class_names)
    experiment.intervals.check_classes(data.table.class_names)
    self.options = zoo.options(experiment.model, self.num_classes, jnp.float32, experiment.convolution)
    self.model: nn.Module = experiment.model.network.build(self.options)

  @functools.cached_property
  def params(self) -> Any:
    """Newly initialized parameters."""
    return zoo.init(self.model, self.experiment.data.decode.image_size, self.experiment.seed)

  @property
  def shapes(self) -> Any:
    """The shapes and dtypes of the parameters, of which none is computed."""
    return zoo.shapes(self.model, self.experiment.data.decode.image_size)

  @functools.cached_property
  def arrays(self) -> stream.Arrays:
    """The images with targets and weights."""
    label_N = self.data.table.label
    # Data that is only evaluated has no training rows, and its weights are not used.
    train = self.data.rows.get('train', np.zeros(0, np.int64))
    weight_N = stream.class_weights(label_N[train], self.num_classes, self.experiment.class_weight)[label_N]
    target_NK = stream.one_hot(label_N, self.num_classes)
    if self._targets is not None:
      target_NK, weight_N = self._targets.target_NK, weight_N * self._targets.weight_N
    laboratory_N = None
    if self.experiment.draw == stream.LABORATORIES:
      laboratory_N = laboratories.numbers(self.data.table.group, self.experiment.data.source)
    return stream.Arrays(self.data.image_NHWC, target_NK, weight_N, laboratory_N)

  @property
  def is_residual(self) -> bool:
    """Whether the targets are residuals, fitted by least squares."""
    return self._targets is not None and self._targets.is_residual

  @property
  def is_weighted(self) -> bool:
    """Whether the training images weigh differently in the training loss and accuracy."""
    return bool(np.ptp(self.arrays.weight_N[self.data.rows['train']]))

  def with_targets(self, targets: Targets | None) -> Job:
    """The same job trained on these targets; unchanged where they are None."""
    if targets is None:
      return self
    other = copy.copy(self)
    other.__dict__.pop('arrays', None)
    other._targets = targets
    return other

  def with_laboratories(self, laboratory_N: np.ndarray) -> Job:
    """The same job, its images drawn by these laboratories, int32 for each row, where the source does not say."""
    other = copy.copy(self)
    other.__dict__['arrays'] = dataclasses.replace(self.arrays, laboratory_N=laboratory_N)
    return other

  def with_evaluate_batch_size(self, size: int) -> Job:
    """The same job, evaluated in batches of so many images."""
    other = copy.copy(self)
    other.experiment = dataclasses.replace(self.experiment, evaluate_batch_size=size)
    return other

  @property
  def loop_spec(self) -> plan.Spec:
    """The updates per epoch and the interval between checkpoints."""
    spec, num = self.experiment.loop, len(self.data.rows['train'])
    one_pass = -(-num // self.experiment.batch_size)
    return dataclasses.replace(spec, steps_per_epoch=spec.steps_per_epoch or one_pass)

  def optimizer(self, stage: stages.Stage) -> optax.GradientTransformation:
    """The optimizer of a stage, for its trainable weights."""
    return staged.build(stage.weights, self.shapes)

  def initial_state(self, stage: stages.Stage, params: Any, step: int) -> state_lib.State:
    """The state before the first update of a stage, which is update number `step` of the run."""
    return state_lib.create(params, self.optimizer(stage), self.experiment.objective.ema_momentum > 0, step)

  def template(self, name: str) -> state_lib.State:
    """The shapes and dtypes of a state of the stage of this name, to restore a checkpoint by.

    Raises:
      UserError: the experiment has no such stage.
    """
    names = [stage.fit.name for stage in self.experiment.stages]
    if name not in names:
      raise types.UserError(f'the checkpoint is of a stage {name!r}; the config has {", ".join(names)}')
    stage = self.experiment.stages[names.index(name)]
    state = jax.eval_shape(lambda params: self.initial_state(stage, params, 0), self.shapes)
    first = jax.sharding.SingleDeviceSharding(self.devices.local.each[0])
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=first), state)

  def train_step(self, stage: stages.Stage, model: nn.Module) -> Callable[..., Any]:
    """The compiled training step `(state, batch, key, scale) -> (state, report)` of a stage."""
    return compiled.train_step(self._in_dtype(model), self.devices, self._step_settings(stage))

  def train_many(self, stage: stages.Stage, model: nn.Module, pixels: compiled.Pixels) -> Callable[..., Any]:
    """Several compiled training steps of a stage in one call, on images or features that lie on the devices."""
    return compiled.train_many(self._in_dtype(model), self.devices, self._step_settings(stage), pixels)

  def update(self, stage: stages.Stage, model: nn.Module) -> Callable[..., Any]:
    """The training step of a stage before compilation, to be mapped over devices.

    Args:
      stage: the stage to train.
      model: the network, or the part of it after the cached blocks.
    """
    return compiled.update(self._in_dtype(model), self._step_settings(stage))

  def _in_dtype(self, model: nn.Module) -> nn.Module:
    """The network as an update computes it: in `train.dtype`; evaluation keeps float32."""
    dtype = precision.dtype(self.experiment.dtype, self.devices.platform)
    # Equal networks share their compiled functions, so one that stays as it is has to stay the same.
    return model if dtype == jnp.float32 else model.clone(dtype=dtype)

  def _step_settings(self, stage: stages.Stage) -> compiled.StepSettings:
    exp, options = self.experiment, tuple(sorted(apply_options(stage).items()))
    momentum, size = exp.objective.ema_momentum, exp.data.decode.image_size
    return compiled.StepSettings(options, self.loss(stage), stage.weights, momentum, self.model, size)

  def loss(self, stage: stages.Stage) -> step.Loss:
    """The loss of the stage, as `stage_loss.make`."""
    total = float(self.arrays.weight_N[self.data.rows['train']].sum())
    return stage_loss.make(self.experiment, stage, self.is_residual, total)

  def make_apply(self, model: nn.Module, **options: Any) -> Callable[[Any, types.Batch], np.ndarray]:
    """The compiled `(params, batch) -> logits_BK` of a network for evaluation; `options` go to its `apply`."""
    return compiled.apply(model, self.devices.local, **options)

  @functools.cached_property
  def apply(self) -> Callable[[Any, types.Batch], np.ndarray]:
    """The compiled `(params, batch) -> logits_BK` of the whole network."""
    return self.make_apply(self.model)

  @functools.cached_property
  def apply_with_tta(self) -> Callable[[Any, types.Batch], np.ndarray]:
    """As `apply`, with test-time augmentation by `evaluate.tta`, as `compiled.apply_with_tta`."""
    kind = self.experiment.tta
    on = self.devices.local
    return self.apply if kind == test_time.NONE else compiled.apply_with_tta(self.model, on, kind)

  @functools.cached_property
  def apply_with_embedding(self) -> Callable[[Any, types.Batch], np.ndarray]:
    """As `apply_with_tta`, each row followed by the D numbers of the embedding of the image as it is: [B, K + D]."""
    return compiled.apply_with_embedding(self.model, self.devices.local, self.experiment.tta)

  def placed(self, params: Any) -> Any:
    """The parameters as evaluation takes them, whole on each device of this host, so that its batches move none."""
    return devices.replicate(params, self.devices.local)

  def batches(self, start: int) -> Generator[types.Batch, None, None]:
    """The endless training batches, from step `start` on; of several hosts the part of this one."""
    return batch_part.filled(self._batches(start, self.part.rows), self.part)

  def _batches(self, start: int, part: slice) -> Generator[types.Batch, None, None]:
    e, rows = self.experiment, self.data.rows['train']
    if e.pipeline == pipelines.NUMPY:
      return stream.training(self.arrays, rows, e.batch_size, e.seed, start, self.standardize, part)
    try:
      tensorflow_cpu.load()
    except ImportError as error:
      if memory.is_short(error):
        raise
      raise types.UserError(
        f'data.pipeline is tf_data, but TensorFlow does not load ({error}); '
        'install requirements.txt, or set --config.data.pipeline=numpy'
      ) from None
    nuclei = self.data.nuclei
    return pipeline.training(
      self.arrays, rows, e.batch_size, e.seed, start, self.transform, self.statistics, nuclei, part
    )

  def in_order(self, rows: np.ndarray) -> Any:
    """The batches of these rows in order, each row once, without augmentation."""
    return stream.in_order(self.arrays, rows, self.experiment.evaluate_batch_size, self.standardize)

  def predict(self, params: Any, split: str) -> types.Predictions:
    """The predictions for a split, each image once. Raises `signals.Stopped` where a stop was requested."""
    rows = self.data.rows[split]
    return forward.run(
      self.apply_with_tta, self.placed(params), self.in_order(rows), self.data.table.take(rows), self.poll
    )

  def evaluate(self, params: Any) -> dict[str, float]:
    """The validation metrics of an epoch."""
    return forward.figures(self.predict(params, 'validation'))

  def evaluator(self, stage: stages.Stage) -> Callable[[Any], dict[str, float]]:
    """The `evaluate(params)` of a stage: its loss and accuracy on validation, from the outputs that it trains."""
    options = apply_options(stage)
    apply = self.make_apply(self.model, **options) if options else self.apply
    rows = self.data.rows['validation']

    def evaluate(params: Any) -> dict[str, float]:
      table = self.data.table.take(rows)
      found = forward.outputs(apply, self.placed(params), self.in_order(rows), table, self.poll)
      return self.figures(stage, found, table)

    return evaluate

  def figures(self, stage: stages.Stage, output_NK: np.ndarray, table: types.Table) -> dict[str, float]:
    """The validation metrics of an epoch of the stage; `table` describes the rows of `output_NK`."""
    figures = forward.figures(forward.from_logits(output_NK, table))
    if self._targets is not None and self._targets.is_residual:
      target_NK = self._targets.target_NK[self.data.rows['validation']]
      return {**figures, 'val_loss': float(((output_NK - target_NK) ** 2).sum(1).mean())}
    if stage.loss == svr.NAME:
      target_NK = svr.signs(np.eye(self.num_classes, dtype=np.float32)[table.label])
      figures['val_loss'] = float(svr.loss(output_NK, target_NK, self.experiment.svr.epsilon).mean())
    return figures

  def standardize(self, image_BHWC: np.ndarray) -> np.ndarray:
    """uint8 images as input of the network, without augmentation."""
    return standardize.apply(self.transform.standardize, self.statistics, image_BHWC)

  def dropout_key(self) -> jax.Array:
    return rng.key(self.experiment.seed, 'dropout')

  def poll(self) -> None:
    """Raises `signals.Stopped` where a stop was requested."""
    self.stop.poll()


def apply_options(stage: stages.Stage) -> dict[str, Any]:
  """The options of a network's `apply` in a stage: none, or an auxiliary head."""
  return {'method': 'auxiliary', 'depth': stage.auxiliary} if stage.auxiliary else {}
