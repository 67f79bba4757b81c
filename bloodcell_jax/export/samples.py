"""Some images of a run's own data, without decoding the rest."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data.division import folds
from bloodcell_jax.data.images import decode
from bloodcell_jax.runs import run_data
from bloodcell_jax.storage import workdir


@dataclasses.dataclass(frozen=True)
class Samples:
  """Images with their rows, all of one split."""

  split: str
  table: types.Table
  image_NHWC: np.ndarray  # uint8


def read(folder: workdir.Workdir, exp: experiment.Experiment, most: int) -> Samples:
  """At most `most` images, spread evenly over the test split; over validation where the data has no test.

  Raises:
    UserError: the data is not there, or is other than the run's.
  """
  whole = run_data.undecoded(folder, exp)
  split = next(name for name in ('test', folds.HELD_OUT, 'validation') if len(whole.rows.get(name, ())))
  chosen = whole.rows[split]
  chosen = chosen[np.unique(np.linspace(0, len(chosen) - 1, min(most, len(chosen))).round().astype(np.int64))]
  taken = whole.table.take(chosen)
  spec = dataclasses.replace(exp.data.decode, cache='memory')
  decoded = decode.table(taken, spec, pathlib.Path(folder.cache), lambda done, total: None)
  for problem in decoded.problems:
    raise types.UserError(f'{problem}; the run has seen this image: restore it')
  return Samples(split, taken, decoded.image_NHWC)
