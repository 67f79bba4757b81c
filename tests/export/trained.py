"""Classifiers for the tests of the export, as a run leaves them but untrained, and the folder of such a run."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from typing import Any

import jax
import numpy as np

from bloodcell_jax.base import tree, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset, reading
from bloodcell_jax.data.augmentation import standardize
from bloodcell_jax.export import samples
from bloodcell_jax.inference import classifier
from bloodcell_jax.runs import job, scoring
from bloodcell_jax.stats import bootstrap, calibration, conformal
from bloodcell_jax.storage import calibration_file, workdir
from bloodcell_jax.system import atomic
from bloodcell_jax.train import checkpoint, checkpoint_folder, history, signals
from configs import cnn_a, cnn_b

# The smallest sides that leave a pixel after the last pooling; vgg16 takes any from 32 on.
SIZES = {'cnn_a': 46, 'cnn_b': 94, 'vgg16': 32}
_SMALL = {
  'data.embedded.num_train': 2, 'data.embedded.num_test': 2, 'data.embedded.num_copies': 2,
  'data.embedded.height': 60, 'data.embedded.width': 80, 'data.pipeline': 'numpy', 'data.cache': 'memory',
  'data.validation_fraction': 0.5, 'evaluate.batch_size': 5, 'evaluate.num_resamples': 100, 'train.epochs': 1,
}  # fmt: skip
RULE = calibration.Calibration(1.6, 0.05, 0.7, conformal.Conformal('lac', 0.1, 0.8), 16, 8)


def config(model: str, **changes: Any) -> dict[str, Any]:
  """The flat config of the study's network, or of vgg16 with random weights."""
  study = cnn_b if model == 'cnn_b' else cnn_a
  flat = {
    **experiment.flat(study.get_config()),
    **_SMALL,
    'data.image_size': SIZES[model],
    'model.name': model,
  }
  return {**flat, **changes}


@functools.cache
def data(image_size: int) -> dataset.Dataset:
  """The drawn smears at this size."""
  exp = experiment.resolve(experiment.nest(config('cnn_a', **{'data.image_size': image_size})))
  return reading.build(exp.data, exp.seed, '/nonexistent', lambda done, total: None)


def images(image_size: int, num: int) -> samples.Samples:
  """The first images of the test split."""
  read = data(image_size)
  rows = read.rows['test'][:: len(read.rows['test']) // num][:num]
  return samples.Samples('test', read.table.take(rows), read.image_NHWC[rows])


def load(model: str, rule: calibration.Calibration | None, **changes: Any) -> classifier.Classifier:
  """A classifier whose probabilities differ from image to image and from class to class."""
  exp = experiment.resolve(experiment.nest(config(model, **changes)))
  read = data(exp.data.decode.image_size)
  pixels, rows = exp.transform.standardize, read.rows['train']
  statistics = None
  if pixels.centers:
    statistics = standardize.fit(pixels, lambda chosen: read.image_NHWC[rows[chosen]], len(rows))
  made = job.Job(exp, read, pixels, statistics, signals.Stop())
  note = scoring.note(True, read.leaking().counts())
  origin = {'best_epoch': 1, 'epochs': 1}
  loaded = classifier.from_network(made, made.params, rule, note, origin)
  return classifier.from_network(made, _spread(loaded, read.image_NHWC[:5]), rule, note, origin)


def _spread(loaded: classifier.Classifier, image_BHWC: np.ndarray) -> Any:
  """The parameters with the last layer so that logits have mean 0 and deviation 2 over these images, class by class."""
  leaves = tree.names(loaded.params)
  last = sorted({name.split('/')[0] for name in leaves if name.startswith('dense_')})[-1]
  log_BK = np.log(loaded.probabilities(image_BHWC))
  log_BK -= log_BK.mean(1, keepdims=True)
  scale_K = (2 / np.maximum(log_BK.std(0), 1e-6)).astype(np.float32)
  leaves[f'{last}/kernel'] = leaves[f'{last}/kernel'] * scale_K.reshape(1, -1)
  leaves[f'{last}/bias'] = leaves[f'{last}/bias'] - (scale_K * log_BK.mean(0)).astype(np.float32)
  return jax.tree.map(np.asarray, tree.nest(leaves))


def write_run(path: pathlib.Path, loaded: classifier.Classifier) -> workdir.Workdir:
  """The folder of a finished and evaluated run of this classifier, without its pictures."""
  folder, made = workdir.Workdir(path), loaded.job
  exp, read = made.experiment, made.data
  stage = exp.stages[0]
  folder.write_config(config(exp.model.name))
  about = {
    'name': read.table.name,
    'synthetic': read.table.synthetic,
    'fingerprint': read.fingerprint(),
    'class_names': list(read.table.class_names),
    'counts': {split: {k: list(v) for k, v in classes.items()} for split, classes in read.counts().items()},
    'skipped': [],
    'num_converted': 0,
    'leaks': read.leaking().counts(),
  }
  folder.write_environment(made.devices, about, {})
  stage_info = checkpoint_folder.StageInfo(stage.fit.name, '', dataclasses.asdict(made.transform.standardize))
  record = history.Record(1, 1, stage.fit.name, 1.0, 0.5, 1.0, 0.5, 0.001, 1.0, 1.0, None)
  store = checkpoint.Store(folder.checkpoints, exp.monitor)
  store.save(
    checkpoint.Saved(made.initial_state(stage, loaded.params, 1), [record], 0.0, stage_info),
    is_candidate=True,
  )
  store.close()
  found = made.predict(loaded.params, 'test')
  entry = bootstrap.summary(found, exp.intervals, exp.seed)
  leak = read.leaking().counts()
  entry |= {'note': loaded.note, 'leak': leak, 'checkpoint': loaded.origin}
  atomic.write_json(folder.metrics, {'test': entry})
  if loaded.rule:
    calibration_file.write(folder, loaded.rule, None)
  return folder


def probabilities(loaded: classifier.Classifier, image_NHWC: np.ndarray) -> np.ndarray:
  """[N, K] by the project's own functions, at the rule's temperature."""
  probs_NK = np.concatenate([loaded.probabilities(image_HWC[None]) for image_HWC in image_NHWC])
  none = np.zeros(len(probs_NK), np.int32)
  found = types.Predictions(probs_NK, none, none.astype(str), none.astype(str), loaded.class_names)
  return calibration.scaled(found, loaded.rule.temperature).probs_NK if loaded.rule else probs_NK
