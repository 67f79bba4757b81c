"""The output of a network's frozen blocks, computed once per image and cached, so that a stage trains the rest only."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Generator
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from bloodcell_jax.base import tree, types
from bloodcell_jax.config import experiment, stages
from bloodcell_jax.data import stream
from bloodcell_jax.data.augmentation import transform
from bloodcell_jax.data.images import feature_cache
from bloodcell_jax.models import backbone, fast_conv
from bloodcell_jax.optim import staged
from bloodcell_jax.runs import compiled
from bloodcell_jax.runs import forward as forward_lib
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.train import batch_part
from bloodcell_jax.train import progress as progress_lib

# Batch size of the forward pass on a CPU, where a larger one is no faster and needs more memory; and the largest one on
# an accelerator, which would wait for the host between small ones.
_BATCH, _LARGEST_BATCH = 16, 256


@dataclasses.dataclass(frozen=True)
class Features:
  """Cached features, which replace the images in a stage with frozen blocks."""

  model: nn.Module  # the network after its frozen blocks
  arrays: stream.Arrays  # of the training split; the copies of an image are consecutive
  # the endless training batches from a given step on
  batches: Callable[[int], Generator[types.Batch, None, None]]
  evaluate: Callable[[Any], dict[str, float]]  # params -> val_loss, val_accuracy


def build(
  job: job_lib.Job, stage: stages.Stage, params: Any, folder: pathlib.Path, progress: progress_lib.Progress
) -> Features | None:
  """Computes or reads the features of the frozen blocks; None where there are none or caching is off.

  Args:
    job: the job.
    stage: the stage to train.
    params: the network's weights; those of the frozen blocks are used.
    folder: the cache.
    progress: where progress is printed.

  Raises:
    UserError: the disk is too small, or the augmentation mixes images, which features do not allow.
    signals.Stopped: a stop was requested; the features computed so far are kept.
  """
  exp, network = job.experiment, job.experiment.model.backbone
  depth = depth_of(job, stage)
  if not (network and depth and exp.cache_features):
    return None
  if exp.transform.mixing.is_active:
    raise types.UserError(
      'augment.mixup_alpha or cutmix_alpha mixes images; set stages.cache_features=False with it'
    )
  num_copies = num_copies_of(exp)
  maps = {
    split: _maps(job, network, params, depth, split, num, folder, progress)
    for split, num in (('train', num_copies), ('validation', 1))
  }
  model = network.from_block(job.options, depth + 1)
  apply = job.make_apply(model)
  arrays = {
    split: _arrays(job, split, split_maps, num_copies if split == 'train' else 1)
    for split, split_maps in maps.items()
  }

  def batches(start: int) -> Generator[types.Batch, None, None]:
    items = np.arange(len(arrays['train'].weight_N))
    part = job.part
    made = stream.training(arrays['train'], items, exp.batch_size, exp.seed, start, widened, part.rows)
    return batch_part.filled(made, part)

  def evaluate(params: Any) -> dict[str, float]:
    rows = job.data.rows['validation']
    inputs = stream.in_order(arrays['validation'], np.arange(len(rows)), exp.evaluate_batch_size, widened)
    table = job.data.table.take(rows)
    found = forward_lib.outputs(apply, job.placed(params), inputs, table, job.poll)
    return job.figures(stage, found, table)

  return Features(model, arrays['train'], batches, evaluate)


def num_copies_of(exp: experiment.Experiment) -> int:
  """How many times the features of a training image are cached, each augmented anew; 1 where nothing is random."""
  return exp.features.num_augmented if exp.transform.is_random else 1


def depth_of(job: job_lib.Job, stage: stages.Stage) -> int:
  """The number of frozen blocks, counted from the input; 0 for a network without blocks."""
  network = job.experiment.model.backbone
  return network.num_frozen(staged.trainable(stage.weights, job.shapes)) if network else 0


def _maps(
  job: job_lib.Job,
  network: backbone.Backbone,
  params: Any,
  depth: int,
  split: str,
  num_copies: int,
  folder: pathlib.Path,
  progress: progress_lib.Progress,
) -> np.ndarray:
  """The output of block `depth` for each augmented copy of each image of a split; those of an image are consecutive."""
  exp, rows = job.experiment, job.data.rows[split]
  # The cached output of a lower block, where another stage has one, saves computing that part again.
  depths = sorted({d for d in (depth_of(job, s) for s in exp.stages) if 0 < d < depth})
  lower = max(depths, default=0)
  source = _maps(job, network, params, lower, split, num_copies, folder, progress) if lower else None
  shape = (len(rows) * num_copies, *map_shape(job, network, params, depth))
  random = exp.transform.is_random and split == 'train'
  name = f'block{depth}-{split}-' + feature_cache.key(
    weights=tree.fingerprint(tree.nest(network.weights_of(params, depth))),
    images=' '.join(job.data.decoded_digests(rows)),
    decoding=repr(exp.data.decode),
    transform=repr(job.transform if random else job.transform.standardize),
    statistics=repr(job.statistics and [job.statistics.mean_C, job.statistics.std_C]),
    seed=str(exp.seed if random else ''),
    num_views=str(num_copies),
    dtype=exp.features.dtype,
    # The direct algorithm is not named, so that features cached before there was another one stay valid.
    **({} if exp.convolution == fast_conv.DIRECT else {'convolution': exp.convolution}),
    # Features of rounded features are not those of the images.
    **({'lower': ' '.join(map(str, depths))} if depths else {}),
  )
  size = feature_cache.num_bytes(shape, exp.features.dtype)
  progress.line(
    f'features of block {depth}, {split}: {len(rows):,} images x {num_copies}, '
    f'{feature_cache.format_bytes(size)} in {folder}'
  )
  images = source if lower else _images(job, split, num_copies, random)
  forward = _forward(job, network, params, depth, lower, images, batch_size(job, shape))

  def on_progress(done: int, total: int) -> None:
    progress.line(f'  {done:,} of {total:,}')

  return feature_cache.read_or_build(folder, name, shape, exp.features.dtype, forward, on_progress)


def _images(
  job: job_lib.Job, split: str, num_copies: int, random: bool
) -> Callable[[np.ndarray], np.ndarray]:
  """A function from items to the network's input: copy `item % num_copies` of row `item // num_copies`."""
  rows, image_NHWC = job.data.rows[split], job.data.image_NHWC
  if not random:
    return lambda items: job.standardize(image_NHWC[rows[items // num_copies]])
  draw = transform.make_operands(job.transform, job.experiment.seed, job.data.nuclei, rows)
  apply = transform.make_apply(job.transform, job.statistics, image_NHWC.shape[1:])

  def augmented(items: np.ndarray) -> np.ndarray:
    chosen = rows[items // num_copies]
    return apply(image_NHWC[chosen], draw(items, chosen)).numpy()

  return augmented


def batch_size(job: job_lib.Job, shape: tuple[int, ...]) -> int:
  """Images that go through the frozen blocks at once; `shape`: of the features, [N, ...]."""
  if job.devices.platform == 'cpu':
    return _BATCH
  # The cache asks for a block at a time, and what a batch has beyond it would be computed in vain.
  return min(_LARGEST_BATCH, feature_cache.items_of_block(shape, job.experiment.features.dtype))


def map_shape(job: job_lib.Job, network: backbone.Backbone, params: Any, depth: int) -> tuple[int, ...]:
  """(height, width, channels) of the output of block `depth`; `params` may be the shapes of the weights."""
  size = job.experiment.data.decode.image_size
  model = network.between(job.options, 1, depth)

  def run(params: Any, image_BHWC: Any) -> Any:
    return model.apply({'params': params}, image_BHWC, method='features')

  shape = jax.eval_shape(run, params, jax.ShapeDtypeStruct((1, size, size, 3), np.float32)).shape
  return tuple(shape[1:])


def _forward(
  job: job_lib.Job, network: backbone.Backbone, params: Any, depth: int, lower: int, source: Any, size: int
) -> Callable[[np.ndarray], np.ndarray]:
  """A function from items to the output of block `depth`, from images or from the cached output of block `lower`.

  `size` of them go through the blocks at once.
  """
  model = network.between(job.options, lower + 1, depth)
  run = job.make_apply(model, method=compiled.features)
  # Not before they are needed: features that are cached need none.
  on_devices = functools.cache(lambda: job.placed(params))

  def compute(items: np.ndarray) -> np.ndarray:
    parts = []
    for start in range(0, len(items), size):
      job.poll()
      some = items[start : start + size]
      inputs = widened(source[some]) if lower else source(some)
      # Padded to a full batch, so that one compiled function serves all.
      filled = np.concatenate([inputs, np.zeros((size - len(some), *inputs.shape[1:]), np.float32)])
      batch = types.Batch(filled, np.zeros((size, 1), np.float32), np.ones(size, np.float32), np.arange(size))
      parts.append(run(on_devices(), batch)[: len(some)])
    return np.concatenate(parts)

  return compute


def _arrays(job: job_lib.Job, split: str, maps: np.ndarray, num_copies: int) -> stream.Arrays:
  """The features with the targets and weights of their rows."""
  rows = np.repeat(job.data.rows[split], num_copies)
  whole = job.arrays
  laboratory_N = None if whole.laboratory_N is None else whole.laboratory_N[rows]
  return stream.Arrays(maps, whole.target_NK[rows], whole.weight_N[rows], laboratory_N)


def widened(feature_BHWC: np.ndarray) -> np.ndarray:
  """The features as float32, whatever the dtype of the cache."""
  return np.asarray(feature_BHWC, np.float32)
