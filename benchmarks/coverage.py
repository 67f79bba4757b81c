"""Coverage of the confidence intervals by simulation; the figures in `stats/intervals.py` and docs/evaluation.md.

    python -m benchmarks.coverage --trials=200 --json=FILE

Simulates a population of groups in which errors of images are correlated, draws test sets with a few groups of four
classes and scores them as a run does. Prints by design and figure of merit the share of test sets whose reported
interval contains the figure of the population, and the same for the bootstrap of groups alone. No images are read:
the predictions are synthetic, and the figures are not those of any network.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.stats import bootstrap, intervals, metrics, resamples, roc_area

CLASS_NAMES = ('EOSINOPHIL', 'LYMPHOCYTE', 'MONOCYTE', 'NEUTROPHIL')
# Groups of each class in TEST of the Kaggle images; its classes have about equal numbers of images.
TEST = (13, 6, 4, 45)
CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Design:
  """How test sets are drawn."""

  groups: tuple[int, ...] | int  # of each class; or of all, drawn with the class shares of TEST
  signal: float  # added to the logit of the label
  # Standard deviation of what the images of a group share in each logit; that of one image is 1.
  shared: float


DESIGNS = {
  'as TEST': Design(TEST, 2.5, 1.0),
  '30 at random': Design(30, 2.5, 1.0),
  '12 at random': Design(12, 2.5, 1.0),
  # The images of a group hardly resemble one another, and the majority of them is right though many are wrong.
  '8, low': Design((2, 2, 2, 2), 0.9, 0.1),
  'class of 2': Design((13, 6, 2, 45), 2.5, 1.0),
  'class of 1': Design((13, 6, 1, 45), 2.5, 1.0),
}


def draw(design: Design, images: int, generator: np.random.Generator) -> types.Predictions:
  """Predictions of a test set with about `images` images of each class that has groups."""
  num_K = draw_groups(design, generator)
  label_G = np.repeat(np.arange(len(num_K)), num_K).astype(np.int32)
  size_G = np.maximum(1, images // np.maximum(num_K, 1))[label_G]
  group_N = np.repeat(np.arange(len(label_G)), size_G)
  logits_NK = generator.normal(size=(len(group_N), 4))
  logits_NK += design.shared * generator.normal(size=(len(label_G), 4))[group_N]
  logits_NK += design.signal * np.eye(4)[label_G[group_N]]
  probs_NK = np.exp(logits_NK) / np.exp(logits_NK).sum(1, keepdims=True)
  files = np.arange(len(group_N)).astype(str)
  return types.Predictions(probs_NK, label_G[group_N], group_N.astype(str), files, CLASS_NAMES)


def draw_groups(design: Design, generator: np.random.Generator) -> np.ndarray:
  """[K] the number of groups of each class in one test set."""
  if isinstance(design.groups, int):
    return generator.multinomial(design.groups, np.array(TEST) / sum(TEST))
  return np.array(design.groups)


def truth(design: Design, images: int, seed: int) -> dict[str, float]:
  """The figures of the population, estimated from a test set with 100 times the groups of TEST."""
  whole = dataclasses.replace(design, groups=tuple(100 * num for num in TEST))
  many = draw(whole, 100 * images, np.random.default_rng(seed))
  of_group, _ = metrics.sums(many)
  values = metrics.figures(metrics.combine(of_group, np.ones((1, len(of_group.log_loss)))))
  by_name = {
    figure.name: float(values[figure.name][0]) for figure in metrics.FIGURES if figure.function is not None
  }
  return {**by_name, 'macro_roc_auc': float(np.nanmean(roc_area.areas(many)))}


def cover(
  design: Design, trials: int, images: int, num_resamples: int, seed: int
) -> dict[str, dict[str, float]]:
  """By figure, the share of test sets whose `reported` or plain `bootstrap` interval contains the true value.

  `with_interval` is the share of test sets for which the figure has an interval at all. A random set may lack a
  class; its figures are then means over the others, compared with the true value of all four.
  """
  spec = intervals.Spec(num_resamples, CONFIDENCE, 'bca', ())
  true, generator = truth(design, images, seed), np.random.default_rng(seed + 1)
  covers: dict[str, dict[str, list[bool]]] = {
    f.name: {'reported': [], 'bootstrap': []} for f in metrics.FIGURES
  }
  for trial in range(trials):
    predictions = draw(design, images, generator)
    entry = bootstrap.summary(predictions, spec, trial)
    of_group, _ = metrics.sums(predictions)
    drawn = resamples.Figures.compute(predictions, of_group, spec, trial)
    for name, by_method in covers.items():
      pairs = {
        'reported': (entry[name]['low'], entry[name]['high']),
        'bootstrap': intervals.resampled(
          drawn.value[name].item(), drawn.drawn[name], drawn.left_out[name], spec
        ),
      }
      for method, (low, high) in pairs.items():
        if low is not None and high is not None and np.isfinite([low, high]).all():
          by_method[method].append(bool(low <= true[name] <= high))
  return {
    name: {
      'with_interval': len(by_method['reported']) / trials,
      **{method: float(np.mean(each)) if each else float('nan') for method, each in by_method.items()},
    }
    for name, by_method in covers.items()
  }


def main() -> None:
  """Prints the table and writes the JSON."""
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  parser.add_argument('--trials', type=int, default=200, help='test sets of each design')
  parser.add_argument('--images', type=int, default=150, help='of each class; 620 in TEST')
  parser.add_argument('--resamples', type=int, default=400)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--json', default='', help='file to write')
  flags = parser.parse_args()
  error = 100 * np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / flags.trials)
  print(
    f'{flags.trials} simulated test sets per design; standard error of a share near 95 %: {error:.1f} points'
  )
  print(f'{"groups":<15}{"figure":<26}{"reported":>10}{"bootstrap":>11}{"with interval":>15}')
  rows: list[dict[str, Any]] = []
  for title, design in DESIGNS.items():
    coverage = cover(design, flags.trials, flags.images, flags.resamples, flags.seed)
    for figure in metrics.FIGURES:
      shares = coverage[figure.name]
      rows.append({'groups': title, 'figure': figure.name, **shares})
      print(
        f'{title:<15}{figure.title:<26}{shares["reported"]:>10.0%}{shares["bootstrap"]:>11.0%}{shares["with_interval"]:>15.0%}'
      )
  if flags.json:
    with open(flags.json, 'w', encoding='utf-8') as file:
      json.dump({'arguments': vars(flags), 'rows': rows}, file, indent=1)


if __name__ == '__main__':
  main()
