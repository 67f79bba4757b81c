"""A sample of the images that a run was trained, validated and tested on, without decoding any; or their features."""

from __future__ import annotations

import dataclasses

import numpy as np

from bloodcell_jax.base import groups, rng, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data.sources import laboratories
from bloodcell_jax.runs import compact_run, data_place, run_data, seen_images
from bloodcell_jax.storage import home_features, workdir
from bloodcell_jax.train import progress as progress_lib

# By split, the most images of each class and laboratory. The first ones are trained on again; the others say what
# becomes of the old laboratory's images.
MOST = {'train': 150, 'validation': 40, 'test': 60}


@dataclasses.dataclass(frozen=True)
class HomeImages:
  """The images of a run."""

  digests: frozenset[str]  # of all of them, as `Table.digest` has them
  synthetic: bool
  sample: dict[str, types.Table]  # by split: train, validation, and test where the run has one
  # In place of the sample, for a run that came without its images.
  features: home_features.HomeFeatures | None


def read(folder: workdir.Workdir, exp: experiment.Experiment, data_dir: str, network: str) -> HomeImages:
  """The images of the run in the folder.

  Args:
    folder: the run's.
    exp: its experiment.
    data_dir: the folder that its images are in now; '' where its config says.
    network: the fingerprint of its network.

  Raises:
    UserError: they are gone, or are not those that the run was trained on.
  """
  if compact_run.is_here(folder) and not data_dir:
    if not home_features.is_here(folder):
      raise types.UserError(
        f'{folder.path}: came without the images that it was trained on and without {home_features.FILE}, and an '
        'adaptation needs one of them; adapt another run, or name the folder of the images with --home_dir'
      )
    synthetic = folder.read_environment()['data']['synthetic']
    return HomeImages(seen_images.digests(folder), synthetic, {}, home_features.read(folder, network))
  try:
    exp = data_place.find(folder, exp, data_dir, progress_lib.Progress().line)
    data = run_data.undecoded(folder, exp)
  except types.UserError as error:
    raise types.UserError(str(error).replace('--data_dir', '--home_dir')) from None
  rows = dict(data.rows)
  # Images of fields that are in training too say nothing.
  rows['test'] = rows.get('test_clean', rows.get('test', np.zeros(0, np.int64)))
  laboratory_N = laboratories.numbers(data.table.group, exp.data.source)
  sample = {
    split: data.table.take(_sample(data.table, laboratory_N, rows[split], most, exp.seed))
    for split, most in MOST.items()
  }
  return HomeImages(
    frozenset(data.table.digest.tolist()),
    data.table.synthetic,
    {split: table for split, table in sample.items() if len(table)},
    None,
  )


def _sample(
  table: types.Table, laboratory_N: np.ndarray, rows: np.ndarray, most: int, seed: int
) -> np.ndarray:
  """At most so many rows of each class and laboratory, ascending; one of each group before a second of any."""
  rows = rng.generator(seed, 'home images').permutation(rows)
  taken = []
  for k, laboratory in np.ndindex(len(table.class_names), int(laboratory_N.max(initial=0)) + 1):
    own = rows[(table.label[rows] == k) & (laboratory_N[rows] == laboratory)]
    taken.append(own[np.argsort(groups.ranks(table.group[own]), kind='stable')[:most]])
  return np.sort(np.concatenate(taken)).astype(np.int64)
