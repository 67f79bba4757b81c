"""Each operation of the networks and of what combines them gives in ONNX and TensorFlow what it gives in JAX."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.ensembles import combination
from bloodcell_jax.export import formats, onnx_file

FORMATS = ('onnx', 'savedmodel')

SIDE, NUM_CLASSES, NUM = 6, 3, 5
GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(0, 256, (NUM, SIDE, SIDE, 3)).astype(np.uint8)
WEIGHTS = {
  'kernel': GENERATOR.normal(size=(3, 3, 3, NUM_CLASSES)).astype(np.float32),
  'dense': GENERATOR.normal(size=(SIDE * SIDE * 3, NUM_CLASSES), scale=0.3).astype(np.float32),
}


@dataclasses.dataclass(frozen=True)
class Traced:
  """As much of a program as is written."""

  probabilities: Callable[[Any, jax.Array], jax.Array]
  weights: dict[str, np.ndarray]
  input_shape: tuple[int, int, int]
  class_names: tuple[str, ...]


def both(function: Callable[[Any, jax.Array], jax.Array], name: str, path) -> tuple[np.ndarray, np.ndarray]:
  """The outputs of JAX and of the written file, for a batch and one image alone."""
  made = Traced(function, WEIGHTS, (SIDE, SIDE, 3), ('A', 'B', 'C'))
  known = formats.FORMATS[name]
  if known.missing():
    pytest.skip(f'{known.missing()[0]} is not installed')
  known.write(path / known.file, made)
  run = known.read(path / known.file, made)
  expected_NK = np.asarray(function(WEIGHTS, jnp.asarray(IMAGES)))
  np.testing.assert_allclose(run(IMAGES[:1]), expected_NK[:1], rtol=1e-5, atol=1e-6)
  return expected_NK, run(IMAGES)


def floats(image_BHWC: jax.Array) -> jax.Array:
  return image_BHWC.astype(jnp.float32) / 255 - 0.5


def logits(weights: Any, image_BHWC: jax.Array) -> jax.Array:
  return floats(image_BHWC).reshape(image_BHWC.shape[0], -1) @ weights['dense']


def convolution(padding: Any, strides: tuple[int, int]) -> Callable[[Any, jax.Array], jax.Array]:
  def function(weights: Any, image_BHWC: jax.Array) -> jax.Array:
    y = jax.lax.conv_general_dilated(
      floats(image_BHWC), weights['kernel'], strides, padding, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
    )
    return jax.nn.relu(y).mean((1, 2))

  return function


def pooling(window: tuple[int, int], padding: Any) -> Callable[[Any, jax.Array], jax.Array]:
  def function(weights: Any, image_BHWC: jax.Array) -> jax.Array:
    y = jax.lax.reduce_window(
      floats(image_BHWC) - 2, -np.inf, jax.lax.max, (1, *window, 1), (1, 2, 1, 1), padding
    )
    return y.sum((1, 2))

  return function


def gaussians(weights: Any, image_BHWC: jax.Array) -> jax.Array:
  x_BD, centres_UD = logits(weights, image_BHWC), weights['dense'][:NUM_CLASSES]
  squared_BU = jnp.square(x_BD[:, None, :] - centres_UD[None]).sum(-1)
  return jnp.exp(-squared_BU / 5)


def combined(rule: combination.Combination) -> Callable[[Any, jax.Array], jax.Array]:
  def function(weights: Any, image_BHWC: jax.Array) -> jax.Array:
    one_BK = logits(weights, image_BHWC)
    probs_MBK = jax.nn.softmax(jnp.stack([one_BK, one_BK[:, ::-1] * 0.5]), -1)
    return combination.apply(rule, probs_MBK, jnp).astype(jnp.float32)

  return function


def numbers(*shape: int) -> np.ndarray:
  return np.random.default_rng(1).normal(size=shape)


TREES = {
  'bias_K': numbers(NUM_CLASSES),
  'feature_TKP': np.tile(np.array([0, 3, 5], np.int32), (2, NUM_CLASSES, 1)),
  'threshold_TKP': np.full((2, NUM_CLASSES, 3), -1.2, np.float32),
  'left_TKP': np.tile(np.array([1, 1, 2], np.int32), (2, NUM_CLASSES, 1)),
  'right_TKP': np.tile(np.array([2, 1, 2], np.int32), (2, NUM_CLASSES, 1)),
  'value_TKP': numbers(2, NUM_CLASSES, 3),
}
FUNCTIONS = {
  'dense': lambda weights, image: jax.nn.softmax(logits(weights, image) / 3),
  'convolution': convolution('VALID', (1, 1)),
  'convolution with padding and strides': convolution(((0, 1), (1, 2)), (2, 3)),
  'pooling': pooling((2, 2), 'VALID'),
  'pooling with padding': pooling((3, 2), ((0, 0), (1, 0), (0, 1), (0, 0))),
  'mirrors and turns': lambda weights, image: (
    logits(weights, jnp.swapaxes(image[:, ::-1], 1, 2)) - logits(weights, image[:, :, ::-1])
  ),
  'chosen channels': lambda weights, image: logits(weights, image[..., np.array([2, 0, 1])]),
  'radial basis functions': gaussians,
  'largest and smallest': lambda weights, image: jnp.maximum(logits(weights, image), 0.5).clip(max=2),
  'mean': combined(combination.mean(2)),
  'geometric': combined(combination.geometric(2, NUM_CLASSES)),
  'vote': combined(combination.vote(np.array([1, 2]))),
  'logistic': combined(
    combination.Combination('logistic', {'kernel_DK': numbers(6, 3), 'bias_K': numbers(3)})
  ),
  'mlp': combined(
    combination.Combination(
      'mlp',
      {'hidden_DH': numbers(6, 4), 'hidden_H': numbers(4), 'kernel_HK': numbers(4, 3), 'bias_K': numbers(3)},
    )
  ),
  'gradient boosting': combined(combination.Combination('gradient_boosting', TREES)),
}


@pytest.mark.parametrize('format_name', FORMATS)
@pytest.mark.parametrize('name', FUNCTIONS)
def test_the_file_gives_what_jax_gives(name, format_name, tmp_path):
  expected_NK, found_NK = both(FUNCTIONS[name], format_name, tmp_path)
  assert np.ptp(expected_NK, axis=0).max() > 1e-3, 'a function that sees nothing would pass'
  np.testing.assert_allclose(found_NK, expected_NK, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('format_name', FORMATS)
def test_an_operation_that_is_not_written_is_named(format_name, tmp_path):
  with pytest.raises(types.UserError, match=f'{format_name}: the network has the operation cumsum'):
    both(lambda weights, image: jnp.cumsum(logits(weights, image), 1), format_name, tmp_path)


def test_weights_keep_their_names_and_are_stored_once(tmp_path):
  def twice(weights: Any, image: jax.Array) -> jax.Array:
    return convolution('VALID', (1, 1))(weights, image) + convolution('SAME', (1, 1))(weights, image)

  pytest.importorskip('onnx')
  made = Traced(twice, WEIGHTS, (SIDE, SIDE, 3), ('A', 'B', 'C'))
  (kernel,) = [each for each in onnx_file.build(made).graph.initializer if len(each.dims) == 4]
  assert kernel.name == 'kernel'
  # Output channels first.
  assert tuple(kernel.dims) == (NUM_CLASSES, 3, 3, 3)
