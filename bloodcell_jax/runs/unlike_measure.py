"""The measure of unlike images of a run: fitted on its training and validation images, applied to others."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from bloodcell_jax.base import groups, rng, shell, tree, types
from bloodcell_jax.data import dataset
from bloodcell_jax.data.images import appearance, on_demand
from bloodcell_jax.data.sources import laboratories
from bloodcell_jax.optim import staged
from bloodcell_jax.runs import model_set
from bloodcell_jax.stats import content, feature_shift, look_reference, unlike
from bloodcell_jax.storage import calibration_file, unlike_file, workdir
from bloodcell_jax.weights import published

# Largest number of training images of a laboratory that are looked at, and of its validation images as well, one of
# each group before a second of any: 6 ms each. Those of validation go through the network too.
MOST_IMAGES = 400
# The splits that a measure is fitted on.
FITTED_ON = ('train', 'validation')
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
    network: the network of the run, the first where several answer together; None where no features are looked at.
    seed: of the run.
  """
  folder.unlike.unlink(missing_ok=True)
  laboratory_M = _laboratories(data.table, network)
  learned, unseen = (_sample(data, split, laboratory_M, seed) for split in FITTED_ON)
  rows = np.concatenate([learned, unseen])
  table = data.table.take(rows)
  if len(np.unique(table.group)) < look_reference.LEAST_GROUPS:
    return False
  classes, content_N = None, np.full(len(rows), np.nan)
  if network is not None and _tells_content(data.table.take(unseen), data.table.label[learned]):
    embedding_ND, label_N = network.outputs.embedding(unseen), data.table.label[unseen]
    classes = content.fit(embedding_ND, label_N)
    fold_N = look_reference.folds(data.table.group[unseen])
    content_N[len(learned) :] = content.held_out_distances(embedding_ND, label_N, fold_N)
  features = None
  if network is not None and network.job.experiment.align_features:
    # If training left the features as they were, training images can be used as well: the more, the better.
    apart = rows if _has_frozen_features(network) or not len(unseen) else unseen
    features = feature_shift.fit(network.outputs.embedding(apart), data.table.label[apart])
  look_ND = np.concatenate([_describe(data.image_NHWC, rows, appearance.VERSION), content_N[:, None]], 1)
  num = look_ND.shape[1] if classes is not None else len(appearance.ASPECTS)
  references = _references(look_ND[:, :num], table, laboratory_M[rows], seed)
  unlike_file.write(
    folder, unlike_file.Measure(appearance.VERSION, references, classes, features, fitted_for)
  )
  return True


def _references(
  look_ND: np.ndarray, table: types.Table, laboratory_N: np.ndarray, seed: int
) -> tuple[look_reference.Reference, ...]:
  """One of each laboratory, or one of all where a laboratory has too few groups, or too few whose content is known."""
  inside_RN = [laboratory_N == number for number in np.unique(laboratory_N)]
  known_N = np.isfinite(look_ND).all(1)
  if any(len(np.unique(table.group[inside & known_N])) < look_reference.LEAST_GROUPS for inside in inside_RN):
    inside_RN = [np.ones(len(table), bool)]
  # What a folder may hold alone: one class, of one laboratory.
  kind_N = laboratory_N * len(table.class_names) + table.label
  num = look_ND.shape[1]
  return tuple(
    look_reference.fit(
      look_ND[inside],
      kind_N[inside],
      table.group[inside],
      (*appearance.ASPECTS, look_reference.CONTENT)[:num],
      np.array((*appearance.LEAST_SPREAD, _LEAST_CONTENT))[:num],
      seed,
    )
    for inside in inside_RN
  )


def _laboratories(table: types.Table, network: model_set.Network | None) -> np.ndarray:
  """[N] the number of each row's laboratory; 0 where the network, if there is one, was not trained by several."""
  if network is None:
    return np.zeros(len(table), np.int32)
  return laboratories.numbers(table.group, network.job.experiment.data.source)


def read(folder: workdir.Workdir, models: model_set.ModelSet) -> unlike_file.Measure | None:
  """The measure of a run, checked against its networks; None where the folder has none of this version.

  Raises:
    UserError: it was fitted for other weights or members.
  """
  measure = unlike_file.read(folder)
  if measure is None or measure.version not in appearance.NUM_NUMBERS:
    return None
  if differing := models.differing(measure.fitted_for):
    raise types.UserError(
      f'{folder.unlike}: was fitted for {differing[0]}; run `evaluate --workdir={shell.word(folder.path)}`, '
      'which fits it anew'
    )
  return measure


def missing(folder: workdir.Workdir) -> str:
  """What to say where a run has no measure."""
  return (
    f'{folder.path}: has no measure of unlike images, so images of another laboratory are named like its own; '
    f'`evaluate --workdir={shell.word(folder.path)}` fits it, if training and validation have '
    f'{look_reference.LEAST_GROUPS} groups'
  )


def looks(
  measure: unlike_file.Measure, image_BHWC: np.ndarray, embedding_BD: np.ndarray | None
) -> np.ndarray:
  """[B, L] the numbers that `unlike.judge` takes.

  Args:
    measure: of the run.
    image_BHWC: uint8, cropped and resized for the network.
    embedding_BD: of the network that the measure was fitted with; used where the measure has classes.
  """
  look_BD = appearance.describe(image_BHWC, measure.version)
  if measure.classes is None:
    return look_BD
  assert embedding_BD is not None
  return np.concatenate([look_BD, content.distances(measure.classes, embedding_BD)[:, None]], 1)


def of_rows(
  measure: unlike_file.Measure, network: model_set.Network | None, data: dataset.Dataset, rows: np.ndarray
) -> np.ndarray:
  """[N, L] the looks of rows of a data set; `network` as for `write`, its job has the data."""
  look_ND = _describe(data.image_NHWC, rows, measure.version)
  if measure.classes is None:
    return look_ND
  assert network is not None
  embedding_ND = network.outputs.embedding(rows)
  return np.concatenate([look_ND, content.distances(measure.classes, embedding_ND)[:, None]], 1)


def judge_splits(
  folder: workdir.Workdir,
  network: model_set.Network | None,
  data: dataset.Dataset,
  splits: Iterable[str],
  spec: unlike.Spec,
) -> dict[str, unlike.Judgement]:
  """How unlike the training images those of a run's own splits are, each split judged as a folder.

  Empty where the run has no measure; without the splits that it was fitted on.

  Args:
    folder: the run's, with the measure that `write` wrote.
    network: as for `write`; its job has the data.
    data: the images.
    splits: which.
    spec: how many are withheld.
  """
  rows_of = {
    split: data.rows[split] for split in splits if split not in FITTED_ON and len(data.rows.get(split, ()))
  }
  measure = unlike_file.read(folder)
  if measure is None or not rows_of:
    return {}
  # An image of several splits is looked at once.
  rows = np.unique(np.concatenate(list(rows_of.values())))
  look_NL = of_rows(measure, network, data, rows)
  return {
    split: unlike.judge(
      measure.references, look_NL[np.searchsorted(rows, inside)], [split] * len(inside), spec, False
    )
    for split, inside in rows_of.items()
  }


def _tells_content(unseen: types.Table, learned_N: np.ndarray) -> bool:
  """Whether images that were not trained on are enough to say where the classes lie: some groups, two of each class."""
  num_K = [len(np.unique(unseen.group[unseen.label == k])) for k in np.unique(learned_N)]
  return len(np.unique(unseen.group)) >= look_reference.LEAST_GROUPS and min(num_K, default=0) >= 2


def _has_frozen_features(network: model_set.Network) -> bool:
  """Whether only the output layer was trained, so that the embedding is that of the published weights."""
  exp = network.job.experiment
  if exp.model.backbone is None or published.find(exp.weights.path, exp.model.name) is None:
    return False
  trained = {
    name
    for stage in exp.stages
    for name, chosen in tree.names(staged.trainable(stage.weights, network.params)).items()
    if chosen
  }
  return all(name.startswith(f'{exp.model.network.output_layer}/') for name in trained)


def _sample(data: dataset.Dataset, split: str, laboratory_M: np.ndarray, seed: int) -> np.ndarray:
  """Of each laboratory at most MOST_IMAGES rows of the split in random order, one of each group before a second."""
  rows = np.unique(data.rows.get(split, np.zeros(0, np.int64)))
  rows = rng.generator(seed, 'looks').permutation(rows)
  rank_N = groups.ranks(groups.numbers(data.table.group)[rows])
  ordered = rows[np.argsort(rank_N, kind='stable')]
  of_each = [
    ordered[laboratory_M[ordered] == number][:MOST_IMAGES] for number in np.unique(laboratory_M[ordered])
  ]
  return np.concatenate([np.zeros(0, np.int64), *of_each])


def _describe(image_NHWC: on_demand.Images, rows: np.ndarray, version: int) -> np.ndarray:
  return appearance.describe((image_NHWC[row] for row in rows), version)
