"""The measure of unlike images of a run: fitted on its training and validation images, applied to others."""

from __future__ import annotations

from typing import Any

import numpy as np

from bloodcell_jax.base import rng, types
from bloodcell_jax.data import dataset
from bloodcell_jax.data.images import appearance
from bloodcell_jax.runs import model_set, output_layer
from bloodcell_jax.stats import content, unlike
from bloodcell_jax.storage import calibration_file, unlike_file, workdir

# Most images that are looked at, one of each group before a second of any: 6 ms each.
MOST_IMAGES = 400
# Most of them that go through the network: half from training, for where the classes lie, half from validation.
MOST_EMBEDDED = 300
# Least spread of the content's number, a logarithm.
_LEAST_CONTENT = 0.1


def write(
  folder: workdir.Workdir,
  data: dataset.Dataset,
  fitted_for: calibration_file.FittedFor,
  network: model_set.Network | None,
  seed: int,
) -> bool:
  """Fits the measure of a run and writes `unlike.npz`; False where there are too few groups, and no file then.

  Args:
    folder: the run's.
    data: its images, divided.
    fitted_for: which networks.
    network: the one network of the run; None where several answer together, whose features are not looked at.
    seed: of the run.
  """
  folder.unlike.unlink(missing_ok=True)
  rows = _sample(data, ('train', 'validation'), MOST_IMAGES, seed)
  if len(np.unique(data.table.group[rows])) < unlike.LEAST_GROUPS:
    return False
  classes = None
  content_N = np.full(len(rows), np.nan)
  if network is not None:
    classes, content_N = _content(network, data, rows)
  look_ND = np.concatenate([_describe(data.image_NHWC, rows), content_N[:, None]], 1)
  num = look_ND.shape[1] if classes is not None else len(appearance.ASPECTS)
  reference = unlike.fit(
    look_ND[:, :num],
    data.table.label[rows],
    data.table.group[rows],
    (*appearance.ASPECTS, unlike.CONTENT)[:num],
    np.array((*appearance.LEAST_SPREAD, _LEAST_CONTENT))[:num],
    seed,
  )
  unlike_file.write(folder, unlike_file.Measure(appearance.VERSION, reference, classes, fitted_for))
  return True


def read(folder: workdir.Workdir, models: model_set.ModelSet) -> unlike_file.Measure | None:
  """The measure of a run, checked against its networks; None where the folder has none of this version.

  Raises:
    UserError: it was fitted for other weights or members.
  """
  measure = unlike_file.read(folder)
  if measure is None or measure.version != appearance.VERSION:
    return None
  known, own = measure.fitted_for, models.fitted_for()
  same = (known.members, known.combine) == (own.members, own.combine)
  if not same or (known.fingerprint and known.fingerprint != own.fingerprint):
    raise types.UserError(
      f'{folder.unlike}: was fitted for other networks; run `evaluate --workdir={folder.path}`, which fits it anew'
    )
  return measure


def missing(folder: workdir.Workdir) -> str:
  """What to say where a run has no measure."""
  return (
    f'{folder.path}: has no measure of unlike images, so that images of another laboratory are named like its own; '
    f'`evaluate --workdir={folder.path}` fits it, if training and validation have {unlike.LEAST_GROUPS} groups'
  )


def looks(
  measure: unlike_file.Measure, image_BHWC: np.ndarray, embedding_BD: np.ndarray | None
) -> np.ndarray:
  """[B, L] the numbers that `unlike.judge` takes.

  Args:
    measure: of the run.
    image_BHWC: uint8, cropped and resized for the network.
    embedding_BD: the network's; used where the measure has classes.
  """
  look_BD = appearance.describe(image_BHWC)
  if measure.classes is None:
    return look_BD
  assert embedding_BD is not None
  return np.concatenate([look_BD, content.distances(measure.classes, embedding_BD)[:, None]], 1)


def of_rows(
  measure: unlike_file.Measure, network: model_set.Network, data: dataset.Dataset, rows: np.ndarray
) -> np.ndarray:
  """[N, L] the looks of rows of a data set whose job the network has."""
  look_ND = _describe(data.image_NHWC, rows)
  if measure.classes is None:
    return look_ND
  embedding_ND = _embed(network, rows)
  return np.concatenate([look_ND, content.distances(measure.classes, embedding_ND)[:, None]], 1)


def _content(
  network: model_set.Network,
  data: dataset.Dataset,
  rows: np.ndarray,
) -> tuple[content.Classes | None, np.ndarray]:
  """Where the classes lie, of training images, and the distances of validation images among the rows; NaN of others."""
  content_N = np.full(len(rows), np.nan)
  inside = np.flatnonzero(np.isin(rows, data.rows['validation']))[: MOST_EMBEDDED // 2]
  learned = rows[np.isin(rows, data.rows['train'])][: MOST_EMBEDDED // 2]
  if len(np.unique(data.table.group[rows[inside]])) < unlike.LEAST_GROUPS or not len(learned):
    return None, content_N
  classes = content.fit(_embed(network, learned), data.table.label[learned])
  content_N[inside] = content.distances(classes, _embed(network, rows[inside]))
  return classes, content_N


def _embed(network: model_set.Network, rows: np.ndarray) -> np.ndarray:
  job = network.job
  return output_layer.embed(job, job.model, network.params, job.in_order(rows))


def _sample(data: dataset.Dataset, splits: tuple[str, ...], most: int, seed: int) -> np.ndarray:
  """At most so many different rows of the splits, in random order, one of each group before a second of any."""
  rows = np.unique(np.concatenate([data.rows.get(split, np.zeros(0, np.int64)) for split in splits]))
  rows = rng.generator(seed, 'looks').permutation(rows)
  _, index_N = np.unique(data.table.group[rows], return_inverse=True)
  order = np.argsort(index_N, kind='stable')
  first: Any = np.concatenate([[0], np.flatnonzero(np.diff(index_N[order])) + 1]) if len(rows) else []
  place_N = np.empty(len(rows), np.int64)
  place_N[order] = np.arange(len(rows)) - np.repeat(first, np.bincount(index_N))
  return rows[np.argsort(place_N, kind='stable')[:most]]


def _describe(image_NHWC: np.ndarray, rows: np.ndarray) -> np.ndarray:
  return appearance.describe(image_NHWC[row] for row in rows)
