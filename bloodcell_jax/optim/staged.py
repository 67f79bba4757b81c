"""An optimizer of some of the weights; the others are frozen and have no optimizer state."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import jax
import optax

from bloodcell_jax.base import tree, types
from bloodcell_jax.optim import keras

FROZEN = 'frozen'


@dataclasses.dataclass(frozen=True)
class Spec:
  """Trainable weights and their learning rate multipliers."""

  trainable: tuple[str, ...]  # regular expressions that match whole names, such as `block5_.*`
  # (pattern, factor > 0); the first match wins; 1 without a match
  learning_rate_multipliers: tuple[tuple[str, float], ...]
  optimizer: keras.Spec

  def __post_init__(self):
    if not self.trainable:
      raise types.UserError(
        'stages: trainable is empty, so nothing would be trained; give a pattern such as .*'
      )
    for entry in self.learning_rate_multipliers:
      if not (
        isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str) and _is_factor(entry[1])
      ):
        raise types.UserError(
          f'stages: learning_rate_multipliers has {entry!r}; give pairs of a pattern and a factor above 0'
        )
    multiplied = tuple(entry[0] for entry in self.learning_rate_multipliers)
    for key, patterns in (('trainable', self.trainable), ('learning_rate_multipliers', multiplied)):
      for pattern in patterns:
        try:
          re.compile(pattern)
        except (re.error, TypeError, RecursionError, OverflowError) as error:
          raise types.UserError(
            f'stages: {key} has {pattern!r}, which is not a regular expression ({error})'
          ) from None


def trainable(spec: Spec, params: Any) -> Any:
  """A tree of bools: True for trainable weights.

  Raises:
    UserError: a pattern matches no weight.
  """
  try:
    # The patterns of the multipliers are checked as well: a misspelt one would have no effect.
    tree.mask(params, [pattern for pattern, _ in spec.learning_rate_multipliers])
    return tree.mask(params, spec.trainable)
  except ValueError as error:
    raise types.UserError(f'stages: {error}') from None


def build(spec: Spec, params: Any) -> optax.GradientTransformation:
  """The transform from gradients of all weights to updates, which are 0 for frozen weights.

  **Guarantees**: a frozen weight has no optimizer state; the global norm for clipping is that of the trainable weights,
  as in Keras.

  Args:
    spec: trainable weights, multipliers and optimizer.
    params: the weights, for their names.
  """
  factors = {name: _factor(spec, name) for name in tree.names(params)}
  is_trainable = tree.names(trainable(spec, params))
  # One optimizer for all trainable weights, so that they share one global norm; the multipliers follow it.
  scaled = optax.stateless(
    lambda updates, _: jax.tree.map(
      lambda u, f: u if isinstance(u, optax.MaskedNode) else f * u,
      updates,
      tree.nest(factors),
      is_leaf=lambda u: isinstance(u, optax.MaskedNode),
    )
  )
  labels = tree.nest({name: 'trained' if trained else FROZEN for name, trained in is_trainable.items()})
  return optax.partition(
    {'trained': optax.chain(keras.build(spec.optimizer), scaled), FROZEN: optax.set_to_zero()}, labels
  )


def _factor(spec: Spec, name: str) -> float:
  return next((f for pattern, f in spec.learning_rate_multipliers if re.fullmatch(pattern, name)), 1.0)


def _is_factor(value: Any) -> bool:
  return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
