"""The loss that a stage trains by."""

from __future__ import annotations

import functools

from bloodcell_jax.config import experiment, stages
from bloodcell_jax.heads import svr
from bloodcell_jax.train import step


def make(
  exp: experiment.Experiment, stage: stages.Stage, is_residual: bool, total_weight: float
) -> step.Loss:
  """The loss of the stage; equal settings give the same loss.

  For support vector regression it is `svr.objective`, summed over classes and divided by C and by the total weight
  of the training images: a mean over images like the cross-entropy, so that learning rates are comparable.

  Args:
    exp: the settings.
    stage: the stage.
    is_residual: whether the targets are residuals, fitted by least squares.
    total_weight: of the training images.
  """
  if is_residual:
    return step.squares(exp.objective.l2)
  if stage.loss != svr.NAME:
    return step.softmax(exp.objective.label_smoothing, exp.objective.l2)
  output_kernel = f'{exp.model.network.output_layer}/kernel'
  return _regression(exp.svr.epsilon, output_kernel, 1 / (2 * exp.svr.cost * total_weight), exp.objective.l2)


@functools.lru_cache(64)
def _regression(epsilon: float, output_kernel: str, cost: float, l2: float) -> step.Loss:
  """Support vector regression; `cost` is the factor of the output layer's sum of squares."""
  return step.Loss(
    lambda output_BK, target_BK: svr.loss(output_BK, svr.signs(target_BK), epsilon),
    ((output_kernel, cost), (step.DENSE_KERNELS, l2)),
  )
