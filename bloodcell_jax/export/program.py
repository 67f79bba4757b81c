"""The program behind every format: from uint8 RGB images to calibrated probabilities."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from bloodcell_jax.base import tree
from bloodcell_jax.data.augmentation import standardize, test_time
from bloodcell_jax.ensembles import combination
from bloodcell_jax.export import pixels, plain
from bloodcell_jax.inference import classifier
from bloodcell_jax.runs import forward
from bloodcell_jax.stats import metrics

_LEAST_LOG = float(np.log(metrics.TINY))
INPUT, OUTPUT = 'image', 'probabilities'  # the names of the two tensors


@dataclasses.dataclass(frozen=True)
class Program:
  """A function of images, with its weights kept separately."""

  models: tuple[nn.Module, ...]  # M, more than one for an ensemble
  combination: combination.Combination  # of the M networks
  # By name: parameters, and statistics of the training images; for an ensemble under `member_K/`, K from 1.
  weights: dict[str, np.ndarray]
  standardize: standardize.Spec
  tta: str  # one of `test_time.KINDS`
  image_size: int  # pixels a side, S
  temperature: float  # > 0, by which the logits are divided; 1 if the run is not calibrated
  class_names: tuple[str, ...]  # K, in the order of the probabilities

  @property
  def input_shape(self) -> tuple[int, int, int]:
    """(height, width, channels) of an image."""
    return (self.image_size, self.image_size, 3)

  def probabilities(self, weights: Mapping[str, jax.Array], image_BHWC: jax.Array) -> jax.Array:
    """Calibrated probabilities [B, K], float32; each row sums to 1.

    Args:
      weights: as `self.weights`; an argument, so that a format may store them in its own way.
      image_BHWC: uint8 RGB images [B, S, S, 3], decoded as the run decodes. B may be symbolic.
    """
    # By default a GPU multiplies with a mantissa of ten bits and would differ from a CPU by more than parity.LIMIT.
    with jax.default_matmul_precision('highest'):
      outputs = [
        self._logits(model, _own(weights, _prefix(i, len(self.models))), image_BHWC)
        for i, model in enumerate(self.models)
      ]
      if len(outputs) == 1:
        logits_BK = outputs[0]
      else:
        probs_MBK = jax.nn.softmax(jnp.stack(outputs), axis=-1)
        probs_BK = combination.apply(self.combination, probs_MBK, jnp)
        # A vote can be 0; treated as in `calibration.scaled`, which uses double precision.
        logits_BK = jnp.where(probs_BK > 0, jnp.log(jnp.maximum(probs_BK, 1e-37)), _LEAST_LOG)
    return jax.nn.softmax(logits_BK / np.float32(self.temperature), axis=-1).astype(jnp.float32)

  def _logits(self, model: nn.Module, own: Mapping[str, jax.Array], image_BHWC: jax.Array) -> jax.Array:
    params = tree.nest({name: x for name, x in own.items() if not name.startswith(pixels.PREFIX)})
    input_BHWC = pixels.apply(self.standardize, own, image_BHWC)
    outputs = [plain.forward(model, params, one) for one in test_time.copies(input_BHWC, self.tta)]
    return outputs[0] if len(outputs) == 1 else forward.pooled(jnp.stack(outputs), self.tta)


def build(loaded: classifier.Classifier) -> Program:
  """The program of a classifier: a run's best checkpoint, or the members of an ensemble."""
  networks = loaded.models.networks
  exp, spec = loaded.job.experiment, loaded.job.transform.standardize
  weights: dict[str, np.ndarray] = {}
  for i, network in enumerate(networks):
    own = {name: np.asarray(x, np.float32) for name, x in tree.names(network.params).items()}
    own |= pixels.weights(spec, network.job.statistics)
    weights |= {f'{_prefix(i, len(networks))}{name}': x for name, x in own.items()}
  return Program(
    models=tuple(network.job.model for network in networks),
    combination=loaded.models.combination,
    weights=weights,
    standardize=spec,
    tta=exp.tta,
    image_size=exp.data.decode.image_size,
    temperature=loaded.rule.temperature if loaded.rule else 1.0,
    class_names=loaded.class_names,
  )


def _prefix(i: int, num_members: int) -> str:
  return f'member_{i + 1}/' if num_members > 1 else ''


def _own(weights: Mapping[str, jax.Array], prefix: str) -> dict[str, jax.Array]:
  return {name.removeprefix(prefix): x for name, x in weights.items() if name.startswith(prefix)}
