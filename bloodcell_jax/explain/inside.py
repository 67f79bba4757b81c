"""Access to the inside of a network: the output of every layer, and gradients of logits by a map or by the image."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from bloodcell_jax.base import tree, types
from bloodcell_jax.explain import cam

_SUFFIX = ':output'


@dataclasses.dataclass(frozen=True)
class Activations:
  """Logits and feature maps of one image, with a gradient."""

  logit_K: np.ndarray
  maps: dict[str, np.ndarray]  # by layer, without the batch axis: [H, W, C] or [D]
  gradient_HWC: np.ndarray  # of the class's logit with respect to the map of the last convolution


class Probe:
  """A network compiled once for each of four queries, which take the parameters as an argument.

  Args:
    model: called as `apply(variables, image_BHWC, position_B, train)` for logits [B, K].
    params: of the shapes of those that the queries will be called with.
    image_shape: (H, W, C) of an input.
    collection: the variable collection in which the model stores the output of each layer as `<layer>:output`.
    batch_size: of `logits`, `gradients` and `heats`; smaller batches are padded.

  Raises:
    UserError: the network has no convolution.
  """

  def __init__(
    self, model: nn.Module, params: Any, image_shape: tuple[int, ...], collection: str, batch_size: int
  ):
    self.batch_size = batch_size
    self._model, self._collection = model, collection
    order: list[str] = []  # JAX sorts the keys of returned dicts

    def shapes(params: Any, image: jax.Array) -> Any:
      _, kept = self._apply(params, image, collection)
      order.extend(key.removesuffix(_SUFFIX) for key in kept)
      return kept

    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    kept = jax.eval_shape(shapes, params, image)
    self.layers = tuple(order)
    names = convolutions(self.layers, params)
    self.first_convolution, self.last_convolution = names[0], names[-1]
    self._map = kept[self.last_convolution + _SUFFIX]
    self._activations = jax.jit(self._activations_of)
    self._logits = jax.jit(lambda params, image_BHWC: self._apply(params, image_BHWC, '')[0])
    self._gradients = jax.jit(self._gradients_of)
    self._heats = jax.jit(self._heats_of)

  def activations(self, params: Any, image_HWC: np.ndarray, label: int | None) -> tuple[Activations, int]:
    """Logits, feature maps and gradient of one image, and the class whose logit was differentiated.

    Args:
      params: the network's.
      image_HWC: float32, standardized.
      label: the class; None for the predicted one.
    """
    index = np.int32(-1 if label is None else label)
    logit_K, maps, gradient, chosen = jax.device_get(self._activations(params, image_HWC[None], index))
    return Activations(logit_K, {name: maps[name] for name in self.layers}, gradient), int(chosen)

  def logits(self, params: Any, image_NHWC: np.ndarray) -> np.ndarray:
    """Logits [N, K], float32."""
    return np.concatenate(
      [np.asarray(self._logits(params, batch))[:num] for batch, num in self._batches(image_NHWC)]
    )

  def gradients(self, params: Any, image_NHWC: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray]:
    """The logits [N] of a class, and their gradients [N, H, W, C] with respect to the images."""
    parts = []
    for batch, num in self._batches(image_NHWC):
      logit_B, gradient_BHWC = jax.device_get(self._gradients(params, batch, label))
      parts.append((logit_B[:num], gradient_BHWC[:num]))
    logits, gradients = zip(*parts, strict=True)
    return np.concatenate(logits), np.concatenate(gradients)

  def heats(self, params: Any, image_NHWC: np.ndarray) -> np.ndarray:
    """`cam.grad_cam` [N, h, w] of each image for its predicted class, at the size of the last convolution's map."""
    parts = []
    for batch, num in self._batches(image_NHWC):
      map_BHWC, gradient_BHWC = jax.device_get(self._heats(params, batch))
      parts += [cam.grad_cam(*pair) for pair in zip(map_BHWC[:num], gradient_BHWC[:num], strict=True)]
    return np.stack(parts)

  def _batches(self, image_NHWC: np.ndarray) -> list[tuple[np.ndarray, int]]:
    batches = []
    for start in range(0, len(image_NHWC), self.batch_size):
      images = image_NHWC[start : start + self.batch_size]
      padding = np.zeros((self.batch_size - len(images), *images.shape[1:]), np.float32)
      batches.append((np.concatenate([images, padding]).astype(np.float32), len(images)))
    return batches

  def _apply(self, params: Any, image_BHWC: jax.Array, collection: str) -> tuple[jax.Array, Any]:
    position_B = jnp.arange(len(image_BHWC), dtype=jnp.int32)
    variables = {'params': params}
    if not collection:
      return self._model.apply(variables, image_BHWC, position_B, False), {}  # type: ignore[return-value]
    logit_BK, kept = self._model.apply(variables, image_BHWC, position_B, False, mutable=collection)
    return logit_BK, kept[collection]

  def _changed(self, params: Any, image_BHWC: jax.Array, change_BHWC: jax.Array) -> tuple[jax.Array, Any]:
    """Logits and maps with `change_BHWC` added to the map of the last convolution.

    It is added inside the network, so that the gradient with respect to the change is that with respect to the map,
    through all later layers.
    """

    def add(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
      output = call(*args, **kwargs)
      is_last = context.module.name == self.last_convolution and context.method_name == '__call__'
      return output + change_BHWC if is_last else output

    with nn.intercept_methods(add):
      return self._apply(params, image_BHWC, self._collection)

  def _heats_of(self, params: Any, image_BHWC: jax.Array) -> Any:
    def score(change_BHWC: jax.Array) -> Any:
      logit_BK, kept = self._changed(params, image_BHWC, change_BHWC)
      return logit_BK.max(1).sum(), kept[self.last_convolution + _SUFFIX]

    shape = (len(image_BHWC), *self._map.shape[1:])
    gradient_BHWC, map_BHWC = jax.grad(score, has_aux=True)(jnp.zeros(shape, self._map.dtype))
    return map_BHWC, gradient_BHWC

  def _activations_of(self, params: Any, image_1HWC: jax.Array, label: jax.Array) -> Any:
    def score(change: jax.Array) -> Any:
      logit_1K, kept = self._changed(params, image_1HWC, change)
      chosen = jnp.where(label < 0, logit_1K[0].argmax(), label)
      return logit_1K[0, chosen], (logit_1K[0], kept, chosen)

    gradient, (logit_K, kept, chosen) = jax.grad(score, has_aux=True)(
      jnp.zeros(self._map.shape, self._map.dtype)
    )
    maps = {name: kept[name + _SUFFIX][0] for name in self.layers}
    return logit_K, maps, gradient[0], chosen

  def _gradients_of(self, params: Any, image_BHWC: jax.Array, label: jax.Array) -> Any:
    def score(image_BHWC: jax.Array) -> Any:
      logit_B = self._apply(params, image_BHWC, '')[0][:, label]
      return logit_B.sum(), logit_B

    gradient_BHWC, logit_B = jax.grad(score, has_aux=True)(image_BHWC)
    return logit_B, gradient_BHWC


def convolutions(layers: tuple[str, ...], params: Any) -> list[str]:
  """The convolutions among these layers, in order.

  Raises:
    UserError: there are none.
  """
  leaves = tree.names(params)
  names = [name for name in layers if len(getattr(leaves.get(f'{name}/kernel'), 'shape', ())) == 4]
  if not names:
    raise types.UserError('the network has no convolution, so there are no maps to explain')
  return names
