"""What is exported, whatever the format: uint8 RGB in, probabilities out, all that lies between inside."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from bloodcell_jax import classifier, tree
from bloodcell_jax.data import standardize
from bloodcell_jax.export import pixels, plain

INPUT, OUTPUT = 'image', 'probabilities'  # the names of the two tensors


@dataclasses.dataclass(frozen=True)
class Program:
  """A function of images with its weights beside it."""

  model: nn.Module
  weights: dict[str, np.ndarray]  # by name: the network's, and what was learned of the training images
  standardize: standardize.Spec
  image_size: int  # pixels a side, S
  temperature: float  # > 0, by which the logits are divided; 1 where the run has none
  class_names: tuple[str, ...]  # K, in the order of the probabilities

  @property
  def input_shape(self) -> tuple[int, int, int]:
    """Of one image."""
    return (self.image_size, self.image_size, 3)

  def probabilities(self, weights: Mapping[str, jax.Array], image_BHWC: jax.Array) -> jax.Array:
    """[B, K] float32, calibrated, whose rows sum to 1.

    Args:
      weights: as `self.weights`; an argument, so that a format can keep them as it likes.
      image_BHWC: uint8 RGB images [B, S, S, 3], decoded as the run decodes. B may be symbolic.
    """
    own = {name: x for name, x in weights.items() if not name.startswith(pixels.PREFIX)}
    # A GPU would else multiply with ten bits of mantissa, and differ from a CPU by more than parity allows.
    with jax.default_matmul_precision('highest'):
      input_BHWC = pixels.apply(self.standardize, weights, image_BHWC)
      logits_BK = plain.forward(self.model, tree.nest(own), input_BHWC)
    return jax.nn.softmax(logits_BK / np.float32(self.temperature), axis=-1).astype(jnp.float32)


def of(loaded: classifier.Classifier) -> Program:
  """The program of a run's best checkpoint."""
  made = loaded.made
  spec = made.transform.standardize
  params = {name: np.asarray(x, np.float32) for name, x in tree.names(loaded.params).items()}
  return Program(
    model=made.model,
    weights={**params, **pixels.weights(spec, made.statistics)},
    standardize=spec,
    image_size=made.experiment.data.decode.image_size,
    temperature=loaded.rule.temperature if loaded.rule else 1.0,
    class_names=loaded.class_names,
  )
