"""Compiled functions of networks, shared by all jobs of a process whose networks and settings are equal.

To trace a training step and to load its compiled program takes a second or more; the members of an ensemble, the folds
of a cross-validation and a study's seeds differ in their data and weights alone.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data.augmentation import standardize, test_time, transform
from bloodcell_jax.data.resident import images, recipe
from bloodcell_jax.models import zoo
from bloodcell_jax.optim import staged
from bloodcell_jax.runs import forward
from bloodcell_jax.train import devices, many_updates, step

# Functions kept of each kind; the least recently used are dropped with their programs.
MOST = 16
Apply = Callable[[Any, types.Batch], np.ndarray]


def apply(model: nn.Module, on: devices.Devices, **options: Any) -> Apply:
  """The compiled `(params, batch) -> array_B...` of a network for evaluation; `options` go to its `apply`.

  The function raises RunError before its first call where too little memory is free, in each job anew.
  """
  return devices.check_apply(_outputs(model, on, tuple(sorted(options.items()))), on)


def apply_with_tta(model: nn.Module, on: devices.Devices, kind: str) -> Apply:
  """As `apply`, with test-time augmentation of a kind: the logarithm of the mean probabilities, or the mean logits."""
  return devices.check_apply(_pooled(model, on, kind), on)


def apply_with_embedding(model: nn.Module, on: devices.Devices, kind: str) -> Apply:
  """As `apply_with_tta`, each row followed by the D numbers of the embedding of the image as it is: [B, K + D]."""
  return devices.check_apply(_pooled_with_embedding(model, on, kind), on)


def apply_to_rows(model: nn.Module, on: devices.Devices, pixels: Pixels, **options: Any) -> Apply:
  """As `apply`, of `((params, uint8 image_NHWC), batch)`: the batch has row numbers in place of images."""
  make = _outputs_of_rows if pixels.statistics is None else _outputs_of_rows.__wrapped__
  return devices.check_apply(make(model, on, pixels, tuple(sorted(options.items()))), on)


def features(model: Any, image_BHWC: Any, position_B: Any, train: bool) -> Any:
  """The last feature map: a method for `apply`."""
  return model.features(image_BHWC)


def embedding(model: Any, image_BHWC: Any, position_B: Any, train: bool) -> Any:
  """The input of the output layer: a method for `apply`."""
  return model.embedding(model.features(image_BHWC), position_B, train)


@dataclasses.dataclass(frozen=True)
class StepSettings:
  """What a training step depends on beside the network that it computes and the devices."""

  options: tuple[tuple[str, Any], ...]  # for the network's `apply`, sorted by name
  loss: step.Loss
  weights: staged.Spec  # which are trained, and how
  ema_momentum: float  # in [0, 1), of the moving average of the weights; 0 switches it off
  whole: nn.Module  # the network, whose weights the step takes
  image_size: int  # of the images that `whole` takes, in pixels


@dataclasses.dataclass(frozen=True)
class Pixels:
  """How images that lie on the devices become the network's input."""

  transform: transform.Spec | None  # None for features, which are taken as they are
  statistics: standardize.Statistics | None  # of the training images; programs with them are not shared
  shape: tuple[int, ...]  # of an image: height, width, channels


def train_step(model: nn.Module, on: devices.Devices, settings: StepSettings) -> Callable[..., Any]:
  """The compiled training step `(state, batch, key, scale) -> (state, report)`.

  The function raises RunError before its first call where too little memory is free, in each job anew.
  """
  return devices.check_train(_mapped_step(model, on, settings), on, 0)


def train_many(
  model: nn.Module, on: devices.Devices, settings: StepSettings, pixels: Pixels
) -> Callable[..., Any]:
  """The compiled updates `(state, recipe_U, common, scale)` of `many_updates.make`, on images that lie on the devices.

  The function raises RunError before its first call where too little memory is free, in each job anew.
  """
  make = _mapped_updates if pixels.statistics is None else _mapped_updates.__wrapped__
  return devices.check_train(make(model, on, settings, pixels), on, 1)


@functools.lru_cache(MOST)
def update(model: nn.Module, settings: StepSettings) -> Callable[..., Any]:
  """The training step before compilation, to be mapped over devices.

  Args:
    model: the network, or the part of it after the cached blocks.
    settings: the others.
  """

  def apply(params: Any, image_BHWC: jax.Array, position_B: jax.Array, key: jax.Array) -> Any:
    return model.apply(
      {'params': params}, image_BHWC, position_B, True, rngs={'dropout': key}, **dict(settings.options)
    )

  shapes = zoo.shapes(settings.whole, settings.image_size)
  return step.make(
    apply,
    settings.loss,
    staged.build(settings.weights, shapes),
    settings.ema_momentum,
    staged.trainable(settings.weights, shapes),
    devices.AXIS,
  )


@functools.lru_cache(MOST)
def _mapped_step(model: nn.Module, on: devices.Devices, settings: StepSettings) -> Callable[..., Any]:
  return devices.map_train(update(model, settings), on, 0)


@functools.lru_cache(MOST)
def _mapped_updates(
  model: nn.Module, on: devices.Devices, settings: StepSettings, pixels: Pixels
) -> Callable[..., Any]:
  gather: Callable[[Any, recipe.Recipe], Any] = images.gather_features
  if pixels.transform is not None:
    gather = images.make_gather(pixels.transform, pixels.statistics, pixels.shape)

  def make_batch(data: Any, one: recipe.Recipe) -> types.Batch:
    return images.batch(gather(data, one), one)

  return devices.map_train(many_updates.make(update(model, settings), make_batch), on, 1)


@functools.lru_cache(MOST)
def _outputs_of_rows(
  model: nn.Module, on: devices.Devices, pixels: Pixels, options: tuple[tuple[str, Any], ...]
) -> Callable[..., Any]:
  assert pixels.transform is not None, 'features have no evaluation of their own'
  finish = standardize.make_jax(pixels.transform.standardize, pixels.statistics)

  def outputs(params_and_data: Any, batch: types.Batch) -> Any:
    params, image_NHWC = params_and_data
    row_B = batch.image_BHWC.astype(jnp.int32)
    image_BHWC = finish(image_NHWC.at[row_B].get(mode='promise_in_bounds'))
    return model.apply({'params': params}, image_BHWC, batch.position_B, False, **dict(options))

  return devices.map_apply(outputs, on)


@functools.lru_cache(MOST)
def _outputs(
  model: nn.Module, on: devices.Devices, options: tuple[tuple[str, Any], ...]
) -> Callable[..., Any]:
  def outputs(params: Any, batch: types.Batch) -> Any:
    return model.apply({'params': params}, batch.image_BHWC, batch.position_B, False, **dict(options))

  return devices.map_apply(outputs, on)


@functools.lru_cache(MOST)
def _pooled(model: nn.Module, on: devices.Devices, kind: str) -> Callable[..., Any]:
  def logits(params: Any, batch: types.Batch) -> Any:
    seen = test_time.copies(batch.image_BHWC, kind)
    outputs: list[Any] = [model.apply({'params': params}, x, batch.position_B, False) for x in seen]
    return forward.pooled(jnp.stack(outputs), kind)

  return devices.map_apply(logits, on)


@functools.lru_cache(MOST)
def _pooled_with_embedding(model: nn.Module, on: devices.Devices, kind: str) -> Callable[..., Any]:
  def both(params: Any, batch: types.Batch) -> Any:
    pairs: list[Any] = [
      model.apply({'params': params}, x, batch.position_B, False, method=_head_with_embedding)
      for x in test_time.copies(batch.image_BHWC, kind)
    ]
    outputs = [output for output, _ in pairs]
    logits = outputs[0] if kind == test_time.NONE else forward.pooled(jnp.stack(outputs), kind)
    return jnp.concatenate([logits, pairs[0][1]], 1)

  return devices.map_apply(both, on)


def _head_with_embedding(model: Any, image_BHWC: Any, position_B: Any, train: bool) -> Any:
  embedding_BD = embedding(model, image_BHWC, position_B, train)
  return model.logits(embedding_BD), embedding_BD
