"""Makes an ordinary run for another laboratory from a trained one and a few labels of its images.

The output layer is fitted anew; if asked for, the convolutions are then trained as well (`convolutions`).
"""

from __future__ import annotations

import dataclasses
import pathlib
import time
from typing import Any

import numpy as np

from bloodcell_jax.adaptation import (
  convolutions,
  head_choice,
  home_images,
  labelled_images,
  labels,
  laboratory,
  layers,
  material,
  outcome,
  scores,
)
from bloodcell_jax.base import shell, types
from bloodcell_jax.data import dataset
from bloodcell_jax.reports import adaptation_section, report
from bloodcell_jax.runs import (
  model_set,
  saved_run,
  scoring,
)
from bloodcell_jax.storage import adaptation_file, workdir
from bloodcell_jax.system import console, lock
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals


@dataclasses.dataclass(frozen=True)
class Request:
  """What a run is adapted to."""

  run: workdir.Workdir  # to be adapted
  data_dir: str  # the folder of the new laboratory
  labels_csv: str  # labels of some of its images
  list_shown: str  # the list that these labels come from, for people
  groups_csv: str  # which of them show the same field; '' for none
  home_dir: str  # where the run's own images are now; '' where its config says
  new_classes: tuple[str, ...]
  num_proposed: int
  updates: int  # of a training of the convolutions; 0 where the output layer alone is fitted


def load(folder: workdir.Workdir, stop: signals.Stop, progress: progress_lib.Progress) -> model_set.Network:
  """The network of the run that is to be adapted; its job has no images.

  Raises:
    UserError: it is no run of a single network.
  """
  exp = saved_run.read_experiment(folder, None)
  saved_run.refuse_cross_validation(folder, exp, 'adapt')
  if exp.ensemble.method and not exp.ensemble.member:
    raise types.UserError(
      f'{folder.path}: is an ensemble; adapt one of its members: --workdir={shell.word(folder.path / "members" / "1")}'
    )
  empty = dataset.empty(tuple(folder.read_environment()['data']['class_names']))
  return model_set.load(folder, exp, lambda _: empty, stop, progress).networks[0]


def adapt(
  request: Request, new: workdir.Workdir, stop: signals.Stop, progress: progress_lib.Progress
) -> None:
  """Makes the run, or continues to make it, in a folder of its own; a complete one is left as it is.

  A run that came without its images, as the model in the box, gives one without images: what its network makes of its
  own images, `home.npz`, stands for them.

  **Guarantees**: killed and called again with the same request, the run comes to the same bits.

  Args:
    request: what to do.
    new: the folder of the adapted run.
    stop: polled between batches and fits.
    progress: where progress is printed.

  Raises:
    UserError: the labels do not fit, the old images are gone, or the folder holds another run.
    signals.Stopped: a stop was requested; the same call continues.
  """
  began = time.monotonic()
  before = load(request.run, stop, progress)
  exp_before, known = before.job.experiment, before.job.data.table.class_names
  home = home_images.read(request.run, exp_before, request.home_dir, before.fingerprint)
  if request.updates:
    convolutions.check(request.run.path, home)
  labelled = labels.read(
    request.data_dir,
    request.labels_csv,
    request.groups_csv,
    known,
    request.new_classes,
    home.digests,
    request.list_shown,
  )
  labelled_images.check(labelled, exp_before.data.decode, stop.poll)
  lock.take(new.path)
  is_complete = adaptation_file.claim(new, _identity(request, before, labelled))
  console.keep(new.log)
  progress.line(labels.line(labelled))
  if is_complete:
    progress.line(f'{new.path}: complete; the report is {new.report}')
    return
  given = material.gather(request.run, before, new, home, labelled, request.updates, stop, progress)
  fit = _fit(before, given, labelled, began, progress)
  made = outcome.make(new, given, fit, request.updates, progress)
  exp, data, rows = given.job.experiment, given.job.data, given.rows
  both = layers.Layers(fit.layer_before, made.layer, np.isin(labelled.class_names, known))
  compared = scores.write(new, made.models, given, both, made.after_ND, made.crossed, progress)
  laboratory.look(
    new, made.models, request.data_dir, data, rows, made.after_ND[rows], request.num_proposed, progress
  )
  result = {
    **dataclasses.asdict(fit.choice.settings),
    'num_folds': made.num_folds,
    'labels': {name: int((labelled.label == k).sum()) for k, name in enumerate(labelled.class_names)},
    'num_home': len(given.old.label_N),
    **compared,
  }
  if made.alone is not None:
    # The same labels, left out by the layer alone and by the trained convolutions.
    result |= {'updates': request.updates, 'alone': scores.compare(made.alone, made.crossed, exp)}
  adaptation_file.finish(new, result)
  entries = adaptation_file.read(new)
  assert entries is not None, 'it was written above'
  for line in adaptation_section.lines(entries):
    progress.line(line)
  report.publish(new, scoring.note_of_others(data.table.synthetic, data.leaking().counts()), progress)


def _fit(
  before: model_set.Network,
  given: material.Material,
  labelled: types.Table,
  began: float,
  progress: progress_lib.Progress,
) -> outcome.Fit:
  """The output layer, fitted on what the network before makes of both laboratories' images."""
  job, num_new = given.job, len(given.rows)
  progress.line(f'fitting the output layer on {len(given.old.label_N):,} old and {num_new:,} new images')
  known = before.job.data.table.class_names
  layer_before = layers.grown(before.output_layer, known, labelled.class_names)
  choice = head_choice.choose(given.old, given.fresh, layer_before, job.experiment.seed, job.poll)
  crossed = types.Predictions(
    choice.cross_fitted_NK, labelled.label, labelled.group, labelled.file, labelled.class_names
  )
  return outcome.Fit(before, layer_before, choice, crossed, time.monotonic() - began)


def _identity(request: Request, before: model_set.Network, labelled: types.Table) -> dict[str, Any]:
  """What decides the adapted run."""
  return {
    'from': str(request.run.path.resolve()),
    'network': before.fingerprint,
    'data_dir': str(pathlib.Path(request.data_dir).resolve()),
    'files': labelled.file.tolist(),
    'digests': labelled.digest.tolist(),
    'labels': [labelled.class_names[k] for k in labelled.label],
    'groups': labelled.group.tolist(),
    'new_classes': list(request.new_classes),
    # Left out where only the output layer is fitted, as in earlier runs.
    **({'updates': request.updates} if request.updates else {}),
  }
