"""A finished run as a classifier of images; used by `predict`, `explain` and `export`."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from scipy import special

from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset, stream
from bloodcell_jax.ensembles import combination
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.runs import model_set, saved_run, scoring, unlike_measure
from bloodcell_jax.stats import calibration
from bloodcell_jax.storage import unlike_file, workdir
from bloodcell_jax.train import progress, signals


@dataclasses.dataclass(frozen=True)
class Classifier:
  """The best network of a run, or the members of an ensemble, with the steps from an image to probabilities."""

  models: model_set.ModelSet  # whose jobs have no data
  rule: calibration.Calibration | None  # None where the run has not been evaluated
  note: str  # what every figure must be accompanied by, such as that the training images were synthetic
  measure: unlike_file.Measure | None  # of unlike images; None where the run has none

  @property
  def job(self) -> job_lib.Job:
    """The job of the first network: its way from grey levels to the network's input is that of all."""
    return self.models.networks[0].job

  @property
  def params(self) -> Any:
    """Those of the first network, which is the only one but in an ensemble."""
    return self.models.networks[0].params

  @property
  def origin(self) -> dict[str, int]:
    """Which checkpoint, or how many members."""
    return self.models.origin

  @property
  def class_names(self) -> tuple[str, ...]:
    """K names, in the order of the probabilities."""
    return self.job.data.table.class_names

  def probabilities(self, image_BHWC: np.ndarray) -> np.ndarray:
    """[B, K] float64, as the networks give them, before any calibration.

    One program is compiled, for batches of the experiment's evaluation size; smaller batches are padded.

    Args:
      image_BHWC: uint8, cropped and resized by `decode`; at most as many as the evaluation's batch size.
    """
    size, num = self.job.experiment.evaluate_batch_size, len(image_BHWC)
    if num > size:
      raise ValueError(f'{num} images; a batch has {size} at most')
    probs_MNK = np.stack([_outputs(each, image_BHWC, size, False)[0] for each in self.models.networks])
    return combination.apply(self.models.combination, probs_MNK, np)

  def probabilities_and_looks(self, image_BHWC: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """As `probabilities`, and what `unlike.judge` takes: [B, L]; None without a measure of unlike images."""
    if self.measure is None:
      return self.probabilities(image_BHWC), None
    if self.measure.classes is None:
      return self.probabilities(image_BHWC), unlike_measure.looks(self.measure, image_BHWC, None)
    size = self.job.experiment.evaluate_batch_size
    first, embedding_BD = _outputs(self.models.networks[0], image_BHWC, size, True)
    others = [_outputs(each, image_BHWC, size, False)[0] for each in self.models.networks[1:]]
    probs_BK = combination.apply(self.models.combination, np.stack([first, *others]), np)
    return probs_BK, unlike_measure.looks(self.measure, image_BHWC, embedding_BD)


def from_network(
  job: job_lib.Job, params: Any, rule: calibration.Calibration | None, note: str, origin: dict[str, int]
) -> Classifier:
  """The classifier of a single network."""
  return Classifier(model_set.single(model_set.Network(job, params, 1.0), origin), rule, note, None)


def load(folder: workdir.Workdir, stop: signals.Stop, is_of_own_images: bool = False) -> Classifier:
  """The classifier of the finished run in `folder`; reads no images.

  Args:
    folder: the run's.
    stop: polled while it is loaded.
    is_of_own_images: whether it will be shown the run's own images, which the note then speaks of.

  Raises:
    UserError: there is no run, no finished epoch, an incomplete ensemble, or a calibration or measure of other
      networks.
  """
  exp = saved_run.read_experiment(folder, None)
  environment = folder.read_environment()['data']
  data = dataset.empty(tuple(environment['class_names']))

  def nothing(exp: experiment.Experiment) -> dataset.Dataset:
    # Statistics are read from the run and never fitted here.
    return data

  found = model_set.load(folder, exp, nothing, stop, progress.Progress())
  rule = model_set.read_rule(folder, found, exp)
  words = scoring.note if is_of_own_images else scoring.note_of_others
  note = words(environment['synthetic'], environment['leaks'])
  return Classifier(found, rule, note, unlike_measure.read(folder, found))


def in_batches(loaded: Classifier, size: int) -> Classifier:
  """The same classifier, compiled for batches of so many images: small ones where a person waits for each answer."""
  networks = tuple(
    dataclasses.replace(each, job=each.job.with_evaluate_batch_size(size)) for each in loaded.models.networks
  )
  return dataclasses.replace(loaded, models=dataclasses.replace(loaded.models, networks=networks))


def _outputs(
  network: model_set.Network, image_BHWC: np.ndarray, size: int, with_embedding: bool
) -> tuple[np.ndarray, np.ndarray]:
  """The probabilities [B, K], and the embedding [B, D] if it is wanted, else of no column."""
  num, num_classes = len(image_BHWC), network.job.num_classes
  nothing_BK = np.zeros((num, num_classes), np.float32)  # no target is known, nor asked for
  batch = stream.padded(network.job.standardize(image_BHWC), nothing_BK, size)
  apply = network.job.apply_with_embedding if with_embedding else network.job.apply_with_tta
  output = np.asarray(apply(network.params, batch))[:num]
  return special.softmax(output[:, :num_classes].astype(np.float64), axis=1), output[:, num_classes:]
