"""Trained networks that answer together: the one of a run, or the members of an ensemble."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np

from bloodcell_jax import ensemble_file, experiment, job, opening, types, workdir
from bloodcell_jax.data import dataset
from bloodcell_jax.ensembles import combination, method
from bloodcell_jax.train import progress, signals


@dataclasses.dataclass(frozen=True)
class Network:
  """A network with weights, and all that makes its input."""

  made: job.Job
  params: Any  # of the run's best checkpoint


@dataclasses.dataclass(frozen=True)
class Committee:
  """Networks of the same classes whose probabilities become one answer."""

  networks: tuple[Network, ...]  # M, one or more
  combination: combination.Combination  # of M members
  origin: dict[str, int]  # which checkpoint, or how many members

  def predict_each(self, splits: Iterable[str]) -> Iterator[tuple[str, types.Predictions]]:
    """(split, the answer for each of its images once). Raises `signals.Stopped` when a stop was asked for."""
    splits = list(splits)
    each = [network.made.predict_each(network.params, splits) for network in self.networks]
    for answers in zip(*each, strict=True):
      yield answers[0][0], combined(self.combination, [found for _, found in answers])


def combined(rule: combination.Combination, members: list[types.Predictions]) -> types.Predictions:
  """The one answer of members that hold the same rows in the same order."""
  probs_MNK = np.stack([found.probs_NK for found in members])
  return dataclasses.replace(members[0], probs_NK=combination.apply(rule, probs_MNK, np))


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
    network, origin = of_run(folder, exp, data(exp), stop, shown)
    return Committee((network,), combination.mean(1), origin)
  found = ensemble_file.read(folder)
  networks = []
  for k in found['members']:
    own = workdir.Workdir(ensemble_file.member(folder, k))
    # How the ensemble is looked at is how its members are.
    config = dataclasses.replace(
      opening.of(own, None), views=exp.views, evaluate_batch_size=exp.evaluate_batch_size
    )
    networks.append(of_run(own, config, data(config), stop, shown)[0])
  rule = ensemble_file.read_combination(folder)
  origin = {'members': len(networks)}
  if found['combine'] in method.WEIGHT_AVERAGES:
    one = Network(networks[0].made, mean_params([network.params for network in networks]))
    return Committee((one,), combination.mean(1), origin)
  return Committee(tuple(networks), rule, origin)


def of_run(
  folder: workdir.Workdir,
  exp: experiment.Experiment,
  data: dataset.Dataset,
  stop: signals.Stop,
  shown: progress.Progress,
) -> tuple[Network, dict[str, int]]:
  """The best network of one run, and which checkpoint of how many epochs it is."""
  pixels = opening.kept_pixels(folder, exp)
  made = job.Job(exp, data, pixels, opening.statistics(folder, pixels, data, shown), stop)
  params, origin = opening.best(folder, made)
  return Network(made, params), origin


def mean_params(each: list[Any]) -> Any:
  """The mean of weights of one architecture. Source: Izmailov et al. 2018, "Averaging weights", section 3."""
  return jax.tree.map(
    lambda *leaves: np.mean(np.stack(leaves), axis=0, dtype=np.float64).astype(np.float32), *each
  )
