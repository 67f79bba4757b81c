"""How well a temperature fitted on few groups serves new images, by the weight of the uncertain group in its fit.

    python -m benchmarks.temperature [--draws=60]

Validation sets are drawn whose best temperature is known up to rounding, and each fitted temperature is scored by the
log loss of 4,000 new images. Half a minute; the predictions are synthetic, and the figures are not those of
any network.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from unittest import mock

import numpy as np
from scipy import special

from bloodcell_jax.base import types
from bloodcell_jax.stats import calibration, metrics

CLASS_NAMES = ('EOSINOPHIL', 'LYMPHOCYTE', 'MONOCYTE', 'NEUTROPHIL')
WEIGHTS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5)
SIGNALS = (1.5, 2.5, 3.5)  # accuracies of about 0.71, 0.91 and 0.98
GROUPS = (10, 25, 100)
IMAGES = 6  # of a group
SHARED = 0.7  # of the variance of an image's evidence: what its group has in common


def draw(
  generator: np.random.Generator, signal: float, overconfidence: float, num_groups: int, num_images: int
) -> types.Predictions:
  """Predictions of so many images of each group, whose probabilities are true at the temperature `overconfidence`."""
  label_G = generator.integers(4, size=num_groups).astype(np.int32)
  group_N = np.repeat(np.arange(num_groups), num_images)
  evidence_NK = signal * np.eye(4)[label_G[group_N]]
  evidence_NK += np.sqrt(SHARED) * generator.normal(size=(num_groups, 4))[group_N]
  evidence_NK += np.sqrt(1 - SHARED) * generator.normal(size=(len(group_N), 4))
  probs_NK = special.softmax(overconfidence * signal * evidence_NK, 1)
  files = np.arange(len(group_N)).astype(str)
  return types.Predictions(probs_NK, label_G[group_N], group_N.astype(str), files, CLASS_NAMES)


def log_loss(predictions: types.Predictions, temperature: float) -> float:
  """The mean log loss of the predictions at this temperature."""
  probs_NK = calibration.scaled(predictions, temperature).probs_NK
  return float(metrics.losses(probs_NK, predictions.label_N).mean())


def rows(num_draws: int) -> list[str]:
  """A line of Markdown for each kind of validation set: the median temperature and the mean log loss by weight."""
  lines = [
    '| accuracy, best T | groups | log loss at the best T | '
    + ' | '.join(f'weight {w}' for w in WEIGHTS)
    + ' |',
    '|---|---:|---:|' + '---:|' * len(WEIGHTS),
  ]
  for signal in SIGNALS:
    for best in (1.0, 2.5):
      new = draw(np.random.default_rng(0), signal, best, 4000, 1)
      accuracy = (new.probs_NK.argmax(1) == new.label_N).mean()
      for num_groups in GROUPS:
        sets = [
          draw(np.random.default_rng(seed), signal, best, num_groups, IMAGES)
          for seed in range(1, num_draws + 1)
        ]
        cells = []
        for weight in WEIGHTS:
          with mock.patch.object(calibration, 'UNCERTAIN', weight):
            fitted = [calibration.fit_temperature(one, np.ones(len(one))) for one in sets]
          cells.append(
            f'T {np.median(fitted):.2f}, {np.mean([log_loss(new, value) for value in fitted]):.3f}'
          )
        lines.append(
          f'| {accuracy:.2f}, {best} | {num_groups} | {log_loss(new, best):.3f} | {" | ".join(cells)} |'
        )
  return lines


def main(arguments: Sequence[str] | None = None) -> None:
  """Prints the table."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--draws', type=int, default=60, help='validation sets of each kind')
  print('\n'.join(rows(parser.parse_args(arguments).draws)))


if __name__ == '__main__':
  main()
