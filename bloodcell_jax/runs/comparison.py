"""Compares two runs on the same images, split by split: `comparison_<other>.json` in the folder of the first."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib
from typing import Any

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.stats import paired
from bloodcell_jax.storage import predictions_csv, workdir
from bloodcell_jax.system import atomic


@dataclasses.dataclass(frozen=True)
class Comparison:
  """Two runs on the images of both."""

  entries: dict[str, dict[str, Any]]  # by split, as from `paired.compare`
  others: dict[str, str]  # split -> why it cannot be compared


def compare(folder: workdir.Workdir, other: workdir.Workdir, exp: experiment.Experiment) -> Comparison:
  """The paired comparison of the runs on each split whose images both have predicted, with intervals and tests over
  groups.

  Args:
    folder: the first run.
    other: the second run; differences are the second minus the first.
    exp: the settings of the intervals and the seed of the resamples.

  Raises:
    UserError: the runs have no split in common, or differ in the images or classes of every one.
  """
  first, second = (_splits(each) for each in (folder, other))
  both = [split for split in first if split in second]
  if not both:
    raise types.UserError(
      f'{other.path}: has no predictions for a split of {folder.path}; evaluate both runs first'
    )
  entries: dict[str, dict[str, Any]] = {}
  others: dict[str, str] = {}
  for split in both:
    one, two = (predictions_csv.read(each.predictions(split)) for each in (folder, other))
    try:
      entries[split] = paired.compare(one, two, paired.headlines(), exp.intervals, exp.seed)
    except types.UserError as error:
      others[split] = str(error)
  if not entries:
    raise types.UserError(next(iter(others.values())))
  for split in sorted({*first, *second} - {*both}):
    others[split] = f'only {(folder if split in first else other).path} has predictions for it'
  return Comparison(entries, others)


def save(folder: workdir.Workdir, other: workdir.Workdir, compared: Comparison) -> pathlib.Path:
  """Writes `comparison_<other>.json` to the folder of the first run, never over that of another run of the same name.

  Returns:
    the path of the file; `about` in it names both runs and the splits that are not compared.
  """
  runs = {'first': str(folder.path.resolve()), 'second': str(other.path.resolve())}
  name = f'comparison_{other.path.resolve().name}'
  for number in itertools.count(1):
    path = folder.path / (f'{name}.json' if number == 1 else f'{name}-{number}.json')
    if not path.exists() or _second(path) == runs['second']:
      break
  atomic.write_json(path, {**compared.entries, 'about': {**runs, 'not_compared': compared.others}})
  return path


def write(folder: workdir.Workdir, other: workdir.Workdir, exp: experiment.Experiment) -> dict[str, Any]:
  """As `compare`, then `save`; returns the entries."""
  compared = compare(folder, other, exp)
  save(folder, other, compared)
  return compared.entries


def _splits(folder: workdir.Workdir) -> list[str]:
  return [path.stem for path in sorted((folder.path / 'predictions').glob('*.csv'))]


def _second(path: pathlib.Path) -> str:
  """The second run that a comparison names; '' where it names none."""
  try:
    return json.loads(path.read_text('utf-8'))['about']['second']
  except (OSError, ValueError, KeyError, TypeError):
    return ''


def line(split: str, entry: dict[str, Any]) -> str:
  """A one-line summary of a comparison."""

  def text(name: str) -> str:
    figure = entry[name]
    bounds = '' if figure['low'] is None else f' [{figure["low"]:+z.3f}, {figure["high"]:+z.3f}]'
    change = f'{figure["first"]:.3f} to {figure["second"]:.3f}: {figure["difference"]:+z.3f}{bounds}'
    return f'{name} {change}, p {figure["p_value"]:.3f}'

  texts = '; '.join(text(name) for name in paired.headlines() if name in entry)
  return f'{split}: {texts} ({entry["num_groups"]:,} groups)'
