"""What the commands work with: data, network and compiled functions, made from an experiment."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from bloodcell_jax.base import rng, types
from bloodcell_jax.config import experiment as experiment_lib
from bloodcell_jax.config import stages
from bloodcell_jax.data import dataset, pipeline, stream, tensorflow_cpu
from bloodcell_jax.data.augmentation import standardize, test_time, transform
from bloodcell_jax.heads import svr
from bloodcell_jax.models import zoo
from bloodcell_jax.optim import staged
from bloodcell_jax.runs import forward
from bloodcell_jax.system import memory
from bloodcell_jax.train import devices, plan, signals, step
from bloodcell_jax.train import state as state_lib
from bloodcell_jax.weights import merge, pretrained

# (params, image_BHWC, position_B, dropout key) -> logits_BK
Apply = Callable[[Any, jax.Array, jax.Array, jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class Lesson:
  """What the rows of the data are to teach, where it is something else than their labels, each row alike."""

  weight_N: np.ndarray  # float32, >= 0: times the weight of the row's class
  target_NK: np.ndarray  # float32
  is_residual: bool  # whether the targets are no shares of classes but numbers, learned by least squares


class Job:
  """An experiment with its data read and its network built.

  Args:
    experiment: what to do.
    data: the images.
    pixels: how their grey levels become the network's input: the experiment's own way, or that of the weights.
    statistics: of the training images, where `pixels` asks for some.
    stop: asked between batches.
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
    self._lesson: Lesson | None = None
    self.devices = devices.devices(experiment.num_devices)
    self.num_classes = len(data.table.class_names)
    experiment.intervals.check_classes(data.table.class_names)
    self.model: nn.Module = zoo.build(experiment.model, self.num_classes)

  @functools.cached_property
  def params(self) -> Any:
    """Fresh parameters."""
    return zoo.init(self.model, self.experiment.data.decode.image_size, self.experiment.seed)

  def initial(self, read: pretrained.Pretrained | None) -> Any:
    """The parameters that the run begins with: fresh ones, but for those that were read from elsewhere.

    The features are taken; the head only from a run of this project, for the same classes, where
    `weights.include_top` asks for it.

    Raises:
      UserError: what was read does not fit the network, or the head is that of other classes.
    """
    if read is None:
      return self.params
    spec = self.experiment.weights
    if spec.include_top:
      self._check_classes(read)
      return merge.merge(self.params, read.params, ('.*',), spec.exclude, read.origin)
    network = self.experiment.model.network
    if read.about is None and self.experiment.model.backbone is None:
      raise types.UserError(
        f'{read.origin}: such weights are for {", ".join(zoo.backbones())}; model.name is '
        f'{self.experiment.model.name!r}: set weights.path to empty, or to a run of that network'
      )
    left_out = (*network.other_heads, *spec.exclude)
    return merge.merge(self.params, read.params, network.features, left_out, read.origin)

  def _check_classes(self, read: pretrained.Pretrained) -> None:
    if read.about is None:
      raise types.UserError(
        f'weights.include_top is True, but {read.origin} is no run of this project: set it to False'
      )
    own = self.data.table.class_names
    if read.about.class_names != own:
      raise types.UserError(
        f'weights.include_top is True, but {read.origin} is for the classes {", ".join(read.about.class_names)}, and '
        f'the data has {", ".join(own)}: set it to False for a fresh head'
      )

  @functools.cached_property
  def arrays(self) -> stream.Arrays:
    """The images with targets and weights."""
    label_N = self.data.table.label
    # Data that is only scored has no rows to train on, and its weights are never read.
    train = self.data.rows.get('train', np.zeros(0, np.int64))
    weight_N = stream.class_weights(label_N[train], self.num_classes, self.experiment.class_weight)[label_N]
    target_NK = stream.one_hot(label_N, self.num_classes)
    if self._lesson is not None:
      target_NK, weight_N = self._lesson.target_NK, weight_N * self._lesson.weight_N
    return stream.Arrays(self.data.image_NHWC, target_NK, weight_N)

  def taught(self, lesson: Lesson | None) -> Job:
    """The same job whose rows teach what the lesson says; as it is where there is none."""
    if lesson is None:
      return self
    other = copy.copy(self)
    other.__dict__.pop('arrays', None)
    other._lesson = lesson
    return other

  @property
  def loop(self) -> plan.Spec:
    """How long an epoch is, in updates, and how often to save."""
    spec, num = self.experiment.loop, len(self.data.rows['train'])
    one_pass = -(-num // self.experiment.batch_size)
    return dataclasses.replace(spec, steps_per_epoch=spec.steps_per_epoch or one_pass)

  def optimizer(self, stage: stages.Stage) -> optax.GradientTransformation:
    """The optimizer of a stage, over the weights that it trains."""
    return staged.build(stage.weights, self.params)

  def state(self, stage: stages.Stage, params: Any, step: int) -> state_lib.State:
    """The state before a stage's first update, `step` updates after the run's."""
    return state_lib.create(params, self.optimizer(stage), self.experiment.objective.ema_momentum > 0, step)

  def template(self, name: str) -> state_lib.State:
    """A state of the shapes and dtypes of this stage's.

    Raises:
      UserError: the experiment has no stage of this name.
    """
    names = [stage.fit.name for stage in self.experiment.stages]
    if name not in names:
      raise types.UserError(f'the checkpoint is of a stage {name!r}; the config has {", ".join(names)}')
    return self.state(self.experiment.stages[names.index(name)], self.params, 0)

  def train_step(self, stage: stages.Stage, model: nn.Module) -> Callable[..., Any]:
    """The compiled step `(state, batch, key, scale) -> (state, report)` of a stage, made from `update`."""
    return devices.make_train(self.update(stage, model), self.devices)

  def update(self, stage: stages.Stage, model: nn.Module) -> Callable[..., Any]:
    """The step of a stage, to be mapped over devices.

    Args:
      stage: what is trained.
      model: the network, or what of it is left behind what is frozen.
    """

    def apply(params: Any, image_BHWC: jax.Array, position_B: jax.Array, key: jax.Array) -> Any:
      options = _method(stage)
      return model.apply({'params': params}, image_BHWC, position_B, True, rngs={'dropout': key}, **options)

    is_trained, momentum = (
      staged.trainable(stage.weights, self.params),
      self.experiment.objective.ema_momentum,
    )
    return step.make(apply, self.loss(stage), self.optimizer(stage), momentum, is_trained, devices.AXIS)

  def loss(self, stage: stages.Stage) -> step.Loss:
    """What the stage minimises.

    The regression's is the objective of `svr.objective`, all classes together, over C and the weight of the training
    images: then it is a mean over images, as the other loss is, and a rate means the same.
    """
    objective, spec = self.experiment.objective, self.experiment.svr
    if self._lesson is not None and self._lesson.is_residual:
      return step.squares(objective.l2)
    if stage.loss != svr.NAME:
      return step.softmax(objective.label_smoothing, objective.l2)
    total = float(self.arrays.weight_N[self.data.rows['train']].sum())
    top = f'{self.experiment.model.network.output_layer}/kernel'
    return step.Loss(
      lambda output_BK, target_BK: svr.loss(output_BK, svr.signs(target_BK), spec.epsilon),
      ((top, 1 / (2 * spec.cost * total)), (step.DENSE_KERNELS, objective.l2)),
    )

  def make_apply(self, model: nn.Module, **options: Any) -> Callable[[Any, types.Batch], np.ndarray]:
    """The compiled `(params, batch) -> logits_BK` of a network, for evaluation; `options` are those of its `apply`."""

    def logits(params: Any, batch: types.Batch) -> Any:
      return model.apply({'params': params}, batch.image_BHWC, batch.position_B, False, **options)

    return devices.make_apply(logits, self.devices)

  @functools.cached_property
  def apply(self) -> Callable[[Any, types.Batch], np.ndarray]:
    """That of the whole network."""
    return self.make_apply(self.model)

  @functools.cached_property
  def apply_to_views(self) -> Callable[[Any, types.Batch], np.ndarray]:
    """The same over the views that `evaluate.tta` asks for: logarithms of the mean of their probabilities."""
    kind = self.experiment.tta
    if kind == test_time.NONE:
      return self.apply

    def logits(params: Any, batch: types.Batch) -> Any:
      seen = test_time.of(batch.image_BHWC, kind)
      outputs: list[Any] = [self.model.apply({'params': params}, x, batch.position_B, False) for x in seen]
      return forward.pooled(jnp.stack(outputs))

    return devices.make_apply(logits, self.devices)

  def batches(self, start: int) -> Generator[types.Batch, None, None]:
    """The endless training batches from step `start` on."""
    e, rows = self.experiment, self.data.rows['train']
    if e.pipeline == 'numpy':
      return stream.training(self.arrays, rows, e.batch_size, e.seed, start, self.standardize)
    try:
      tensorflow_cpu.load()
    except ImportError as error:
      if memory.is_short(error):
        raise
      raise types.UserError(
        f'data.pipeline is tf_data, but TensorFlow does not load ({error}); '
        'install requirements.txt, or set --config.data.pipeline=numpy'
      ) from None
    return pipeline.training(self.arrays, rows, e.batch_size, e.seed, start, self.transform, self.statistics)

  def in_order(self, rows: np.ndarray) -> Any:
    """The batches of these rows in order, each once, as evaluation sees them."""
    return stream.in_order(self.arrays, rows, self.experiment.evaluate_batch_size, self.standardize)

  def predict(self, params: Any, split: str) -> types.Predictions:
    """The predictions for a split, each image once. Raises `signals.Stopped` when a stop was asked for."""
    rows = self.data.rows[split]
    return forward.run(
      self.apply_to_views, params, self.in_order(rows), self.data.table.take(rows), self.poll
    )

  def predict_each(self, params: Any, splits: Iterable[str]) -> Iterator[tuple[str, types.Predictions]]:
    """(split, its predictions); a split within one before it, such as test_clean, takes its rows from there."""
    made: dict[str, types.Predictions] = {}
    for split in splits:
      rows = self.data.rows[split]
      whole = next((name for name in made if np.isin(rows, self.data.rows[name]).all()), None)
      if whole is None:
        made[split] = self.predict(params, split)
      else:
        made[split] = made[whole].take(np.searchsorted(self.data.rows[whole], rows))
      yield split, made[split]

  def evaluate(self, params: Any) -> dict[str, float]:
    """The figures of an epoch on the validation split."""
    return forward.figures(self.predict(params, 'validation'))

  def evaluator(self, stage: stages.Stage) -> Callable[[Any], dict[str, float]]:
    """The `evaluate(params)` of a stage: by its loss, of the logits that it trains."""
    options = _method(stage)
    apply = self.make_apply(self.model, **options) if options else self.apply
    rows = self.data.rows['validation']

    def evaluate(params: Any) -> dict[str, float]:
      table = self.data.table.take(rows)
      return self.figures(stage, forward.outputs(apply, params, self.in_order(rows), table, self.poll), table)

    return evaluate

  def figures(self, stage: stages.Stage, output_NK: np.ndarray, table: types.Table) -> dict[str, float]:
    """The figures of an epoch of the stage, from the outputs for the rows of validation, which `table` describes."""
    found = forward.figures(forward.of(output_NK, table))
    if self._lesson is not None and self._lesson.is_residual:
      target_NK = self._lesson.target_NK[self.data.rows['validation']]
      return {**found, 'val_loss': float(((output_NK - target_NK) ** 2).sum(1).mean())}
    if stage.loss == svr.NAME:
      target_NK = svr.signs(np.eye(self.num_classes, dtype=np.float32)[table.label])
      found['val_loss'] = float(svr.loss(output_NK, target_NK, self.experiment.svr.epsilon).mean())
    return found

  def standardize(self, image_BHWC: np.ndarray) -> np.ndarray:
    """The network's input of uint8 images that nothing random is done to."""
    return standardize.apply(self.transform.standardize, self.statistics, image_BHWC)

  def dropout_key(self) -> jax.Array:
    return rng.key(self.experiment.seed, 'dropout')

  def poll(self) -> None:
    """Raises `signals.Stopped` where a stop was asked for."""
    self.stop.poll()


def _method(stage: stages.Stage) -> dict[str, Any]:
  """How a network is applied in a stage: whole, or up to an auxiliary top."""
  return {'method': 'auxiliary', 'depth': stage.auxiliary} if stage.auxiliary else {}
