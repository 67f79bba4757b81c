"""A network with its layers in view: every map, and the gradients by a map or by the image."""

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
class Look:
  """One image seen by the network."""

  logit_K: np.ndarray
  maps: dict[str, np.ndarray]  # by layer, without the batch: [H, W, C] or [D]
  gradient_HWC: np.ndarray  # of the class's logit by the last convolution's map


class Inside:
  """A network compiled once for each of four questions; the parameters are an argument of each.

  Args:
    model: called as `apply(variables, image_BHWC, position_B, train)` for logits [B, K].
    params: of the shapes that will be asked about.
    image_shape: (H, W, C) of an input.
    collection: in which the model keeps the output of each layer under `<layer>:output`.
    batch_size: images that `logits`, `slopes` and `heats` take at a time; fewer are filled up.

  Raises:
    UserError: the network keeps no map of a convolution.
  """

  def __init__(
    self, model: nn.Module, params: Any, image_shape: tuple[int, ...], collection: str, batch_size: int
  ):
    self.batch_size = batch_size
    self._model, self._collection = model, collection
    order: list[str] = []  # JAX sorts the keys of a dict that it returns

    def shapes(params: Any, image: jax.Array) -> Any:
      _, kept = self._apply(params, image, collection)
      order.extend(key.removesuffix(_SUFFIX) for key in kept)
      return kept

    image = jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    kept = jax.eval_shape(shapes, params, image)
    self.layers = tuple(order)
    found = convolutions(self.layers, params)
    self.first_convolution, self.last_convolution = found[0], found[-1]
    self._map = kept[self.last_convolution + _SUFFIX]
    self._look = jax.jit(self._looked)
    self._logits = jax.jit(lambda params, image_BHWC: self._apply(params, image_BHWC, '')[0])
    self._slopes = jax.jit(self._sloped)
    self._heats = jax.jit(self._heated)

  def look(self, params: Any, image_HWC: np.ndarray, label: int | None) -> tuple[Look, int]:
    """Everything about one image, and the class that it is about.

    Args:
      params: the network's.
      image_HWC: float32, as the network takes it.
      label: the class whose logit is differentiated; None for the likeliest.
    """
    wanted = np.int32(-1 if label is None else label)
    logit_K, maps, gradient, chosen = jax.device_get(self._look(params, image_HWC[None], wanted))
    return Look(logit_K, {name: maps[name] for name in self.layers}, gradient), int(chosen)

  def logits(self, params: Any, image_NHWC: np.ndarray) -> np.ndarray:
    """[N, K] float32."""
    return np.concatenate(
      [np.asarray(self._logits(params, batch))[:num] for batch, num in self._batches(image_NHWC)]
    )

  def slopes(self, params: Any, image_NHWC: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray]:
    """The class's logits [N], and their gradients [N, H, W, C] by each image."""
    parts = []
    for batch, num in self._batches(image_NHWC):
      logit_B, gradient_BHWC = jax.device_get(self._slopes(params, batch, label))
      parts.append((logit_B[:num], gradient_BHWC[:num]))
    logits, gradients = zip(*parts, strict=True)
    return np.concatenate(logits), np.concatenate(gradients)

  def heats(self, params: Any, image_NHWC: np.ndarray) -> np.ndarray:
    """[N, h, w] the `cam.grad_cam` of each image for its likeliest class, of the size of the last convolution's map."""
    parts = []
    for batch, num in self._batches(image_NHWC):
      map_BHWC, gradient_BHWC = jax.device_get(self._heats(params, batch))
      parts += [cam.grad_cam(*pair) for pair in zip(map_BHWC[:num], gradient_BHWC[:num], strict=True)]
    return np.stack(parts)

  def _batches(self, image_NHWC: np.ndarray) -> list[tuple[np.ndarray, int]]:
    found = []
    for start in range(0, len(image_NHWC), self.batch_size):
      some = image_NHWC[start : start + self.batch_size]
      fill = np.zeros((self.batch_size - len(some), *some.shape[1:]), np.float32)
      found.append((np.concatenate([some, fill]).astype(np.float32), len(some)))
    return found

  def _apply(self, params: Any, image_BHWC: jax.Array, collection: str) -> tuple[jax.Array, Any]:
    position_B = jnp.arange(len(image_BHWC), dtype=jnp.int32)
    variables = {'params': params}
    if not collection:
      return self._model.apply(variables, image_BHWC, position_B, False), {}  # type: ignore[return-value]
    logit_BK, kept = self._model.apply(variables, image_BHWC, position_B, False, mutable=collection)
    return logit_BK, kept[collection]

  def _changed(self, params: Any, image_BHWC: jax.Array, change_BHWC: jax.Array) -> tuple[jax.Array, Any]:
    """Logits and maps with `change` added to the last convolution's map.

    Added where the network makes it, so that the gradient by it is the gradient by the map, through whatever follows in
    `features` and `head`.
    """

    def add(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
      made = call(*args, **kwargs)
      is_it = context.module.name == self.last_convolution and context.method_name == '__call__'
      return made + change_BHWC if is_it else made

    with nn.intercept_methods(add):
      return self._apply(params, image_BHWC, self._collection)

  def _heated(self, params: Any, image_BHWC: jax.Array) -> Any:
    def score(change_BHWC: jax.Array) -> Any:
      logit_BK, kept = self._changed(params, image_BHWC, change_BHWC)
      return logit_BK.max(1).sum(), kept[self.last_convolution + _SUFFIX]

    shape = (len(image_BHWC), *self._map.shape[1:])
    gradient_BHWC, map_BHWC = jax.grad(score, has_aux=True)(jnp.zeros(shape, self._map.dtype))
    return map_BHWC, gradient_BHWC

  def _looked(self, params: Any, image_1HWC: jax.Array, label: jax.Array) -> Any:
    def score(change: jax.Array) -> Any:
      logit_1K, kept = self._changed(params, image_1HWC, change)
      chosen = jnp.where(label < 0, logit_1K[0].argmax(), label)
      return logit_1K[0, chosen], (logit_1K[0], kept, chosen)

    gradient, (logit_K, kept, chosen) = jax.grad(score, has_aux=True)(
      jnp.zeros(self._map.shape, self._map.dtype)
    )
    maps = {name: kept[name + _SUFFIX][0] for name in self.layers}
    return logit_K, maps, gradient[0], chosen

  def _sloped(self, params: Any, image_BHWC: jax.Array, label: jax.Array) -> Any:
    def score(image_BHWC: jax.Array) -> Any:
      logit_B = self._apply(params, image_BHWC, '')[0][:, label]
      return logit_B.sum(), logit_B

    gradient_BHWC, logit_B = jax.grad(score, has_aux=True)(image_BHWC)
    return logit_B, gradient_BHWC


def convolutions(layers: tuple[str, ...], params: Any) -> list[str]:
  """Those of these layers whose weights are a kernel over height and width, in order.

  Raises:
    UserError: there is none.
  """
  leaves = tree.names(params)
  found = [name for name in layers if len(getattr(leaves.get(f'{name}/kernel'), 'shape', ())) == 4]
  if not found:
    raise types.UserError('the network has no convolution whose map could be explained')
  return found
