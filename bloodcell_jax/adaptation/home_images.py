"""A sample of the images that a run was trained, validated and tested on, without decoding any."""

from __future__ import annotations

import dataclasses

import numpy as np

from bloodcell_jax.base import rng, types
from bloodcell_jax.config import experiment
from bloodcell_jax.runs import compact_run, data_place, run_data
from bloodcell_jax.storage import workdir

# By split, the most images of each class. The first ones are trained on again; the others say what becomes of the old
# laboratory's images.
MOST = {'train': 150, 'validation': 40, 'test': 60}


@dataclasses.dataclass(frozen=True)
class HomeImages:
  """The images of a run."""

  whole: types.Table
  sample: dict[str, types.Table]  # by split: train, validation, and test where the run has one


def read(folder: workdir.Workdir, exp: experiment.Experiment, data_dir: str) -> HomeImages:
  """The images of the run in the folder.

  Args:
    folder: the run's.
    exp: its experiment.
    data_dir: the folder that its images are in now; '' where its config says.

  Raises:
    UserError: they are gone, or are not those that the run was trained on.
  """
  if compact_run.is_here(folder) and not data_dir:
    raise types.UserError(
      f'{folder.path}: came without the images that it was trained on, and an adaptation needs some of them; adapt a '
      'run of your own, or name their folder with --home_dir'
    )
  try:
    data = run_data.undecoded(folder, data_place.find(folder, exp, data_dir))
  except types.UserError as error:
    raise types.UserError(str(error).replace('--data_dir', '--home_dir')) from None
  rows = dict(data.rows)
  # Images of fields that are in training too say nothing.
  rows['test'] = rows.get('test_clean', rows.get('test', np.zeros(0, np.int64)))
  sample = {
    split: data.table.take(_sample(data.table, rows[split], most, exp.seed)) for split, most in MOST.items()
  }
  return HomeImages(data.table, {split: table for split, table in sample.items() if len(table)})


def _sample(table: types.Table, rows: np.ndarray, most: int, seed: int) -> np.ndarray:
  """At most so many rows of each class, ascending; one of each group before a second of any."""
  rows = rng.generator(seed, 'home images').permutation(rows)
  taken = []
  for k in range(len(table.class_names)):
    own = rows[table.label[rows] == k]
    seen: dict[str, int] = {}
    place = []
    for group in table.group[own].tolist():
      seen[group] = seen.get(group, -1) + 1
      place.append(seen[group])
    taken.append(own[np.argsort(place, kind='stable')[:most]])
  return np.sort(np.concatenate(taken)).astype(np.int64)
