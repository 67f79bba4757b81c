"""Trees fitted on a network's features and compared with its predictions, written to `trees/KIND` of the run."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from bloodcell_jax.base import run_format, shell, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.heads import importance, trees
from bloodcell_jax.plots import figure
from bloodcell_jax.plots import trees as plot
from bloodcell_jax.runs import comparison, model_set, output_layer, scoring, validation_rule
from bloodcell_jax.stats import bootstrap, paired
from bloodcell_jax.storage import predictions_csv, workdir
from bloodcell_jax.system import atomic
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals

# The input of the head; the last feature map, flattened; its channels, averaged over positions.
FEATURES = ('embedding', 'map', 'average')


@dataclasses.dataclass(frozen=True)
class Features:
  """The network's features of some rows of the data."""

  rows: np.ndarray  # ascending, of the data's table
  feature_ND: np.ndarray  # float32, of those rows
  unit_D: np.ndarray  # int: the unit or channel of each feature
  unit: str  # unit or channel


def run(
  folder: workdir.Workdir,
  exp: experiment.Experiment,
  data: dataset.Dataset,
  features: str,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> None:
  """Fits both kinds of trees on the run's training images and writes each as a run of its own to `trees/KIND`.

  Each folder holds `config.json`, `environment.json`, `predictions`, `groups`, `review`, `figures`, `metrics.json`
  and `calibration.json`, as any run, and `trees.json`: features, settings, out-of-bag errors, importance and the
  comparison with the network. The trees themselves are not saved: the same run gives the same trees again.

  **Guarantees**: files of earlier trees are replaced; the run's own files are not touched.

  Args:
    folder: a trained and evaluated run of a single network.
    exp: the run's experiment.
    data: the run's images.
    features: one of FEATURES.
    stop: polled between batches, trees and permutations.
    progress: where progress is printed.

  Raises:
    UserError: the run has several networks or was not evaluated, its data has changed, or training lacks a class.
    RunError: a feature is not finite.
    signals.Stopped: a stop was requested.
  """
  if features not in FEATURES:
    raise types.UserError(f'--features is {features!r}; choose one of {", ".join(FEATURES)}')
  if (exp.ensemble.method and not exp.ensemble.member) or (
    exp.cross_validation.folds and not exp.cross_validation.fold
  ):
    raise types.UserError(f'{folder.path}: holds several networks; name the folder of one of them')
  folder.check_data(data.fingerprint())
  scored = scoring.known(exp.evaluate_splits, data.rows)
  for split in scored:
    if not folder.predictions(split).exists():
      raise types.UserError(
        f'{folder.predictions(split)}: missing; run `evaluate --workdir={shell.word(folder.path)}` first'
      )
  network, origin = model_set.load_network(folder, exp, data, stop, progress)
  extracted = extract(network, list(dict.fromkeys(('train', 'validation', *scored))), features)
  progress.line(
    f'trees on {extracted.feature_ND.shape[1]} features of {len(extracted.rows):,} images ({features})'
  )
  for kind in trees.KINDS:
    _write(folder, kind, network, origin, extracted, features, scored, progress)


def extract(network: model_set.Network, splits: list[str], features: str) -> Features:
  """The features of all images of these splits, each image once.

  Raises:
    signals.Stopped: a stop was requested.
  """
  job = network.job
  rows = np.unique(np.concatenate([job.data.rows[split] for split in splits]))
  batches = job.in_order(rows)
  if features == 'embedding':
    feature_ND = output_layer.embed(job, job.model, network.params, batches)
    return Features(rows, feature_ND.astype(np.float32), np.arange(feature_ND.shape[1]), 'unit')
  apply, parts = job.make_apply(job.model, method=_map), []
  for batch in batches:
    job.poll()
    map_BHWC = apply(network.params, batch)[np.asarray(batch.weight_B) > 0]
    parts.append(map_BHWC.mean((1, 2)) if features == 'average' else map_BHWC.reshape(len(map_BHWC), -1))
  feature_ND = np.concatenate(parts).astype(np.float32)
  # In a flattened map the channel index varies fastest.
  channel_D = np.arange(feature_ND.shape[1]) % map_BHWC.shape[-1]
  return Features(rows, feature_ND, channel_D, 'channel')


def _map(model: Any, image_BHWC: Any, position_B: Any, train: bool) -> Any:
  return model.features(image_BHWC)


def _rows(data: dataset.Dataset, extracted: Features, split: str) -> trees.Rows:
  rows = data.rows[split]
  feature_ND = extracted.feature_ND[np.searchsorted(extracted.rows, rows)]
  return trees.Rows(feature_ND, data.table.label[rows], data.table.group[rows])


def _write(
  folder: workdir.Workdir,
  kind: str,
  network: model_set.Network,
  origin: dict[str, int],
  extracted: Features,
  features: str,
  scored: list[str],
  progress: progress_lib.Progress,
) -> None:
  job, exp, data = network.job, network.job.experiment, network.job.data
  class_names = data.table.class_names
  rows_of = functools.cache(functools.partial(_rows, data, extracted))
  stream = run_format.bag_stream(exp.format, 'forest bags')
  fitted = trees.fit(
    kind, rows_of('train'), rows_of('validation'), class_names, exp.trees, exp.seed, stream, job.poll
  )
  predictions = {
    split: _predicted(fitted, data, rows_of, split) for split in dict.fromkeys(('validation', *scored))
  }
  permuted = importance.permute(
    fitted, rows_of('validation'), extracted.unit_D, exp.trees.num_permutations, exp.seed, job.poll
  )
  trees_folder = workdir.Workdir(folder.path / 'trees' / kind)
  environment = folder.read_environment()
  note = scoring.note(environment['data']['synthetic'], environment['data']['leaks'])
  trees_folder.metrics.unlink(missing_ok=True)
  settings = {f'trees.{key}': value for key, value in dataclasses.asdict(exp.trees).items()}
  evaluation = {f'evaluate.{key}': value for key, value in exp.evaluation.items()}
  atomic.write_json(trees_folder.config, {**folder.read_config(), **settings, **evaluation})
  atomic.write_json(trees_folder.environment, environment)
  rule = validation_rule.fit(predictions['validation'], exp, 1.0)
  validation_rule.write(trees_folder, rule, None, progress)
  comparisons = {}
  for split in scored:
    figures = scoring.write(
      trees_folder,
      split,
      predictions[split],
      exp,
      note,
      origin,
      rule,
      data.image_of(split),
      None,
      data.conversions(split),
    )
    progress.line(f'{kind}: {scoring.line(split, figures)}')
    comparisons[split] = paired.compare(
      predictions_csv.read(folder.predictions(split)),
      predictions[split],
      paired.headlines(),
      exp.intervals,
      exp.seed,
    )
    progress.line(f'{kind}, network to trees: {comparison.line(split, comparisons[split])}')
  impurity_U = (
    None if fitted.impurity_D is None else importance.sum_by_unit(fitted.impurity_D, extracted.unit_D)
  )
  out_of_bag = _out_of_bag(fitted, data, rows_of('train'), exp)
  if out_of_bag and 'accuracy' in out_of_bag['by_groups']:
    accuracy = out_of_bag['by_groups']['accuracy']['value']
    progress.line(f'{kind}: out-of-bag error {1 - accuracy:.3f}, bags drawn by groups')
  _draw(trees_folder, fitted, permuted, impurity_U, extracted, features, predictions, note)
  atomic.write_json(
    trees_folder.path / 'trees.json',
    {
      'kind': kind,
      'features': {
        'of': features, 'num': len(extracted.unit_D), 'importance_of': extracted.unit,
        'num_units': len(permuted.mean_U),
      },
      'settings': dataclasses.asdict(exp.trees),
      'seed': exp.seed,
      'num_used': fitted.num_used,
      'out_of_bag': out_of_bag,
      'validation_loss': None if fitted.loss_T is None else fitted.loss_T.tolist(),
      'importance': {
        'permutation': {
          'split': 'validation', 'mean': permuted.mean_U.tolist(), 'sd': permuted.sd_U.tolist(),
          'log_loss': permuted.loss,
        },
        'impurity': None if impurity_U is None else impurity_U.tolist(),
      },
      'compared': comparisons,
      'note': note,
    },
  )  # fmt: skip


def _predicted(fitted: trees.Fitted, data: dataset.Dataset, rows_of: Any, split: str) -> types.Predictions:
  return _answers(fitted.predict(rows_of(split).feature_ND), data, data.rows[split])


def _answers(probs_NK: np.ndarray, data: dataset.Dataset, rows: np.ndarray) -> types.Predictions:
  table = data.table.take(rows)
  return types.Predictions(probs_NK, table.label, table.group, table.file, table.class_names)


def _out_of_bag(
  fitted: trees.Fitted, data: dataset.Dataset, train: trees.Rows, exp: experiment.Experiment
) -> dict[str, Any] | None:
  """The forest's figures out of bag, with intervals by groups; None for boosting, which has no bags."""
  if fitted.out_of_bag is None:
    return None
  probs_NK = fitted.out_of_bag.probs_NK
  named_N = np.isfinite(probs_NK[:, 0])
  figures: dict[str, Any] = {}
  if named_N.any():
    # A row that a bagged network was trained on twice appears twice.
    left = types.Predictions(
      probs_NK[named_N],
      train.label_N[named_N],
      train.group_N[named_N],
      data.table.file[data.rows['train'][named_N]],
      data.table.class_names,
    )
    figures = bootstrap.figures(left, ('accuracy', 'macro_f1', 'log_loss'), exp.intervals, exp.seed)
  return {
    'by_groups': {
      'num_images': int(named_N.sum()),
      'num_groups': len(np.unique(train.group_N[named_N])),
      **figures,
    },
    'error_by_trees': [None if np.isnan(x) else x for x in fitted.out_of_bag.error_T.tolist()],
  }


def _draw(
  trees_folder: workdir.Workdir,
  fitted: trees.Fitted,
  permuted: importance.PermutationImportance,
  impurity_U: np.ndarray | None,
  extracted: Features,
  features: str,
  predictions: dict[str, types.Predictions],
  note: str,
) -> None:
  kind = fitted.kind.replace('_', ' ')
  title = f'{kind} on {len(extracted.unit_D)} features ({features}): {len(permuted.mean_U)} {extracted.unit}s'
  bars = plot.importance(permuted.mean_U, permuted.sd_U, impurity_U, extracted.unit, title)
  figure.write(trees_folder.figures / 'importance.png', bars, note)
  if fitted.out_of_bag is not None:
    levels = {
      split: float((answers.probs_NK.argmax(1) != answers.label_N).mean())
      for split, answers in predictions.items()
    }
    curve = plot.error(fitted.out_of_bag.error_T, levels, 'out of bag, by groups', True, f'{kind}: errors')
  else:
    assert fitted.loss_T is not None, 'boosting has no bags'
    levels = {f'the best, round {fitted.num_used}': float(fitted.loss_T[fitted.num_used])}
    curve = plot.error(
      fitted.loss_T[1:], levels, 'validation, groups weighted equally', False, f'{kind}: log loss'
    )
  figure.write(trees_folder.figures / 'error_by_trees.png', curve, note)
