"""Output layers on the same features: softmax, support vector regression, RBF neurons, and scikit-learn's SVC.

    python -m benchmarks.hybrid --data_dir=FOLDER
    python -m benchmarks.hybrid --data_dir=FOLDER --run=RUN --epochs=2

The first command trains the study's 32x32 network with a softmax and compares output layers on its features; the second
does so on the features of a finished run of any network. Every output layer is fitted on the training images; epochs
are chosen by validation; nothing is chosen on TEST. Prints a page of Markdown.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bloodcell_jax.system import process

process.set_up()

from benchmarks import kernel_svr
from bloodcell_jax.base import groups, tree, types
from bloodcell_jax.config import experiment, stages
from bloodcell_jax.data import dataset, reading
from bloodcell_jax.heads import rbf, svr
from bloodcell_jax.runs import (
  forward,
  input_pixels,
  output_layer,
  output_weights,
  run_data,
  saved_run,
  stage_training,
)
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.stats import bootstrap, calibration, paired
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import progress, signals
from configs import cnn_svr, default

SPLITS = ('validation', 'test')
NUM_FEATURES = 300  # of the kernel approximations
SEED = 0


@dataclasses.dataclass(frozen=True)
class Contender:
  """An output layer: its predictions, and the time to fit it."""

  name: str
  seconds: float  # of fitting or training, starting from the features or the network with the softmax
  predictions: dict[str, types.Predictions]  # by split
  has_probabilities: bool


@dataclasses.dataclass(frozen=True)
class Features:
  """Input of the output layers."""

  train_ND: np.ndarray
  label_N: np.ndarray
  split_ND: dict[str, np.ndarray]
  tables: dict[str, types.Table]


def features(job: job_lib.Job, params: Any) -> Features:
  """The features of the training images and of each split."""
  rows = {split: job.data.rows[split] for split in ('train', *SPLITS)}
  embedding = {k: output_layer.embed(job, job.model, params, job.in_order(r)) for k, r in rows.items()}
  tables = {split: job.data.table.take(rows[split]) for split in SPLITS}
  return Features(embedding['train'], job.data.table.label[rows['train']], embedding, tables)


def on_features(inputs: Features, num_classes: int, spec: svr.Spec, num_neurons: int) -> Iterator[Contender]:
  """The output layers that are fitted on fixed features."""
  x_ND, ones = inputs.train_ND, np.ones(len(inputs.label_N))
  target_NK = 2 * np.eye(num_classes)[inputs.label_N] - 1
  gamma = kernel_svr.gamma_scale(x_ND)

  def linear(feature_ND: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    fitted = svr.fit(feature_ND, target_NK, ones, spec)
    return lambda x: x @ fitted.kernel_DK + fitted.bias_K

  def mapped(mapping: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], np.ndarray]:
    regress = linear(np.asarray(mapping(x_ND)))
    return lambda x: regress(np.asarray(mapping(x)))

  def neurons() -> Callable[[np.ndarray], np.ndarray]:
    centre_MD = rbf.centres(x_ND, num_neurons, SEED)
    log_width_M = np.log(rbf.widths(centre_MD, x_ND))
    layer = {'rbf_1': {'centre': centre_MD, 'log_width': log_width_M}}
    activate = functools.partial(output_weights.inputs, layer)
    kernel_MK, bias_K = rbf.outputs(activate(x_ND), target_NK, ones)
    return lambda x: activate(x) @ kernel_MK + bias_K

  yield regression('SVR, linear, JAX', lambda: linear(x_ND), inputs)
  yield regression(f'{num_neurons} RBF neurons, k-means and least squares', neurons, inputs)
  waves = kernel_svr.fourier(x_ND.shape[1], NUM_FEATURES, gamma, SEED)
  yield regression(f'SVR, {NUM_FEATURES} Fourier features, JAX', lambda: mapped(waves), inputs)
  landmarks = kernel_svr.nystroem(x_ND, NUM_FEATURES, gamma, SEED)
  yield regression(f'SVR, {NUM_FEATURES} landmarks (Nystroem), JAX', lambda: mapped(landmarks), inputs)
  yield regression('LinearSVR, scikit-learn', lambda: _linear_svr(x_ND, target_NK, spec), inputs)
  yield _svc(inputs, spec, gamma)
  yield regression(
    'SVR, RBF kernel, scikit-learn',
    lambda: kernel_svr.exact(x_ND, target_NK, ones, spec, 'rbf', gamma),
    inputs,
  )


def regression(
  name: str, fit: Callable[[], Callable[[np.ndarray], np.ndarray]], inputs: Features
) -> Contender:
  """An output layer whose outputs become probabilities at a temperature fitted on validation."""
  began = time.perf_counter()
  outputs = fit()
  seconds = time.perf_counter() - began
  predictions = {
    split: forward.from_logits(outputs(inputs.split_ND[split]), inputs.tables[split]) for split in SPLITS
  }
  return Contender(name, seconds, calibrated(predictions), True)


def calibrated(predictions: dict[str, types.Predictions]) -> dict[str, types.Predictions]:
  """The predictions at the temperature of the validation groups."""
  degrees = calibration.fit_temperature(
    predictions['validation'], groups.equal_weights(predictions['validation'].group_N, 1.0)
  )
  return {split: calibration.scaled(one, degrees) for split, one in predictions.items()}


def _linear_svr(
  x_ND: np.ndarray, target_NK: np.ndarray, spec: svr.Spec
) -> Callable[[np.ndarray], np.ndarray]:
  import warnings

  from sklearn import exceptions, svm

  fitted = []
  with warnings.catch_warnings():
    # With its defaults it stops at the limit of 1,000 iterations.
    warnings.simplefilter('ignore', exceptions.ConvergenceWarning)
    for target_N in target_NK.T:
      fitted.append(svm.LinearSVR(C=spec.cost, epsilon=spec.epsilon, random_state=0).fit(x_ND, target_N))
  return lambda x: np.stack([one.predict(x) for one in fitted], 1)


def _svc(inputs: Features, spec: svr.Spec, gamma: float) -> Contender:
  from sklearn import svm

  began = time.perf_counter()
  fitted = svm.SVC(kernel='rbf', C=spec.cost, gamma=gamma).fit(inputs.train_ND, inputs.label_N)
  seconds = time.perf_counter() - began
  predictions = {}
  for split, table in inputs.tables.items():
    named_N = fitted.predict(inputs.split_ND[split])
    one_hot_NK = np.eye(len(table.class_names))[named_N]
    predictions[split] = types.Predictions(
      one_hot_NK, table.label, table.group, table.file, table.class_names
    )
  return Contender('SVC, RBF kernel, scikit-learn', seconds, predictions, False)


def train(
  name: str, flat: dict[str, Any], data: dataset.Dataset, pixels: Any, initial: Any, is_best: bool
) -> tuple[Contender, job_lib.Job, Any]:
  """Trains these stages from these weights; returns the contender, job and weights of the best or last epoch."""
  exp = experiment.resolve(experiment.nest(flat))
  job = job_lib.Job(exp, data, pixels, None, signals.Stop())
  fresh, old = tree.names(job.params), tree.names(initial) if initial is not None else {}
  # Weights that a new output layer adds are fresh, as are those whose shape has changed.
  fits = {k: k in old and old[k].shape == leaf.shape for k, leaf in fresh.items()}
  begin = tree.nest({k: old[k] if fits[k] else leaf for k, leaf in fresh.items()})
  with tempfile.TemporaryDirectory() as path:
    folder, began = workdir.Workdir(path), time.perf_counter()
    stage_training.run(job, begin, folder, progress.Progress())
    seconds = time.perf_counter() - began
    params = saved_run.best(folder, job)[0] if is_best else saved_run.last(folder, job)
  predictions = {split: job.predict(params, split) for split in SPLITS}
  if exp.scored_loss == svr.NAME:
    predictions = calibrated(predictions)
  return Contender(name, seconds, predictions, True), job, params


def with_stage(flat: dict[str, Any], name: str, stage: Any) -> dict[str, Any]:
  """The config with this stage alone."""
  names = tuple(flat['stages.order'])
  kept = {k: v for k, v in flat.items() if not k.startswith(tuple(f'stages.{n}.' for n in names))}
  own = {f'stages.{name}.{k}': v for k, v in experiment.flat(stage).items()}
  return {**kept, **own, 'stages.order': [name]}


def hybrid(data_dir: str) -> Iterator[tuple[Contender, job_lib.Job]]:
  """The 32x32 network: its softmax, output layers on its features, and the network fine-tuned with each of them."""
  places = {'data.source': 'kaggle', 'data.dir': data_dir} if data_dir else {}
  flats = {v: {**experiment.flat(cnn_svr.get_config(v)), **places} for v in ('softmax', 'svr', 'rbf')}
  flats['rbf']['model.auxiliary'] = False
  exp = experiment.resolve(experiment.nest(flats['softmax']))
  data = reading.build(exp.data, exp.seed, tempfile.gettempdir(), lambda done, total: None)
  pixels = exp.transform.standardize
  epochs = exp.stages[0].fit.epochs
  softmax, job, params = train(f'softmax, {epochs} epochs', flats['softmax'], data, pixels, None, False)
  yield softmax, job
  for name, variant in (('SVR, fine-tuned as a whole', 'svr'), ('RBF neurons, fine-tuned as a whole', 'rbf')):
    stage = cnn_svr.get_config(variant).stages[variant]
    flat = with_stage(flats[variant], variant, stage)
    yield train(f'{name}, {stage.epochs} epochs', flat, data, pixels, params, True)[0], job
  more = default.stage(cnn_svr.ALL, stage.epochs, 'sgd', stage.learning_rate)
  more.momentum = 0.9
  flat = with_stage(flats['softmax'], 'more', more)
  yield train(f'softmax, {stage.epochs} more epochs', flat, data, pixels, params, True)[0], job
  inputs = features(job, params)
  for one in on_features(inputs, job.num_classes, exp.svr, exp.model.rbf_units):
    yield one, job


def from_run(path: str, data_dir: str, epochs: int) -> Iterator[tuple[Contender, job_lib.Job]]:
  """The best epoch of a run: its softmax, output layers on its features, and the network fine-tuned with each."""
  folder, lines = workdir.Workdir(path), progress.Progress()
  # A run older than a key gets the default.
  flat = {**experiment.flat(default.get_config()), **folder.read_config()}
  flat = {**flat, **({'data.dir': data_dir} if data_dir else {}), 'data.cache': 'auto'}
  for name in flat['stages.order']:
    for key, value in experiment.flat(default.stage(('.*',), 1, 'sgd', 0.1)).items():
      flat.setdefault(f'stages.{name}.{key}', value)
  exp = experiment.from_flat(flat)
  stop = signals.Stop()
  data = run_data.read(run_data.reader(exp, folder.cache), stop, lines)
  pixels = input_pixels.saved(folder, exp)
  job = job_lib.Job(exp, data, pixels, input_pixels.statistics(folder, pixels, data, lines), stop)
  params, origin = saved_run.best(folder, job)
  predictions = {split: job.predict(params, split) for split in SPLITS}
  yield Contender(f'softmax, the run of {origin["epochs"]} epochs', np.nan, predictions, True), job
  inputs = features(job, params)
  for one in on_features(inputs, job.num_classes, exp.svr, exp.model.rbf_units):
    yield one, job
  for variant in ('svr', 'rbf', 'softmax') if epochs else ():
    stage = default.stage(('.*',), epochs, 'sgd', 1e-4)
    stage.momentum = 0.9
    stage.loss = svr.NAME if variant == svr.NAME else stages.CROSS_ENTROPY
    stage.output_layer = variant if variant in stages.OUTPUT_LAYERS else ''
    own = {**with_stage(flat, variant, stage), 'weights.path': '', 'train.monitor': 'val_accuracy'}
    if variant == rbf.NAME:
      own['model.head'] = rbf.NAME
    name = f'{variant}, fine-tuned as a whole, {epochs} epochs'
    yield train(name, own, data, pixels, params, True)[0], job


HEAD = """| output layer | seconds | validation accuracy | TEST accuracy | TEST macro F1 | TEST log loss | gain | p |
|---|---:|---:|---:|---:|---:|---:|---:|"""


def row(one: Contender, first: Contender, exp: experiment.Experiment) -> str:
  """The row of an output layer, compared with the first."""
  entry = bootstrap.summary(one.predictions['test'], exp.intervals, exp.seed)
  validation = forward.figures(one.predictions['validation'])['val_accuracy']
  gained, p = '', ''
  if one is not first:
    gain = paired.compare(
      first.predictions['test'], one.predictions['test'], paired.headlines(), exp.intervals, exp.seed
    )
    gained, p = _interval(gain['accuracy'], 'difference', '+.3f'), f'{gain["accuracy"]["p_value"]:.2f}'
  loss = _interval(entry['log_loss'], 'value', '.2f') if one.has_probabilities else ''
  seconds = '' if np.isnan(one.seconds) else f'{one.seconds:.1f}'
  figures = ' | '.join(_interval(entry[name], 'value', '.3f') for name in ('accuracy', 'macro_f1'))
  return f'| {one.name} | {seconds} | {validation:.3f} | {figures} | {loss} | {gained} | {p} |'


def _interval(entry: dict[str, Any], key: str, form: str) -> str:
  return f'{entry[key]:{form}} [{entry["low"]:{form}}, {entry["high"]:{form}}]'


def main() -> None:
  """Prints each row when it is known, between the lines of training, and the whole page at the end."""
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  parser.add_argument('--data_dir', default='', help='the Kaggle images; empty for synthetic ones')
  parser.add_argument('--run', default='', help='folder of a finished run, whose features are used')
  parser.add_argument(
    '--epochs', type=int, default=2, help='of fine-tuning the run with each output layer; 0 for none'
  )
  flags = parser.parse_args()
  rows, first = [HEAD], None
  for one, job in from_run(flags.run, flags.data_dir, flags.epochs) if flags.run else hybrid(flags.data_dir):
    first = first or one
    rows.append(row(one, first, job.experiment))
    print(rows[-1], flush=True)
  print('\n'.join(rows))


if __name__ == '__main__':
  main()
