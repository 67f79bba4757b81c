"""Compares two runs on the same images, split by split: `comparison_<other>.json` in the folder of the first."""

from __future__ import annotations

from typing import Any

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.stats import paired
from bloodcell_jax.storage import predictions_csv, workdir
from bloodcell_jax.system import atomic


def write(folder: workdir.Workdir, other: workdir.Workdir, exp: experiment.Experiment) -> dict[str, Any]:
  """The paired comparison of the runs on each split that both have predicted, with intervals and tests over groups.

  Args:
    folder: the first run; the file is written here.
    other: the second run; differences are the second minus the first.
    exp: the settings of the intervals and the seed of the resamples.

  Raises:
    UserError: the runs have no split in common, or differ in the images or classes of one.
  """
  splits = [
    p.stem for p in sorted((folder.path / 'predictions').glob('*.csv')) if other.predictions(p.stem).exists()
  ]
  if not splits:
    raise types.UserError(
      f'{other.path}: has no predictions for a split of {folder.path}; evaluate both runs first'
    )
  comparisons = {
    split: paired.compare(
      predictions_csv.read(folder.predictions(split)),
      predictions_csv.read(other.predictions(split)),
      exp.intervals,
      exp.seed,
    )
    for split in splits
  }
  atomic.write_json(folder.path / f'comparison_{other.path.resolve().name}.json', comparisons)
  return comparisons


def line(split: str, entry: dict[str, Any]) -> str:
  """A one-line summary of a comparison."""

  def text(name: str) -> str:
    figure = entry[name]
    bounds = '' if figure['low'] is None else f' [{figure["low"]:+.3f}, {figure["high"]:+.3f}]'
    change = f'{figure["first"]:.3f} to {figure["second"]:.3f}: {figure["difference"]:+.3f}{bounds}'
    return f'{name} {change}, p {figure["p_value"]:.3f}'

  texts = '; '.join(text(name) for name in paired.names() if name in entry)
  return f'{split}: {texts} ({entry["num_groups"]:,} groups)'
