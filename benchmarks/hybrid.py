"""Tops on the same features: softmax, support vector regression, RBF neurons, and scikit-learn's SVC beside them.

    python -m benchmarks.hybrid --data_dir=FOLDER
    python -m benchmarks.hybrid --data_dir=FOLDER --run=RUN --epochs=2

The first trains the study's 32x32 network with a softmax and compares tops on its features; the second does so on the
features of a run of any other network that is trained already. Every top is fitted on the training images; where
epochs are chosen, validation chooses; TEST chooses nothing. Prints a page of Markdown.
"""

from __future__ import annotations

import argparse
import dataclasses
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
from bloodcell_jax.data import dataset
from bloodcell_jax.heads import rbf, svr
from bloodcell_jax.models import rbf as rbf_layer
from bloodcell_jax.runs import forward, job, opening, output_layer, stage_training
from bloodcell_jax.stats import bootstrap, calibration, paired
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import progress, signals
from configs import cnn_svr, default

SPLITS = ('validation', 'test')
NUM_FEATURES = 300  # of the kernel's approximations
SEED = 0


@dataclasses.dataclass(frozen=True)
class Contender:
  """A top: what it predicts, and what it took."""

  name: str
  seconds: float  # of fitting or training, from the features or network that the softmax left
  predictions: dict[str, types.Predictions]  # by split
  has_probabilities: bool


@dataclasses.dataclass(frozen=True)
class Features:
  """What the tops see."""

  train_ND: np.ndarray
  label_N: np.ndarray
  of_split: dict[str, np.ndarray]
  tables: dict[str, types.Table]


def features(made: job.Job, params: Any) -> Features:
  """The features of the training images and of each split."""
  rows = {split: made.data.rows[split] for split in ('train', *SPLITS)}
  found = {k: output_layer.embed(made, made.model, params, made.in_order(r)) for k, r in rows.items()}
  tables = {split: made.data.table.take(rows[split]) for split in SPLITS}
  return Features(found['train'], made.data.table.label[rows['train']], found, tables)


def on_features(given: Features, num_classes: int, spec: svr.Spec, num_neurons: int) -> Iterator[Contender]:
  """The tops that are fitted on the features and change nothing below."""
  x_ND, ones = given.train_ND, np.ones(len(given.label_N))
  target_NK = 2 * np.eye(num_classes)[given.label_N] - 1
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

    def answers(x: np.ndarray) -> np.ndarray:
      pieces = [x[i : i + 256] for i in range(0, len(x), 256)]
      return np.concatenate([np.asarray(rbf_layer.activations(p, centre_MD, log_width_M)) for p in pieces])

    kernel_MK, bias_K = rbf.outputs(answers(x_ND), target_NK, ones)
    return lambda x: answers(x) @ kernel_MK + bias_K

  yield regression('SVR, linear, JAX', lambda: linear(x_ND), given)
  yield regression(f'{num_neurons} RBF neurons, k-means and least squares', neurons, given)
  waves = kernel_svr.fourier(x_ND.shape[1], NUM_FEATURES, gamma, SEED)
  yield regression(f'SVR, {NUM_FEATURES} Fourier features, JAX', lambda: mapped(waves), given)
  landmarks = kernel_svr.nystroem(x_ND, NUM_FEATURES, gamma, SEED)
  yield regression(f'SVR, {NUM_FEATURES} landmarks (Nystroem), JAX', lambda: mapped(landmarks), given)
  yield regression('LinearSVR, scikit-learn', lambda: _linear_svr(x_ND, target_NK, spec), given)
  yield _svc(given, spec, gamma)
  yield regression(
    'SVR, RBF kernel, scikit-learn',
    lambda: kernel_svr.exact(x_ND, target_NK, ones, spec, 'rbf', gamma),
    given,
  )


def regression(
  name: str, fit: Callable[[], Callable[[np.ndarray], np.ndarray]], given: Features
) -> Contender:
  """A top whose outputs become probabilities at the temperature that validation teaches."""
  began = time.perf_counter()
  outputs = fit()
  seconds = time.perf_counter() - began
  found = {split: forward.of(outputs(given.of_split[split]), given.tables[split]) for split in SPLITS}
  return Contender(name, seconds, calibrated(found), True)


def calibrated(found: dict[str, types.Predictions]) -> dict[str, types.Predictions]:
  """The predictions at the temperature of the validation groups."""
  degrees = calibration.temperature(
    found['validation'], groups.equal_weights(found['validation'].group_N, 1.0)
  )
  return {split: calibration.scaled(one, degrees) for split, one in found.items()}


def _linear_svr(
  x_ND: np.ndarray, target_NK: np.ndarray, spec: svr.Spec
) -> Callable[[np.ndarray], np.ndarray]:
  import warnings

  from sklearn import exceptions, svm

  fitted = []
  with warnings.catch_warnings():
    # It stops at its limit of 1,000 rounds, as it comes; the page says how near it is.
    warnings.simplefilter('ignore', exceptions.ConvergenceWarning)
    for target_N in target_NK.T:
      fitted.append(svm.LinearSVR(C=spec.cost, epsilon=spec.epsilon, random_state=0).fit(x_ND, target_N))
  return lambda x: np.stack([one.predict(x) for one in fitted], 1)


def _svc(given: Features, spec: svr.Spec, gamma: float) -> Contender:
  from sklearn import svm

  began = time.perf_counter()
  fitted = svm.SVC(kernel='rbf', C=spec.cost, gamma=gamma).fit(given.train_ND, given.label_N)
  seconds = time.perf_counter() - began
  found = {}
  for split, table in given.tables.items():
    named_N = fitted.predict(given.of_split[split])
    one_hot_NK = np.eye(len(table.class_names))[named_N]
    found[split] = types.Predictions(one_hot_NK, table.label, table.group, table.file, table.class_names)
  return Contender('SVC, RBF kernel, scikit-learn', seconds, found, False)


def trained(
  name: str, flat: dict[str, Any], data: dataset.Dataset, pixels: Any, initial: Any, is_best: bool
) -> tuple[Contender, job.Job, Any]:
  """A run of these stages from these weights: its contender, job and weights, the best epoch's or the last one's."""
  exp = experiment.resolve(experiment.nest(flat))
  made = job.Job(exp, data, pixels, None, signals.Stop())
  fresh, given = tree.names(made.params), tree.names(initial) if initial is not None else {}
  # Weights that a new top adds are fresh, as are those of a dense layer that sees something else now.
  fits = {k: k in given and given[k].shape == leaf.shape for k, leaf in fresh.items()}
  begin = tree.nest({k: given[k] if fits[k] else leaf for k, leaf in fresh.items()})
  with tempfile.TemporaryDirectory() as place:
    folder, began = workdir.Workdir(place), time.perf_counter()
    stage_training.run(made, begin, folder, progress.Progress())
    seconds = time.perf_counter() - began
    params = opening.best(folder, made)[0] if is_best else opening.last(folder, made)
  found = {split: made.predict(params, split) for split in SPLITS}
  if exp.scored_loss == svr.NAME:
    found = calibrated(found)
  return Contender(name, seconds, found, True), made, params


def with_stage(flat: dict[str, Any], name: str, stage: Any) -> dict[str, Any]:
  """The config with this stage alone."""
  names = tuple(flat['stages.order'])
  kept = {k: v for k, v in flat.items() if not k.startswith(tuple(f'stages.{n}.' for n in names))}
  own = {f'stages.{name}.{k}': v for k, v in experiment.flat(stage).items()}
  return {**kept, **own, 'stages.order': [name]}


def hybrid(data_dir: str) -> Iterator[tuple[Contender, job.Job]]:
  """The 32x32 network: its softmax, tops on its features, and it tuned under each top."""
  places = {'data.source': 'kaggle', 'data.dir': data_dir} if data_dir else {}
  flats = {v: {**experiment.flat(cnn_svr.get_config(v)), **places} for v in ('softmax', 'svr', 'rbf')}
  flats['rbf']['model.auxiliary'] = False
  exp = experiment.resolve(experiment.nest(flats['softmax']))
  data = dataset.build(exp.data, exp.seed, tempfile.gettempdir(), lambda done, total: None)
  pixels = exp.transform.standardize
  epochs = exp.stages[0].fit.epochs
  softmax, made, params = trained(f'softmax, {epochs} epochs', flats['softmax'], data, pixels, None, False)
  yield softmax, made
  for name, variant in (('SVR, tuned as a whole', 'svr'), ('RBF neurons, tuned as a whole', 'rbf')):
    stage = cnn_svr.get_config(variant).stages[variant]
    flat = with_stage(flats[variant], variant, stage)
    yield trained(f'{name}, {stage.epochs} epochs', flat, data, pixels, params, True)[0], made
  more = default.stage(cnn_svr.ALL, stage.epochs, 'sgd', stage.learning_rate)
  more.momentum = 0.9
  flat = with_stage(flats['softmax'], 'more', more)
  yield trained(f'softmax, {stage.epochs} more epochs', flat, data, pixels, params, True)[0], made
  seen = features(made, params)
  for one in on_features(seen, made.num_classes, exp.svr, exp.model.rbf_units):
    yield one, made


def of_run(path: str, data_dir: str, epochs: int) -> Iterator[tuple[Contender, job.Job]]:
  """The best epoch of a trained run: its softmax, tops on its features, and it tuned under each top for some epochs."""
  folder, shown = workdir.Workdir(path), progress.Progress()
  # A run from before a key was there takes the value that changes nothing.
  flat = {**experiment.flat(default.get_config()), **folder.read_config()}
  flat = {**flat, **({'data.dir': data_dir} if data_dir else {}), 'data.cache': 'auto'}
  for name in flat['stages.order']:
    for key, value in experiment.flat(default.stage(('.*',), 1, 'sgd', 0.1)).items():
      flat.setdefault(f'stages.{name}.{key}', value)
  exp = experiment.from_flat(flat)
  stop = signals.Stop()
  data = opening.read_data(opening.reader(exp, folder.cache), stop, shown)
  pixels = opening.kept_pixels(folder, exp)
  made = job.Job(exp, data, pixels, opening.statistics(folder, pixels, data, shown), stop)
  params, origin = opening.best(folder, made)
  found = {split: made.predict(params, split) for split in SPLITS}
  yield Contender(f'softmax, the run of {origin["epochs"]} epochs', np.nan, found, True), made
  seen = features(made, params)
  for one in on_features(seen, made.num_classes, exp.svr, exp.model.rbf_units):
    yield one, made
  for variant in ('svr', 'rbf', 'softmax') if epochs else ():
    stage = default.stage(('.*',), epochs, 'sgd', 1e-4)
    stage.momentum = 0.9
    stage.loss = svr.NAME if variant == svr.NAME else stages.CROSS_ENTROPY
    stage.output_layer = variant if variant in stages.OUTPUT_LAYERS else ''
    own = {**with_stage(flat, variant, stage), 'weights.path': '', 'train.monitor': 'val_accuracy'}
    if variant == rbf.NAME:
      own['model.head'] = rbf.NAME
    name = f'{variant}, tuned as a whole, {epochs} epochs'
    yield trained(name, own, data, pixels, params, True)[0], made


HEAD = """| top | seconds | validation accuracy | TEST accuracy | TEST macro F1 | TEST log loss | accuracy gained | p |
|---|---:|---:|---:|---:|---:|---:|---:|"""


def row(one: Contender, first: Contender, exp: experiment.Experiment) -> str:
  """The line of a top, beside the first."""
  entry = bootstrap.summary(one.predictions['test'], exp.intervals, exp.seed)
  validation = forward.figures(one.predictions['validation'])['val_accuracy']
  gained, p = '', ''
  if one is not first:
    found = paired.compare(first.predictions['test'], one.predictions['test'], exp.intervals, exp.seed)
    gained, p = _interval(found['accuracy'], 'difference', '+.3f'), f'{found["accuracy"]["p_value"]:.2f}'
  loss = _interval(entry['log_loss'], 'value', '.2f') if one.has_probabilities else ''
  seconds = '' if np.isnan(one.seconds) else f'{one.seconds:.1f}'
  figures = ' | '.join(_interval(entry[name], 'value', '.3f') for name in ('accuracy', 'macro_f1'))
  return f'| {one.name} | {seconds} | {validation:.3f} | {figures} | {loss} | {gained} | {p} |'


def _interval(entry: dict[str, Any], key: str, form: str) -> str:
  return f'{entry[key]:{form}} [{entry["low"]:{form}}, {entry["high"]:{form}}]'


def main() -> None:
  """Prints the page, each line when it is known; what training says goes before it."""
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  parser.add_argument('--data_dir', default='', help='the Kaggle images; empty for synthetic ones')
  parser.add_argument('--run', default='', help='folder of a trained run, whose features are taken')
  parser.add_argument('--epochs', type=int, default=2, help='of tuning such a run under each top; 0 for none')
  given = parser.parse_args()
  rows, first = [HEAD], None
  for one, made in of_run(given.run, given.data_dir, given.epochs) if given.run else hybrid(given.data_dir):
    first = first or one
    rows.append(row(one, first, made.experiment))
    print(rows[-1], flush=True)
  print('\n'.join(rows))


if __name__ == '__main__':
  main()
