"""Trained networks that answer together: the one of a run, or the members of an ensemble."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from bloodcell_jax.base import groups, tree, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.data.images import feature_cache
from bloodcell_jax.ensembles import combination, method
from bloodcell_jax.heads import svr
from bloodcell_jax.runs import forward, job, opening
from bloodcell_jax.stats import calibration, doubt
from bloodcell_jax.storage import calibration_file, ensemble_file, workdir
from bloodcell_jax.train import progress, signals


@dataclasses.dataclass(frozen=True)
class Network:
  """A network with weights, and all that makes its input."""

  made: job.Job
  params: Any  # the outputs under them are logits
  temperature: (
    float  # by which the top's weights have been divided for that; 1 for those trained on cross-entropy
  )

  @property
  def fingerprint(self) -> str:
    """16 hex digits that change with the weights, and with anything that makes the input of grey levels."""
    learned = self.made.statistics
    arrays = {} if learned is None else {key: x for key, x in vars(learned).items() if x is not None}
    return feature_cache.key(
      weights=tree.fingerprint(self.params),
      standardize=repr(self.made.transform.standardize),
      statistics=tree.fingerprint(arrays),
    )


def fingerprint(networks: Sequence[str], rule: combination.Combination) -> str:
  """Of networks with these fingerprints, combined by the rule; empty where one of them is not known."""
  if not networks or not all(networks):
    return ''
  return feature_cache.key(
    networks=' '.join(networks), rule=rule.kind, arrays=tree.fingerprint(dict(rule.arrays))
  )


@dataclasses.dataclass(frozen=True)
class Committee:
  """Networks of the same classes whose probabilities become one answer."""

  networks: tuple[Network, ...]  # M, one or more
  combination: combination.Combination  # of M members
  origin: dict[str, int]  # which checkpoint, or how many members
  members: tuple[str, ...]  # of an ensemble; empty for a single network
  combine: str  # how an ensemble's members are combined; empty for a single network

  def predict_each(self, splits: Iterable[str]) -> Iterator[tuple[str, types.Predictions]]:
    """(split, the answer for each of its images once). Raises `signals.Stopped` when a stop was asked for."""
    splits = list(splits)
    each = [network.made.predict_each(network.params, splits) for network in self.networks]
    for answers in zip(*each, strict=True):
      yield answers[0][0], combined(self.combination, [found for _, found in answers])

  @property
  def has_own_weights(self) -> bool:
    """Whether one network answers, whose weights are no member's: a single one, or the mean of the members'."""
    return self.combine in ('', *method.WEIGHT_AVERAGES)

  def fitted_for(self) -> calibration_file.FittedFor:
    """What a rule that is fitted on the answers belongs to."""
    first = self.networks[0]
    each = [network.fingerprint for network in self.networks]
    return calibration_file.FittedFor(
      checkpoint=dict(self.origin),
      members=self.members,
      combine=self.combine,
      tta=first.made.experiment.tta,
      fingerprint=each[0] if self.has_own_weights else fingerprint(each, self.combination),
      temperature=first.temperature if self.has_own_weights else 1.0,
    )


def combined(rule: combination.Combination, members: list[types.Predictions]) -> types.Predictions:
  """The one answer of members that hold the same rows in the same order."""
  probs_MNK = np.stack([found.probs_NK for found in members])
  return dataclasses.replace(members[0], probs_NK=combination.apply(rule, probs_MNK, np))


def single(network: Network, origin: dict[str, int]) -> Committee:
  """One network that answers alone."""
  return Committee((network,), combination.mean(1), origin, (), '')


def load(
  folder: workdir.Workdir,
  exp: experiment.Experiment,
  data: Callable[[experiment.Experiment], dataset.Dataset],
  stop: signals.Stop,
  shown: progress.Progress,
) -> Committee:
  """What the run in `folder` has become.

  Args:
    folder: of a single network's run, or of an ensemble.
    exp: the run's experiment.
    data: the images for the experiment of a network; the same for all, but for what each was trained on.
    stop: asked between batches.
    shown: where statistics that are fitted are told.

  Raises:
    UserError: a network has no finished epoch, or the ensemble is not complete.
  """
  if not exp.ensemble.method or exp.ensemble.member:
    return single(*of_run(folder, exp, data(exp), stop, shown))
  found = ensemble_file.read(folder)
  combine, members = found['combine'], tuple(found['members'])
  origin = {'members': len(members)}
  best = []
  for k in members:
    own = workdir.Workdir(ensemble_file.member(folder, k))
    # How the ensemble is looked at is how its members are.
    config = dataclasses.replace(
      opening.of(own, None), tta=exp.tta, evaluate_batch_size=exp.evaluate_batch_size
    )
    best.append((own, *best_of_run(own, config, data(config), stop, shown)))
  if combine in method.WEIGHT_AVERAGES:
    made, params = best[0][1], mean_params([params for _, _, params, _ in best])
    return Committee((scaled(folder, made, params, origin),), combination.mean(1), origin, members, combine)
  networks = tuple(scaled(*each) for each in best)
  return Committee(networks, ensemble_file.read_combination(folder), origin, members, combine)


def of_run(
  folder: workdir.Workdir,
  exp: experiment.Experiment,
  data: dataset.Dataset,
  stop: signals.Stop,
  shown: progress.Progress,
) -> tuple[Network, dict[str, int]]:
  """The best network of one run, and which checkpoint of how many epochs it is."""
  made, params, origin = best_of_run(folder, exp, data, stop, shown)
  return scaled(folder, made, params, origin), origin


def best_of_run(
  folder: workdir.Workdir,
  exp: experiment.Experiment,
  data: dataset.Dataset,
  stop: signals.Stop,
  shown: progress.Progress,
) -> tuple[job.Job, Any, dict[str, int]]:
  """The job of one run, the weights of its best checkpoint as they were trained, and which checkpoint that is."""
  with opening.checkpoints(folder, exp) as store:
    pixels = opening.pixels_of(folder, store)
    made = job.Job(exp, data, pixels, opening.statistics(folder, pixels, data, shown), stop)
    return made, *opening.best_of(store, made)


def mean_params(each: list[Any]) -> Any:
  """The mean of weights of one architecture. Source: Izmailov et al. 2018, "Averaging weights", section 3."""
  return jax.tree.map(
    lambda *leaves: np.mean(np.stack(leaves), axis=0, dtype=np.float64).astype(np.float32), *each
  )


def fitted(made: job.Job, params: Any) -> Network:
  """The network whose outputs are logits, under weights as they were trained.

  The outputs of a support vector regression lie near -1 and 1 and are no logits: they are divided by the temperature
  at which validation finds their softmax most likely. Without views, so that it is the network's alone.

  Args:
    made: the job, with the images of validation.
    params: as they were trained.

  Raises:
    UserError: validation has fewer than two groups.
  """
  if made.experiment.scored_loss != svr.NAME:
    return Network(made, params, 1.0)
  rows = made.data.rows['validation']
  found = forward.run(made.apply, params, made.in_order(rows), made.data.table.take(rows), made.poll)
  return _divided(made, params, calibration.temperature(found, groups.equal_weights(found.group_N, 1.0)))


def scaled(folder: workdir.Workdir, made: job.Job, params: Any, origin: dict[str, int]) -> Network:
  """As `fitted`, by the temperature that the folder keeps where it is of this network.

  Raises:
    UserError: it is not, and no validation image is at hand.
  """
  if made.experiment.scored_loss != svr.NAME:
    return Network(made, params, 1.0)
  if folder.calibration.exists():
    rule, known = calibration_file.read(folder)
    if known is None:
      # Of a run of before: there the one temperature is that of the outputs.
      return _divided(made, params, rule.temperature)
    network = _divided(made, params, known.temperature)
    if known.fingerprint == network.fingerprint:
      return network
  if 'validation' in made.data.rows:
    return fitted(made, params)
  raise types.UserError(
    f'{folder.path}: has no calibration.json of its network, without which the outputs of a support vector regression '
    'are no probabilities; type the command that trained the run again'
  )


def _divided(made: job.Job, params: Any, temperature: float) -> Network:
  top = f'{made.experiment.model.network.output_layer}/'
  leaves = {
    name: np.asarray(leaf) / np.float32(temperature) if name.startswith(top) else leaf
    for name, leaf in tree.names(params).items()
  }
  return Network(made, tree.nest(leaves), temperature)


def rule(folder: workdir.Workdir, answering: Committee, exp: experiment.Experiment) -> doubt.Doubt | None:
  """The rule of what answers; None where the folder has no calibration.

  Args:
    folder: the run's.
    answering: what the run has become.
    exp: how it is asked.

  Raises:
    UserError: the calibration belongs to other weights, members, views or keys, and what to do.
  """
  if not folder.calibration.exists():
    return None
  found, known = calibration_file.read(folder)
  if known is None:
    # Of a run of before. What it says of the outputs of a regression is part of the network now.
    is_inside = answering.has_own_weights and answering.networks[0].temperature != 1
    return dataclasses.replace(found, temperature=1.0) if is_inside else found
  asked = exp.doubt
  pairs = {
    'tta': (known.tta, exp.tta),
    'max_error': (found.max_error, asked.max_error),
    'miscoverage': (found.conformal.miscoverage, asked.miscoverage),
    'conformal_score': (found.conformal.score, asked.conformal_score),
  }
  differing = [f'evaluate.{key}={old} and not {new}' for key, (old, new) in pairs.items() if old != new]
  own = answering.fitted_for()
  if (known.members, known.combine) != (own.members, own.combine):
    differing.append('other members, or another way to combine them')
  elif known.fingerprint and known.fingerprint != own.fingerprint:
    differing.append('other weights')
  if differing:
    raise types.UserError(
      f'{folder.calibration}: was fitted for {", ".join(differing)}; run `evaluate --workdir={folder.path}` with the '
      'evaluate.* keys that you want, which fits it anew'
    )
  return found
