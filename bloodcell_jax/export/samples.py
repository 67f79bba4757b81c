"""A few images of a run's own data, without decoding the others; or drawn ones, where it came without its images."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np

from bloodcell_jax.base import evenly_spaced, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data.division import folds
from bloodcell_jax.data.images import decode
from bloodcell_jax.data.sources import embedded, embedded_source
from bloodcell_jax.runs import run_data
from bloodcell_jax.storage import workdir

_SMEARS = embedded.Spec(num_train=8, num_test=0, num_copies=1, height=240, width=320, seed=0)


@dataclasses.dataclass(frozen=True)
class Samples:
  """Images of one split, with their rows of the table."""

  split: str
  table: types.Table
  image_NHWC: np.ndarray  # uint8


def read(folder: workdir.Workdir, exp: experiment.Experiment, max_images: int) -> Samples:
  """At most `max_images` images, evenly spaced over the test split, or the next best split the data has.

  Raises:
    UserError: the data is missing or differs from the run's.
  """
  data = run_data.undecoded(folder, exp)
  split = next(name for name in ('test', folds.HELD_OUT, 'validation') if len(data.rows.get(name, ())))
  chosen = data.rows[split]
  chosen = chosen[evenly_spaced.rows(len(chosen), max_images)]
  return _decoded(folder, exp, split, data.table.take(chosen), 'the run was made with this image: restore it')


def draw(folder: workdir.Workdir, exp: experiment.Experiment) -> Samples:
  """Drawn smears, for a run that came without its images."""
  table = embedded_source.table(_SMEARS)
  return _decoded(
    folder, exp, 'drawn smears, as the run came without its images', table, 'it was drawn just now'
  )


def _decoded(
  folder: workdir.Workdir, exp: experiment.Experiment, split: str, table: types.Table, remedy: str
) -> Samples:
  spec = dataclasses.replace(exp.data.decode, cache='memory')
  decoded = decode.table(table, spec, pathlib.Path(folder.cache), lambda done, total: None)
  for problem in decoded.problems:
    raise types.UserError(f'{problem}; {remedy}')
  return Samples(split, table, np.asarray(decoded.image_NHWC))
