"""Two runs on the same images, split by split: `comparison_<other>.json` of the first one's folder."""

from __future__ import annotations

from typing import Any

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.stats import paired
from bloodcell_jax.storage import predictions_csv, workdir
from bloodcell_jax.system import atomic


def write(folder: workdir.Workdir, other: workdir.Workdir, exp: experiment.Experiment) -> dict[str, Any]:
  """By split that both runs have predicted: how much better the other run is, with interval and test by group.

  Args:
    folder: of the first run; the file goes there.
    other: of the second run, whose difference to the first is told.
    exp: how intervals are made, and the seed of their resamples.

  Raises:
    UserError: the runs have no split in common, or other images or classes in one.
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
  """One line for people."""

  def text(name: str) -> str:
    figure = entry[name]
    bounds = '' if figure['low'] is None else f' [{figure["low"]:+.3f}, {figure["high"]:+.3f}]'
    change = f'{figure["first"]:.3f} to {figure["second"]:.3f}: {figure["difference"]:+.3f}{bounds}'
    return f'{name} {change}, p {figure["p_value"]:.3f}'

  texts = '; '.join(text(name) for name in paired.names() if name in entry)
  return f'{split}: {texts} ({entry["num_groups"]:,} groups)'
