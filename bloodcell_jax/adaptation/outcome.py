"""The network of an adapted run, saved: of one of three kinds, which `make` tells apart."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from bloodcell_jax.adaptation import (
  adapted_config,
  convolutions,
  head_choice,
  image_folder,
  layers,
  material,
  scores,
)
from bloodcell_jax.base import types
from bloodcell_jax.heads import logistic
from bloodcell_jax.runs import compact_run, model_set, stage_training
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.stats import metrics
from bloodcell_jax.storage import home_features, workdir
from bloodcell_jax.train import checkpoint, checkpoint_folder, history
from bloodcell_jax.train import progress as progress_lib


@dataclasses.dataclass(frozen=True)
class Outcome:
  """An adapted network, and what is needed to judge it."""

  models: model_set.ModelSet
  layer: logistic.Linear  # its output layer
  after_ND: np.ndarray  # as `Material.embedding_ND`, by this network; NaN for rows that are not scored
  crossed: types.Predictions  # of the labelled images, each by a network that was fitted without its group
  num_folds: int  # of these
  # The same for the output layer alone, if the convolutions were trained as well.
  alone: types.Predictions | None


@dataclasses.dataclass(frozen=True)
class Fit:
  """The output layer, fitted on the embeddings of the images by the network before."""

  network: model_set.Network  # before
  layer_before: logistic.Linear  # with an output for each class of the new run
  choice: head_choice.Choice
  crossed: types.Predictions  # of `choice.cross_fitted_NK`
  seconds: float  # since the adaptation began


def make(
  new: workdir.Workdir, given: material.Material, fit: Fit, updates: int, progress: progress_lib.Progress
) -> Outcome:
  """Saves the network of the new run, with the fitted output layer; one that is saved already is read.

  A run with images gets a checkpoint, and with `updates` trains its convolutions from there. One without gets its
  weights in one file, and what the network makes of the labelled images beside what it makes of the old ones.

  Args:
    new: the folder of the new run.
    given: the images.
    fit: the output layer.
    updates: of a training of the convolutions; 0 where the output layer alone is fitted.
    progress: where progress is printed.

  Raises:
    signals.Stopped: a stop was requested; the same call continues.
    types.RunError: a loss was not finite.
  """
  if updates:
    return _with_convolutions(new, given, fit, progress)
  own, layer = given.job, fit.choice.layer
  params = layers.replaced(fit.network, layer, own.params)
  if given.kept is None:
    _save(new, own, params, _record(given, fit))
    exp, data = own.experiment, own.data
    models = model_set.single(*model_set.load_network(new, exp, data, own.stop, progress))
  else:
    models = _without_images(new, given, given.kept, params)
  return Outcome(models, layer, given.embedding_ND, fit.crossed, fit.choice.num_folds, None)


def _with_convolutions(
  new: workdir.Workdir, given: material.Material, fit: Fit, progress: progress_lib.Progress
) -> Outcome:
  own, exp = given.job, given.job.experiment

  def begin(kept_N: np.ndarray) -> Any:
    layer = fit.choice.layer
    if not kept_N.all():
      some = given.fresh.take(kept_N)
      layer = head_choice.fit_chosen(given.old, some, fit.layer_before, exp.seed, own.poll)
    return layers.replaced(fit.network, layer, own.params)

  trained = convolutions.train(own, new, given.rows, begin, progress)
  splits = own.data.rows
  # Of the new images and those that are scored.
  needed = [given.rows, *(splits[name] for name in scores.HOME_SPLITS if name in splits)]
  rows = np.unique(np.concatenate(needed))
  after_ND = np.full_like(given.embedding_ND, np.nan)
  after_ND[rows] = convolutions.embed(trained.models, rows, new, progress)
  crossed = dataclasses.replace(fit.crossed, probs_NK=trained.cross_fitted_NK)
  layer = trained.models.networks[0].output_layer
  return Outcome(trained.models, layer, after_ND, crossed, trained.num_folds, fit.crossed)


def _without_images(
  new: workdir.Workdir, given: material.Material, kept: home_features.HomeFeatures, params: Any
) -> model_set.ModelSet:
  own, table = given.job, given.job.data.table
  compact_run.write_weights(new, params, own.transform.standardize, table.class_names)
  network = model_set.Network(own, params, 1.0)
  fresh = home_features.of_table(
    network.fingerprint, own.experiment.tta, 'train', table, given.embedding_ND, f'{image_folder.NEW} '
  )
  home_features.write(new, home_features.joined([kept, fresh]))
  return model_set.single(network, {'best_epoch': 1, 'epochs': 1})


def _record(given: material.Material, fit: Fit) -> history.Record:
  """The fit as the one epoch of the run; its validation figures are the cross-fitted ones."""
  parts = (given.old, given.fresh)
  probs_NK = fit.choice.layer.probabilities(np.concatenate([part.embedding_ND for part in parts]))
  label_N = np.concatenate([part.label_N for part in parts])
  loss, accuracy = metrics.loss_and_accuracy(probs_NK, label_N)
  val_loss, val_accuracy = metrics.loss_and_accuracy(fit.crossed.probs_NK, fit.crossed.label_N)
  rate = len(label_N) / max(fit.seconds, 1e-3)
  return history.Record(
    1, 1, adapted_config.STAGE, loss, accuracy, val_loss, val_accuracy, 0.0, fit.seconds, rate, 0.0
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
