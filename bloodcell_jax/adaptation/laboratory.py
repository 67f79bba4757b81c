"""What a laboratory's folder holds beside the labelled images: what it looks like, and which images to label next."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Collection
from typing import Any

import numpy as np

from bloodcell_jax.adaptation import features, proposal
from bloodcell_jax.base import evenly_spaced, types, wording
from bloodcell_jax.data import dataset
from bloodcell_jax.data.images import decode, image_files
from bloodcell_jax.data.sources import input_paths
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.runs import model_set, seen_images, unlike_measure
from bloodcell_jax.storage import label_next_csv, workdir
from bloodcell_jax.train import progress as progress_lib

# Most images of the folder that are looked at, evenly spaced over it.
MOST = 400


def look(
  folder: workdir.Workdir,
  models: model_set.ModelSet,
  data_dir: str,
  data: dataset.Dataset,
  rows: np.ndarray,
  labelled_MD: np.ndarray,
  num_proposed: int,
  progress: progress_lib.Progress,
) -> None:
  """Writes, for an adapted run, the measure of unlike images and `label_next.csv`.

  The measure is fitted on what the laboratory's images look like, labelled or not. Where there is no label, the class
  is taken to be the likeliest one: it matters only for how folders of one class may look.

  Args:
    folder: of the adapted run.
    models: its network.
    data_dir: the laboratory's folder.
    data: the images of the run.
    rows: the laboratory's labelled images in them.
    labelled_MD: the embeddings of those.
    num_proposed: how many images are proposed.
    progress: where progress is printed.
  """
  network, labelled = models.networks[0], data.table.take(rows)
  job = network.job
  others = read(
    data_dir,
    set(labelled.digest.tolist()),
    labelled.class_names,
    job.experiment.data.decode,
    folder.cache,
    progress,
  )
  embedding_ND = features.embed(
    network, others.table, others.image_NHWC, job.experiment.tta, folder.cache, progress
  )
  probs_NK = network.output_layer.probabilities(embedding_ND)
  _write(folder, others.table, embedding_ND, probs_NK, labelled_MD, num_proposed, progress)
  both = _together(labelled, data.image_NHWC[rows], others, probs_NK.argmax(1).astype(np.int32))
  seeing = job_lib.Job(job.experiment, both, job.transform.standardize, job.statistics, job.stop)
  known = dataclasses.replace(network, job=seeing)
  if not unlike_measure.write(folder, both, models.fitted_for(), known, job.experiment.seed):
    progress.line(
      f'{data_dir}: has too few images to tell what its images usually look like, so none is withheld as unlike'
    )


def propose(
  folder: workdir.Workdir,
  network: model_set.Network,
  data_dir: str,
  num_proposed: int,
  progress: progress_lib.Progress,
) -> None:
  """Writes `label_next.csv` of a run for a folder of which no image is labelled.

  Labels of images that the run has seen are refused later, so that none of them is proposed.

  Raises:
    UserError: as `read`, or no image is left.
  """
  spec, class_names = network.job.experiment.data.decode, network.job.data.table.class_names
  found = read(data_dir, seen_images.digests(folder), class_names, spec, folder.cache, progress)
  if not len(found.table):
    raise types.UserError(
      f'{data_dir}: every image that was looked at is one of the run itself or cannot be opened; name the folder of '
      'another laboratory with --data_dir'
    )
  embedding_ND = features.embed(
    network, found.table, found.image_NHWC, features.tta(network.job.experiment), folder.cache, progress
  )
  probs_NK = network.output_layer.probabilities(embedding_ND)
  none = np.zeros((0, embedding_ND.shape[1]))
  _write(folder, found.table, embedding_ND, probs_NK, none, num_proposed, progress)


def read(
  data_dir: str,
  left_out: Collection[str],
  class_names: tuple[str, ...],
  spec: decode.Spec,
  cache: pathlib.Path,
  progress: progress_lib.Progress,
) -> dataset.Dataset:
  """At most MOST images of the folder, each of unknown label (0) and a group of its own.

  Files that do not decode, and those with the bytes of another one, are left out.

  Args:
    data_dir: the folder.
    left_out: digests of images that are not wanted, such as those with labels.
    class_names: of the run.
    spec: how they are decoded.
    cache: for decoded images that do not fit into memory.
    progress: where progress is printed.

  Raises:
    UserError: there is no such folder, or no image in it.
  """
  if os.path.isfile(data_dir) and (advice := image_files.unpacking(data_dir)):
    raise types.UserError(f'{data_dir}: {advice}')
  if not os.path.isdir(data_dir):
    raise types.UserError(f'{data_dir}: no such folder; name the folder of the new images with --data_dir')
  inputs = sorted(input_paths.read([data_dir]).inputs, key=lambda one: image_files.natural_key(one.shown))
  chosen = evenly_spaced.rows(len(inputs), MOST)
  progress.line(f'looking at {len(chosen):,} of {len(inputs):,} images of {data_dir}')
  some = [inputs[i] for i in chosen]
  seen, rows = set(left_out), []
  for one, digest in zip(some, image_files.digests([one.path for one in some]), strict=True):
    if isinstance(digest, str) and digest not in seen:
      seen.add(digest)
      rows.append((one.path, one.shown, digest))
  file_N, digest_N = (np.array([row[i] for row in rows], np.str_) for i in (1, 2))
  table = types.Table(
    content=tuple(path for path, _, _ in rows),
    file=file_N,
    label=np.zeros(len(rows), np.int32),
    source=file_N,
    group=file_N,
    split=np.full(len(rows), 'TRAIN'),
    digest=digest_N,
    class_names=class_names,
    name=os.path.basename(os.path.abspath(data_dir)),
    synthetic=False,
  )
  decoded = decode.table(table, dataclasses.replace(spec, cache='memory'), cache, lambda done, total: None)
  kept = np.flatnonzero(decoded.kept)
  return dataset.Dataset(table.take(kept), decoded.image_NHWC[kept], {}, [], [], ())


def _together(
  labelled: types.Table, image_MHWC: np.ndarray, others: dataset.Dataset, likeliest_N: np.ndarray
) -> dataset.Dataset:
  """The labelled images and every second other one as train, the rest as validation."""
  columns: dict[str, Any] = {
    name: np.concatenate([getattr(labelled, name), getattr(others.table, name)])
    for name in ('file', 'source', 'group', 'split', 'digest')
  }
  table = dataclasses.replace(
    labelled,
    content=(*labelled.content, *others.table.content),
    label=np.concatenate([labelled.label, likeliest_N]),
    **columns,
  )
  numbers = np.arange(len(table))
  is_held_N = (numbers >= len(labelled)) & ((numbers - len(labelled)) % 2 == 1)
  rows = {'train': numbers[~is_held_N], 'validation': numbers[is_held_N]}
  return dataset.Dataset(table, np.concatenate([image_MHWC, others.image_NHWC]), rows, [], [], ())


def _write(
  folder: workdir.Workdir,
  table: types.Table,
  embedding_ND: np.ndarray,
  probs_NK: np.ndarray,
  labelled_MD: np.ndarray,
  most: int,
  progress: progress_lib.Progress,
) -> None:
  chosen = proposal.choose(embedding_ND, probs_NK, labelled_MD, most)
  proposals = [
    label_next_csv.Proposal(
      str(table.file[i]),
      str(table.digest[i]),
      table.class_names[probs_NK[i].argmax()],
      float(probs_NK[i].max()),
    )
    for i in chosen
  ]
  label_next_csv.write(folder, proposals)
  many = f'{wording.counted(len(chosen), "image")} to label next'
  if len(chosen) > 1:
    many += ', the most useful first'
  progress.line(f'{folder.next_labels}: {many if chosen else "no image is left to label"}')
