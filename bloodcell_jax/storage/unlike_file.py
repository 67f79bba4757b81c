"""`unlike.npz` of a run's folder: what its images look like, and which networks say so of their content."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.stats import content, feature_shift, look_reference
from bloodcell_jax.storage import calibration_file, workdir
from bloodcell_jax.system import atomic

_CONTENT, _FEATURES = 'content_', 'features_'
_DAMAGE = (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, OSError)


@dataclasses.dataclass(frozen=True)
class Measure:
  """What says how unlike the training an image is."""

  version: int  # of the numbers that describe an image
  references: tuple[look_reference.Reference, ...]  # one, or one of each laboratory
  # Of the features of the network, the first where several answer together; None where they are not looked at.
  classes: content.Classes | None
  # Where those features lie; None where foreign ones are not aligned with them.
  features: feature_shift.Moments | None
  fitted_for: calibration_file.FittedFor


def write(folder: workdir.Workdir, measure: Measure) -> None:
  """Writes the measure as plain arrays."""
  arrays: dict[str, Any] = {
    'version': np.int64(measure.version),
    'fitted_for': np.array(json.dumps(dataclasses.asdict(measure.fitted_for))),
  }
  for number, reference in enumerate(measure.references):
    arrays |= {_start(number) + key: np.asarray(value) for key, value in vars(reference).items()}
  if measure.classes is not None:
    arrays |= {_CONTENT + key: np.asarray(value) for key, value in vars(measure.classes).items()}
  if measure.features is not None:
    arrays |= {_FEATURES + key: np.asarray(value) for key, value in vars(measure.features).items()}
  buffer = io.BytesIO()
  np.savez_compressed(buffer, **arrays)
  atomic.write_bytes(folder.unlike, buffer.getvalue())


def read(folder: workdir.Workdir) -> Measure | None:
  """The measure; None where the folder has none. Runs no code from the file.

  Raises:
    UserError: the file is damaged.
  """
  if not folder.unlike.exists():
    return None
  try:
    with np.load(io.BytesIO(atomic.read_bytes(folder.unlike)), allow_pickle=False) as archive:
      arrays = {name: archive[name] for name in archive.files}
    known = json.loads(str(arrays['fitted_for']))
    inside, moments = (
      {key.removeprefix(start): value for key, value in arrays.items() if key.startswith(start)}
      for start in (_CONTENT, _FEATURES)
    )
    starts = list(
      itertools.takewhile(lambda start: f'{start}centre_D' in arrays, map(_start, itertools.count()))
    )
    return Measure(
      int(arrays['version']),
      tuple(_reference(arrays, start) for start in starts or ['']),
      content.Classes(**{**inside, 'rest': float(inside['rest'])}) if inside else None,
      feature_shift.Moments(**moments) if moments else None,
      calibration_file.FittedFor(**{**known, 'members': tuple(known['members'])}),
    )
  except _DAMAGE as error:
    raise types.UserError(
      f'{folder.unlike}: damaged ({atomic.damage(error)}); evaluate the run on its own splits, which writes it anew, '
      f'or {atomic.restoring(folder.unlike)}'
    ) from None


def _start(number: int) -> str:
  """Of the names of a reference's arrays; the first has none, as where a measure had one."""
  return f'reference_{number}_' if number else ''


def _reference(arrays: Mapping[str, Any], start: str) -> look_reference.Reference:
  values = {field.name: arrays[start + field.name] for field in dataclasses.fields(look_reference.Reference)}
  for name in ('aspects', 'folder_aspects'):
    values[name] = tuple(values[name].tolist())
  return look_reference.Reference(**{**values, 'folder_limit': float(values['folder_limit'])})
