"""Makes an ordinary run for another laboratory from a trained one and a few labels of its images.

The output layer is fitted anew; if asked for, the convolutions are then trained as well (`convolutions`).
"""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import time
from typing import Any

import numpy as np

from bloodcell_jax.adaptation import (
  adapted_config,
  convolutions,
  features,
  head_choice,
  home_images,
  image_folder,
  labelled_images,
  labels,
  laboratory,
  layers,
  scores,
)
from bloodcell_jax.base import shell, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.reports import adaptation_section, report
from bloodcell_jax.runs import (
  compact_run,
  input_pixels,
  model_set,
  run_data,
  run_record,
  saved_run,
  scoring,
  stage_training,
)
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.storage import adaptation_file, home_features, workdir
from bloodcell_jax.system import atomic, console, lock
from bloodcell_jax.train import checkpoint, checkpoint_folder, history, signals
from bloodcell_jax.train import progress as progress_lib


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
  exp, data, rows = _images(request.run, exp_before, new, home, labelled, request.updates, stop, progress)
  own = _job(request.run, before, new, exp, data, stop, progress)
  run_record.describe(new, own, data.leaking().counts())

  embedding_ND = features.embed(before, data.table, data.image_NHWC, exp.tta, new.cache, progress)
  kept = home.features and home.features.with_classes(labelled.class_names)
  home_rows = np.setdiff1d(data.rows['train'], rows)
  fresh = head_choice.Examples(embedding_ND[rows], data.table.label[rows], data.table.group[rows])
  if kept is None:
    old = head_choice.Examples(
      embedding_ND[home_rows], data.table.label[home_rows], data.table.group[home_rows]
    )
  else:
    part = kept.of_split('train')
    old = head_choice.Examples(part.embedding_ND, part.label_N, part.group_N)
  num_home = len(old.label_N)
  progress.line(f'fitting the output layer on {num_home:,} old and {len(rows):,} new images')
  layer_before = layers.grown(layers.read(before), known, labelled.class_names)
  choice = head_choice.choose(old, fresh, layer_before, exp.seed, stop.poll)
  known_K = np.isin(labelled.class_names, known)
  both = layers.Layers(layer_before, choice.layer, known_K)
  crossed = types.Predictions(
    choice.cross_fitted_NK, labelled.label, labelled.group, labelled.file, labelled.class_names
  )
  params = layers.replaced(before, choice.layer, own.params)
  after_ND, num_folds, alone = embedding_ND, choice.num_folds, None
  if request.updates:

    def begin(kept_N: np.ndarray) -> Any:
      if kept_N.all():
        return params
      layer = head_choice.fit_chosen(old, fresh.take(kept_N), layer_before, exp.seed, stop.poll)
      return layers.replaced(before, layer, own.params)

    trained = convolutions.train(own, new, rows, begin, progress)
    models, num_folds = trained.models, trained.num_folds
    both = dataclasses.replace(both, after=layers.read(models.networks[0]))
    after_ND = _embed_again(models, embedding_ND, rows, new, progress)
    alone, crossed = crossed, dataclasses.replace(crossed, probs_NK=trained.cross_fitted_NK)
  elif kept is None:
    _save(new, own, params, _record(choice, old, fresh, crossed, time.monotonic() - began))
    models = model_set.single(*model_set.load_network(new, exp, data, stop, progress))
  else:
    compact_run.write_weights(new, params, own.transform.standardize, labelled.class_names)
    network = model_set.Network(own, params, 1.0)
    models = model_set.single(network, {'best_epoch': 1, 'epochs': 1})
    more = home_features.of_table(
      network.fingerprint, exp.tta, 'train', data.table, embedding_ND, f'{image_folder.NEW} '
    )
    home_features.write(new, home_features.joined([kept, more]))

  compared = scores.write(new, models, data, rows, both, embedding_ND, after_ND, crossed, kept, progress)
  laboratory.look(new, models, request.data_dir, data, rows, after_ND[rows], request.num_proposed, progress)
  result = {
    **dataclasses.asdict(choice.settings),
    'num_folds': num_folds,
    'labels': {name: int((labelled.label == k).sum()) for k, name in enumerate(labelled.class_names)},
    'num_home': num_home,
    **compared,
  }
  if alone is not None:
    # The same labels, left out by the layer alone and by the trained convolutions.
    result |= {'updates': request.updates, 'alone': scores.compare(alone, crossed, exp)}
  adaptation_file.finish(new, result)
  entries = adaptation_file.read(new)
  assert entries is not None, 'it was written above'
  for line in adaptation_section.lines(entries):
    progress.line(line)
  report.publish(new, scoring.note_of_others(data.table.synthetic, data.leaking().counts()), progress)


def _images(
  run: workdir.Workdir,
  exp_before: experiment.Experiment,
  new: workdir.Workdir,
  home: home_images.HomeImages,
  labelled: types.Table,
  updates: int,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> tuple[experiment.Experiment, dataset.Dataset, np.ndarray]:
  """The experiment of the adapted run, which is written; its images; the rows of the new laboratory's, as labelled."""
  saved = run.read_config()
  if home.features is not None:
    new.write_config(adapted_config.derive(saved, exp_before, run.path, None, None, home.features.tta))
    exp = experiment.from_flat(new.read_config())
    data = labelled_images.read(labelled, home.synthetic, exp.data, new.cache, stop, progress)
    return exp, data, data.rows['train']
  groups_csv = image_folder.write(new, home.sample, labelled)
  images = new.path / image_folder.FOLDER
  config = adapted_config.derive(saved, exp_before, run.path, images, groups_csv, features.tta(exp_before))
  if updates:
    config = adapted_config.with_convolutions(config, exp_before.model.network, updates)
  new.write_config(config)
  exp = experiment.from_flat(new.read_config())
  read = run_data.read_images(exp, new, stop, progress)
  run_data.check_leaks(exp, read, progress)
  data = dataclasses.replace(read, table=dataclasses.replace(read.table, synthetic=home.synthetic))
  return exp, data, image_folder.new_rows(data)


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


def _embed_again(
  models: model_set.ModelSet,
  embedding_ND: np.ndarray,
  rows: np.ndarray,
  new: workdir.Workdir,
  progress: progress_lib.Progress,
) -> np.ndarray:
  """[N, D] as the embeddings, by the adapted network: of the new images and those that are scored; NaN of others."""
  splits = models.networks[0].job.data.rows
  needed = np.unique(np.concatenate([rows, *(splits[name] for name in scores.HOME_SPLITS if name in splits)]))
  after_ND = np.full_like(embedding_ND, np.nan)
  after_ND[needed] = convolutions.embed(models, needed, new, progress)
  return after_ND


def _job(
  run: workdir.Workdir,
  before: model_set.Network,
  new: workdir.Workdir,
  exp: experiment.Experiment,
  data: dataset.Dataset,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> job_lib.Job:
  """The job of the adapted run, whose images become input as those of the earlier run do."""
  pixels = before.job.transform.standardize
  if pixels.centers and not new.statistics.exists():
    with atomic.named(new.statistics):
      shutil.copyfile(run.statistics, new.statistics)
  return job_lib.Job(exp, data, pixels, input_pixels.statistics(new, pixels, data, progress), stop)


def _record(
  choice: head_choice.Choice,
  old: head_choice.Examples,
  fresh: head_choice.Examples,
  crossed: types.Predictions,
  seconds: float,
) -> history.Record:
  """The fit as the one epoch of the run; its validation figures are the cross-fitted ones."""
  probs_NK = choice.layer.probabilities(np.concatenate([old.embedding_ND, fresh.embedding_ND]))
  label_N = np.concatenate([old.label_N, fresh.label_N])
  loss, accuracy = scores.loss_and_accuracy(probs_NK, label_N)
  val_loss, val_accuracy = scores.loss_and_accuracy(crossed.probs_NK, crossed.label_N)
  rate = len(label_N) / max(seconds, 1e-3)
  return history.Record(
    1, 1, adapted_config.STAGE, loss, accuracy, val_loss, val_accuracy, 0.0, seconds, rate, 0.0
  )


def _save(new: workdir.Workdir, own: job_lib.Job, params: Any, record: history.Record) -> None:
  """Writes the one checkpoint of the run, unless it is there."""
  stage = own.experiment.stages[0]
  stage_info = checkpoint_folder.StageInfo(stage.fit.name, '', dataclasses.asdict(own.transform.standardize))
  with stage_training.opened(own, new) as (store, on_epoch):
    if store.num_epochs() == 0:
      state = own.initial_state(stage, params, record.step)
      store.save(checkpoint.Saved(state, [record], 0.0, stage_info), True)
      store.wait()
    on_epoch([record])
