"""Trained networks that predict together: the one of a run, or the members of an ensemble."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from bloodcell_jax.base import groups, shell, tree, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.data.images import feature_cache
from bloodcell_jax.data.sources import laboratories
from bloodcell_jax.ensembles import combination, method
from bloodcell_jax.heads import logistic, svr
from bloodcell_jax.runs import compact_run, forward, input_pixels, output_weights, row_outputs, saved_run
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.stats import calibration
from bloodcell_jax.storage import calibration_file, ensemble_file, workdir
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals


@dataclasses.dataclass(frozen=True)
class Network:
  """A network with its weights, and the job that prepares its input."""

  job: job_lib.Job
  params: Any  # with which the outputs are logits
  # The weights of the output layer have been divided by it, to make them logits; 1 for those trained on cross-entropy.
  temperature: float

  @functools.cached_property
  def outputs(self) -> row_outputs.RowOutputs:
    """Its outputs for rows of its data."""
    return row_outputs.RowOutputs(self.job, self.params)

  @property
  def output_layer(self) -> logistic.Linear:
    """The last dense layer."""
    return output_weights.read(self.job, self.params)

  @property
  def fingerprint(self) -> str:
    """16 hex digits of the weights and of the standardization of the input."""
    learned = self.job.statistics
    arrays = {} if learned is None else {key: x for key, x in vars(learned).items() if x is not None}
    return feature_cache.key(
      weights=tree.fingerprint(self.params),
      standardize=repr(self.job.transform.standardize),
      statistics=tree.fingerprint(arrays),
    )


def fingerprint(networks: Sequence[str], rule: combination.Combination) -> str:
  """The fingerprint of networks combined by the rule; empty where one of theirs is unknown."""
  if not networks or not all(networks):
    return ''
  return feature_cache.key(
    networks=' '.join(networks), rule=rule.kind, arrays=tree.fingerprint(dict(rule.arrays))
  )


@dataclasses.dataclass(frozen=True)
class ModelSet:
  """Networks for the same classes, whose probabilities are combined."""

  networks: tuple[Network, ...]  # M, one or more
  combination: combination.Combination  # of M members
  origin: dict[str, int]  # the checkpoint, or the number of members
  members: tuple[str, ...]  # of an ensemble; empty for a single network
  combine: str  # how an ensemble's members are combined; empty for a single network

  def predict_each(self, splits: Iterable[str]) -> Iterator[tuple[str, types.Predictions]]:
    """(split, its predictions, each image once). Raises `signals.Stopped` where a stop was requested."""
    for split in splits:
      each = [network.outputs.predictions(split) for network in self.networks]
      yield split, combined(self.combination, each)

  @property
  def has_own_weights(self) -> bool:
    """Whether this is one network: a single run's, or one with the mean of the members' weights."""
    return self.combine in ('', *method.WEIGHT_AVERAGES)

  def fitted_for(self) -> calibration_file.FittedFor:
    """What a calibration fitted on these predictions is valid for."""
    first = self.networks[0]
    each = [network.fingerprint for network in self.networks]
    return calibration_file.FittedFor(
      checkpoint=dict(self.origin),
      members=self.members,
      combine=self.combine,
      tta=first.job.experiment.tta,
      fingerprint=each[0] if self.has_own_weights else fingerprint(each, self.combination),
      temperature=first.temperature if self.has_own_weights else 1.0,
    )

  def differing(self, known: calibration_file.FittedFor) -> list[str]:
    """In words, how the networks that something was fitted for differ from these; empty where they do not."""
    own = self.fitted_for()
    if (known.members, known.combine) != (own.members, own.combine):
      return ['other members, or another way to combine them']
    return ['other weights'] if known.fingerprint and known.fingerprint != own.fingerprint else []


def combined(rule: combination.Combination, members: list[types.Predictions]) -> types.Predictions:
  """The combined predictions of members that hold the same rows in the same order."""
  probs_MNK = np.stack([member.probs_NK for member in members])
  return dataclasses.replace(members[0], probs_NK=combination.apply(rule, probs_MNK, np))


def single(network: Network, origin: dict[str, int]) -> ModelSet:
  """A set of one network."""
  return ModelSet((network,), combination.mean(1), origin, (), '')


def load(
  folder: workdir.Workdir,
  exp: experiment.Experiment,
  data: Callable[[experiment.Experiment], dataset.Dataset],
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> ModelSet:
  """Loads the trained networks of a run.

  Args:
    folder: the run of a single network, or an ensemble.
    exp: the run's experiment.
    data: from the experiment of a network to its images; they differ in the training rows only.
    stop: polled between batches.
    progress: where progress is printed.

  Raises:
    UserError: a network has no finished epoch, or the ensemble is not complete.
  """
  if not exp.ensemble.method or exp.ensemble.member:
    return single(*load_network(folder, exp, data(exp), stop, progress))
  ensemble = ensemble_file.read(folder)
  combine, members = ensemble['combine'], tuple(ensemble['members'])
  origin = {'members': len(members)}
  best = []
  for k in members:
    own = workdir.Workdir(ensemble_file.member(folder, k))
    # Members are evaluated with the settings of the ensemble.
    config = dataclasses.replace(
      saved_run.read_experiment(own, None), tta=exp.tta, evaluate_batch_size=exp.evaluate_batch_size
    )
    best.append((own, *load_best(own, config, data(config), stop, progress)))
  if combine in method.WEIGHT_AVERAGES:
    job, params = best[0][1], mean_params([params for _, _, params, _ in best])
    network = restore_temperature(folder, job, params)
    return ModelSet((network,), combination.mean(1), origin, members, combine)
  networks = tuple(restore_temperature(own, job, params) for own, job, params, _ in best)
  return ModelSet(networks, ensemble_file.read_combination(folder), origin, members, combine)


def load_network(
  folder: workdir.Workdir,
  exp: experiment.Experiment,
  data: dataset.Dataset,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> tuple[Network, dict[str, int]]:
  """The network of a run at its best epoch, and `saved_run.best`'s origin of it."""
  job, params, origin = load_best(folder, exp, data, stop, progress)
  return restore_temperature(folder, job, params), origin


def load_best(
  folder: workdir.Workdir,
  exp: experiment.Experiment,
  data: dataset.Dataset,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> tuple[job_lib.Job, Any, dict[str, int]]:
  """The job of a run, the weights of its best checkpoint as trained, and the origin of `saved_run.best`."""
  if compact_run.is_here(folder):
    compact = compact_run.read(folder)
    fitted = input_pixels.statistics(folder, compact.pixels, data, progress)
    return job_lib.Job(exp, data, compact.pixels, fitted, stop), compact.params, compact.origin
  with saved_run.checkpoints(folder, exp) as store:
    pixels = input_pixels.saved_in(folder, store)
    job = job_lib.Job(exp, data, pixels, input_pixels.statistics(folder, pixels, data, progress), stop)
    return job, *saved_run.best_in(store, job)


def mean_params(each: list[Any]) -> Any:
  """The mean of the weights of several networks. Source: Izmailov et al. 2018, "Averaging weights", section 3."""
  return jax.tree.map(
    lambda *leaves: np.mean(np.stack(leaves), axis=0, dtype=np.float64).astype(np.float32), *each
  )


def fit_temperature(job: job_lib.Job, params: Any) -> Network:
  """The network with a temperature fitted such that its outputs are logits.

  The outputs of a support vector regression lie near -1 and 1 and are not logits: they are divided by the temperature
  that maximizes the likelihood of their softmax on validation, without test-time augmentation. For a network trained
  on cross-entropy it is 1.

  Args:
    job: the job, with the validation images.
    params: the weights as trained.

  Raises:
    UserError: validation has fewer than two groups.
  """
  if job.experiment.scored_loss != svr.NAME:
    return Network(job, params, 1.0)
  rows = job.data.rows['validation']
  on_devices, table = job.placed(params), job.data.table.take(rows)
  predictions = forward.run(job.apply, on_devices, job.in_order(rows), table, job.poll)
  laboratory_N = laboratories.numbers(predictions.group_N, job.experiment.data.source)
  weight_N = groups.equal_laboratories(laboratory_N, predictions.group_N)
  return _divide(job, params, calibration.fit_temperature(predictions, weight_N))


def restore_temperature(folder: workdir.Workdir, job: job_lib.Job, params: Any) -> Network:
  """As `fit_temperature`, with the temperature saved in the folder where it belongs to this network.

  Raises:
    UserError: it does not, and there are no validation images to fit it on.
  """
  if job.experiment.scored_loss != svr.NAME:
    return Network(job, params, 1.0)
  if folder.calibration.exists():
    rule, known = calibration_file.read(folder)
    if known is None:
      # In an older run the one temperature is that of the outputs.
      return _divide(job, params, rule.temperature)
    network = _divide(job, params, known.temperature)
    if known.fingerprint == network.fingerprint:
      return network
  if 'validation' in job.data.rows:
    return fit_temperature(job, params)
  raise types.UserError(
    f'{folder.path}: has no calibration.json of its network, without which the outputs of a support vector regression '
    'are not probabilities; repeat the command that trained the run'
  )


def _divide(job: job_lib.Job, params: Any, temperature: float) -> Network:
  layer, divisor = output_weights.read(job, params), np.float32(temperature)
  # Divided in float64 and rounded, float32 numbers give the same bits as divided in float32.
  divided = logistic.Linear(layer.kernel_DK / divisor, layer.bias_K / divisor)
  return Network(job, output_weights.replaced(job, params, divided), temperature)


def read_rule(
  folder: workdir.Workdir, models: ModelSet, exp: experiment.Experiment
) -> calibration.Calibration | None:
  """The calibration of a run, checked against its networks; None where the folder has none.

  Args:
    folder: the run's.
    models: the trained networks of the run.
    exp: the run's experiment, with the `evaluate.*` keys in use.

  Raises:
    UserError: the calibration was fitted for other weights, members, test-time augmentation or `evaluate.*` keys.
  """
  if not folder.calibration.exists():
    return None
  rule, known = calibration_file.read(folder)
  if known is None:
    # An older run. The temperature of a regression's outputs is now part of the network.
    is_inside = models.has_own_weights and models.networks[0].temperature != 1
    return dataclasses.replace(rule, temperature=1.0) if is_inside else rule
  spec = exp.calibration
  pairs = {
    'tta': (known.tta, exp.tta),
    'max_error': (rule.max_error, spec.max_error),
    'miscoverage': (rule.conformal.miscoverage, spec.miscoverage),
    'conformal_score': (rule.conformal.score, spec.conformal_score),
  }
  differing = [f'evaluate.{key}={old} and not {new}' for key, (old, new) in pairs.items() if old != new]
  differing += models.differing(known)
  if differing:
    raise types.UserError(
      f'{folder.calibration}: was fitted for {", ".join(differing)}; run `evaluate '
      f'--workdir={shell.word(folder.path)}`, which fits it anew, with the keys that you want, such as '
      '--config.evaluate.tta=mirrors'
    )
  return rule
