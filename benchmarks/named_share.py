"""What an adapted output layer names of images without a label, and how much of it is wrong."""

from __future__ import annotations

import numpy as np

from bloodcell_jax.adaptation import head_choice
from bloodcell_jax.base import types
from bloodcell_jax.stats import calibration


def figures(
  choice: head_choice.Choice,
  target: head_choice.Examples,
  rows: np.ndarray,
  left_N: np.ndarray,
  spec: calibration.Spec,
) -> dict[str, float]:
  """With the threshold that is fitted on the cross-fitted answers about the labelled images.

  Args:
    choice: the layer, fitted on the labelled images.
    target: all images of the laboratory.
    rows: the labelled ones.
    left_N: bool: those of groups without a label.
    spec: targets of the calibration.

  Returns:
    Of the images without a label the shares `named`, and `named_wrong`: named and wrong; the `error` rate of the named.
  """
  rule = calibration.fit(
    _answers(choice.cross_fitted_NK, target.take(rows)), spec, np.zeros(len(rows), np.int32)
  )
  left = target.take(left_N)
  new = calibration.scaled(_answers(choice.layer.probabilities(left.embedding_ND), left), rule.temperature)
  accepted_N = calibration.is_accepted(rule, new)
  wrong_N = accepted_N & (new.probs_NK.argmax(1) != new.label_N)
  return {
    'named': float(accepted_N.mean()),
    'named_wrong': float(wrong_N.mean()),
    'error': float(wrong_N.sum() / max(1, accepted_N.sum())),
  }


def _answers(probs_NK: np.ndarray, images: head_choice.Examples) -> types.Predictions:
  names = tuple(str(k) for k in range(probs_NK.shape[1]))
  return types.Predictions(probs_NK, images.label_N, images.group_N, images.group_N, names)
