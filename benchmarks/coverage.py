"""How often the intervals hold the truth, by simulation; the figures in `stats/intervals.py` and docs/evaluation.md.

    python -m benchmarks.coverage --trials=200 --json=FILE

A population of groups is simulated whose images err alike; test sets are drawn from it, each with a few groups of
four classes, and scored as a run is. Printed by design and figure of merit: the share of test sets whose reported
interval holds the figure of the population, and the same for a bootstrap of groups alone, whatever their number.
No images are read: figures from synthetic predictions, which say nothing about any network.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.stats import bootstrap, intervals, metrics, resamples

CLASS_NAMES = ('EOSINOPHIL', 'LYMPHOCYTE', 'MONOCYTE', 'NEUTROPHIL')
# Groups of each class in TEST of the Kaggle images, which has about as many images of each class.
TEST = (13, 6, 4, 45)
DESIGNS: dict[str, tuple[int, ...] | int] = {'as TEST': TEST, '30 at random': 30, '12 at random': 12}
CONFIDENCE = 0.95


def draw(
  design: Sequence[int] | np.ndarray, images: int, generator: np.random.Generator
) -> types.Predictions:
  """Predictions of a test set with so many groups of each class, and about so many images of each class."""
  label_G = np.repeat(np.arange(len(design)), design).astype(np.int32)
  size_G = np.maximum(1, images // np.maximum(design, 1))[label_G]
  group_N = np.repeat(np.arange(len(label_G)), size_G)
  # What the images of a group have in common weighs as much as what they have not.
  logits_NK = generator.normal(size=(len(group_N), 4)) + generator.normal(size=(len(label_G), 4))[group_N]
  logits_NK += 2.5 * np.eye(4)[label_G[group_N]]
  probs_NK = np.exp(logits_NK) / np.exp(logits_NK).sum(1, keepdims=True)
  files = np.arange(len(group_N)).astype(str)
  return types.Predictions(probs_NK, label_G[group_N], group_N.astype(str), files, CLASS_NAMES)


def groups_of(design: Sequence[int] | int, generator: np.random.Generator) -> np.ndarray:
  """The number of groups of each class in one test set; a number alone is drawn with the shares of TEST."""
  if isinstance(design, int):
    return generator.multinomial(design, np.array(TEST) / sum(TEST))
  return np.array(design)


def truth(images: int, seed: int) -> dict[str, float]:
  """The figures of the population: those of a test set with 100 times the groups of TEST, every class as large."""
  many = draw([100 * n for n in TEST], 100 * images, np.random.default_rng(seed))
  of_group, _ = metrics.sums(many)
  whole = metrics.figures(metrics.combine(of_group, np.ones((1, len(of_group.log_loss)))))
  found = {
    figure.name: float(whole[figure.name][0]) for figure in metrics.FIGURES if figure.function is not None
  }
  return {**found, 'macro_roc_auc': float(np.nanmean(metrics.roc_auc(many)))}


def cover(
  design: Sequence[int] | int, trials: int, images: int, num_resamples: int, seed: int
) -> dict[str, dict[str, float]]:
  """By figure, the share of test sets whose `reported` interval, or whose `bootstrap` alone, holds the truth.

  `with_interval` is the share of test sets for which the figure has an interval at all. A set drawn at random may
  lack a class; its figures are then means over the others, and count against the truth of all four.
  """
  spec = intervals.Spec(num_resamples, CONFIDENCE, 'bca', ())
  true, generator = truth(images, seed), np.random.default_rng(seed + 1)
  held: dict[str, dict[str, list[bool]]] = {
    f.name: {'reported': [], 'bootstrap': []} for f in metrics.FIGURES
  }
  for trial in range(trials):
    found = draw(groups_of(design, generator), images, generator)
    entry = bootstrap.summary(found, spec, trial)
    of_group, _ = metrics.sums(found)
    drawn = resamples.Figures.compute(found, of_group, spec, trial)
    for name, by_method in held.items():
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
    for name, by_method in held.items()
  }


def main() -> None:
  """Prints the table and writes the JSON."""
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  parser.add_argument('--trials', type=int, default=200, help='test sets of each design')
  parser.add_argument('--images', type=int, default=150, help='of each class; 620 in TEST')
  parser.add_argument('--resamples', type=int, default=400)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--json', default='', help='file to write')
  given = parser.parse_args()
  error = 100 * np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / given.trials)
  print(
    f'{given.trials} simulated test sets a design; standard error of a share near 95 %: {error:.1f} points'
  )
  print(f'{"groups":<15}{"figure":<26}{"reported":>10}{"bootstrap":>11}{"with interval":>15}')
  rows: list[dict[str, Any]] = []
  for title, design in DESIGNS.items():
    found = cover(design, given.trials, given.images, given.resamples, given.seed)
    for figure in metrics.FIGURES:
      shares = found[figure.name]
      rows.append({'groups': title, 'figure': figure.name, **shares})
      print(
        f'{title:<15}{figure.title:<26}{shares["reported"]:>10.0%}{shares["bootstrap"]:>11.0%}{shares["with_interval"]:>15.0%}'
      )
  if given.json:
    with open(given.json, 'w', encoding='utf-8') as file:
      json.dump({'arguments': vars(given), 'rows': rows}, file, indent=1)


if __name__ == '__main__':
  main()
