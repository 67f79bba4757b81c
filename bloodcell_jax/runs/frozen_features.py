"""What a stage leaves frozen at the network's beginning: computed once an image, and trained on from there."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Generator
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from bloodcell_jax.base import tree, types
from bloodcell_jax.config import stages
from bloodcell_jax.data import stream
from bloodcell_jax.data.augmentation import transform
from bloodcell_jax.data.images import feature_cache
from bloodcell_jax.models import backbone, zoo
from bloodcell_jax.optim import staged
from bloodcell_jax.runs import forward as forward_lib
from bloodcell_jax.runs import job
from bloodcell_jax.train import devices, progress

# Images whose features are computed at once: more are no faster on a CPU and need more memory.
_BATCH = 16


@dataclasses.dataclass(frozen=True)
class Features:
  """What takes the place of the images in such a stage."""

  model: nn.Module  # what is left of the network
  arrays: stream.Arrays  # of training, view by view of an image
  batches: Callable[[int], Generator[types.Batch, None, None]]  # the endless training batches from a step on
  evaluate: Callable[[Any], dict[str, float]]  # params -> val_loss, val_accuracy


def build(
  made: job.Job, stage: stages.Stage, params: Any, folder: pathlib.Path, shown: progress.Progress
) -> Features | None:
  """The features of what the stage leaves frozen; None where that is nothing, or where they are not to be kept.

  Args:
    made: the job.
    stage: what is trained.
    params: the network's weights; those of the frozen blocks are used.
    folder: where the features are kept.
    shown: where sizes and progress are told.

  Raises:
    UserError: the disk is too small, or images are to be mixed, which their features cannot be.
    signals.Stopped: a stop was asked for; what is computed is kept.
  """
  exp, network = made.experiment, made.experiment.model.backbone
  depth = depth_of(made, stage)
  if not (network and depth and exp.cache_features):
    return None
  if exp.transform.mixing.is_active:
    raise types.UserError(
      'augment.mixup_alpha or cutmix_alpha mixes images; set stages.cache_features=False with it'
    )
  num_views = exp.features.num_augmented if exp.transform.is_random else 1
  maps = {
    split: _maps(made, network, params, depth, split, views, folder, shown)
    for split, views in (('train', num_views), ('validation', 1))
  }
  model = network.from_block(zoo.options(exp.model, made.num_classes), depth + 1)
  apply = made.make_apply(model)
  arrays = {
    split: _arrays(made, split, found, num_views if split == 'train' else 1) for split, found in maps.items()
  }

  def batches(start: int) -> Generator[types.Batch, None, None]:
    items = np.arange(len(arrays['train'].weight_N))
    return stream.training(arrays['train'], items, exp.batch_size, exp.seed, start, widened)

  def evaluate(params: Any) -> dict[str, float]:
    rows, given = made.data.rows['validation'], arrays['validation']
    found = stream.in_order(given, np.arange(len(rows)), exp.evaluate_batch_size, widened)
    table = made.data.table.take(rows)
    return made.figures(stage, forward_lib.outputs(apply, params, found, table, made.poll), table)

  return Features(model, arrays['train'], batches, evaluate)


def depth_of(made: job.Job, stage: stages.Stage) -> int:
  """How many blocks the stage leaves frozen from the first one on; 0 for a network without blocks."""
  network = made.experiment.model.backbone
  return network.num_frozen(staged.trainable(stage.weights, made.params)) if network else 0


def _maps(
  made: job.Job,
  network: backbone.Backbone,
  params: Any,
  depth: int,
  split: str,
  num_views: int,
  folder: pathlib.Path,
  shown: progress.Progress,
) -> np.ndarray:
  """The output of block `depth` for each view of each image of a split, view by view of an image."""
  exp, rows = made.experiment, made.data.rows[split]
  # What another stage keeps of an earlier block is a shorter way than the image.
  lower = max((d for d in (depth_of(made, s) for s in exp.stages) if 0 < d < depth), default=0)
  source = _maps(made, network, params, lower, split, num_views, folder, shown) if lower else None
  shape = (len(rows) * num_views, *_map_shape(made, network, params, depth))
  random = exp.transform.is_random and split == 'train'
  name = f'block{depth}-{split}-' + feature_cache.key(
    weights=tree.fingerprint(tree.nest(network.weights_of(params, depth))),
    images=' '.join(made.data.table.digest[rows]),
    decoding=repr(exp.data.decode),
    transform=repr(made.transform if random else made.transform.standardize),
    statistics=repr(made.statistics and [made.statistics.mean_C, made.statistics.std_C]),
    seed=str(exp.seed if random else ''),
    num_views=str(num_views),
    dtype=exp.features.dtype,
  )
  size = feature_cache.num_bytes(shape, exp.features.dtype)
  shown.line(
    f'features of block {depth}, {split}: {len(rows):,} images x {num_views}, {size / 2**30:.2f} GB in {folder}'
  )
  images = source if lower else _images(made, split, num_views, random)
  forward = _forward(made, network, params, depth, lower, images)

  def on_progress(done: int, total: int) -> None:
    shown.line(f'  {done:,} of {total:,}')

  return feature_cache.read_or_build(folder, name, shape, exp.features.dtype, forward, on_progress)


def _images(made: job.Job, split: str, num_views: int, random: bool) -> Callable[[np.ndarray], np.ndarray]:
  """A function from items to the network's input: view `item % num_views` of row `item // num_views`."""
  rows, image_NHWC = made.data.rows[split], made.data.image_NHWC
  if not random:
    return lambda items: made.standardize(image_NHWC[rows[items // num_views]])
  draw = transform.make_operands(made.transform, made.experiment.seed, image_NHWC, rows)
  apply = transform.make_apply(made.transform, made.statistics, image_NHWC.shape[1:])

  def augmented(items: np.ndarray) -> np.ndarray:
    chosen = rows[items // num_views]
    return apply(image_NHWC[chosen], draw(items, chosen)).numpy()

  return augmented


def _map_shape(made: job.Job, network: backbone.Backbone, params: Any, depth: int) -> tuple[int, ...]:
  """(height, width, channels) of the output of block `depth`."""
  size = made.experiment.data.decode.image_size
  model = network.between(zoo.options(made.experiment.model, made.num_classes), 1, depth)

  def run(params: Any, image_BHWC: Any) -> Any:
    return model.apply({'params': params}, image_BHWC, method='features')

  shape = jax.eval_shape(run, params, jax.ShapeDtypeStruct((1, size, size, 3), np.float32)).shape
  return tuple(shape[1:])


def _forward(
  made: job.Job, network: backbone.Backbone, params: Any, depth: int, lower: int, source: Any
) -> Callable[[np.ndarray], np.ndarray]:
  """A function from items to the output of block `depth`, from images or from the kept output of block `lower`."""
  model = network.between(zoo.options(made.experiment.model, made.num_classes), lower + 1, depth)
  run = devices.make_apply(
    lambda params, batch: model.apply({'params': params}, batch.image_BHWC, method='features'), made.devices
  )

  def compute(items: np.ndarray) -> np.ndarray:
    parts = []
    for start in range(0, len(items), _BATCH):
      made.poll()
      some = items[start : start + _BATCH]
      inputs = widened(source[some]) if lower else source(some)
      # Filled up, so that one compiled function takes them all.
      filled = np.concatenate([inputs, np.zeros((_BATCH - len(some), *inputs.shape[1:]), np.float32)])
      batch = types.Batch(
        filled, np.zeros((_BATCH, 1), np.float32), np.ones(_BATCH, np.float32), np.arange(_BATCH)
      )
      parts.append(run(params, batch)[: len(some)])
    return np.concatenate(parts)

  return compute


def _arrays(made: job.Job, split: str, maps: np.ndarray, num_views: int) -> stream.Arrays:
  """The features in the place of the images, with the targets and weights of their rows."""
  rows = np.repeat(made.data.rows[split], num_views)
  return stream.Arrays(maps, made.arrays.target_NK[rows], made.arrays.weight_N[rows])


def widened(feature_BHWC: np.ndarray) -> np.ndarray:
  """float32, whatever they are kept as."""
  return np.asarray(feature_BHWC, np.float32)
