"""Trees fitted on a network's features and compared with its predictions, written to `trees/KIND` of the run."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import run_format, shell, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.heads import importance, trees
from bloodcell_jax.plots import figure
from bloodcell_jax.plots import trees as plot
from bloodcell_jax.runs import comparison, model_set, scoring, tree_features, validation_rule
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.stats import bootstrap, paired
from bloodcell_jax.storage import predictions_csv, workdir
from bloodcell_jax.system import atomic
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals


def run(
  folder: workdir.Workdir,
  exp: experiment.Experiment,
  data: dataset.Dataset,
  features: str,
  kinds: Sequence[str],
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> None:
  """Fits trees on the run's training images and writes each kind as a run of its own to `trees/KIND`.

  Each folder holds `config.json`, `environment.json`, `predictions`, `groups`, `review`, `figures`, `metrics.json`
  and `calibration.json`, as any run, and `trees.json`: features, settings, out-of-bag errors, importance and the
  comparison with the network. The trees themselves are not saved: the same run gives the same trees again.

  **Guarantees**: files of earlier trees of these kinds are replaced; the run's own files are not touched. Whenever the
  process ends, `trees.json` stands beside the complete files of its kind, or is not there.

  Args:
    folder: a trained and evaluated run of a single network.
    exp: the run's experiment.
    data: the run's images.
    features: one of `tree_features.FEATURES`.
    kinds: of `trees.KINDS`.
    stop: polled between batches, trees and permutations.
    progress: where progress is printed.

  Raises:
    UserError: the run has several networks or was not evaluated, its data has changed, or training lacks a class.
    RunError: a feature is not finite.
    signals.Stopped: a stop was requested.
  """
  if features not in tree_features.FEATURES:
    raise types.UserError(f'--features is {features!r}; choose one of {", ".join(tree_features.FEATURES)}')
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
  extracted = tree_features.of_images(
    network, list(dict.fromkeys(('train', 'validation', *scored))), features
  )
  progress.line(
    f'trees on {extracted.feature_ND.shape[1]} features of {len(extracted.rows):,} images ({features})'
  )
  for kind in kinds:
    grown = _grow(kind, network.job, extracted, scored)
    _write(folder, grown, network.job, origin, extracted, features, scored, progress)


@dataclasses.dataclass(frozen=True)
class _Grown:
  """Trees of one kind with what they say."""

  fitted: trees.Fitted
  predictions: dict[str, types.Predictions]  # by split: validation, and those that are scored
  permuted: importance.PermutationImportance
  impurity_U: np.ndarray | None  # None for boosting
  out_of_bag: dict[str, Any] | None  # None for boosting, which has no bags


def _grow(kind: str, job: job_lib.Job, extracted: tree_features.Features, scored: list[str]) -> _Grown:
  exp, data = job.experiment, job.data
  rows_of = functools.cache(functools.partial(tree_features.of_split, extracted, data))
  train, validation = rows_of('train'), rows_of('validation')
  stream = run_format.bag_stream(exp.format, 'forest bags')
  names = data.table.class_names
  fitted = trees.fit(kind, train, validation, names, exp.trees, exp.seed, stream, job.poll)
  predictions = {
    split: _answers(fitted.predict(rows_of(split).feature_ND), data, data.rows[split])
    for split in dict.fromkeys(('validation', *scored))
  }
  permuted = importance.permute(
    fitted, validation, extracted.unit_D, exp.trees.num_permutations, exp.seed, job.poll
  )
  impurity_D = fitted.impurity_D
  impurity_U = None if impurity_D is None else importance.sum_by_unit(impurity_D, extracted.unit_D)
  return _Grown(fitted, predictions, permuted, impurity_U, _out_of_bag(fitted, data, train, exp))


def _write(
  folder: workdir.Workdir,
  grown: _Grown,
  job: job_lib.Job,
  origin: dict[str, int],
  extracted: tree_features.Features,
  features: str,
  scored: list[str],
  progress: progress_lib.Progress,
) -> None:
  kind, exp = grown.fitted.kind, job.experiment
  trees_folder = workdir.Workdir(folder.path / 'trees' / kind)
  environment = folder.read_environment()
  note = scoring.note(environment['data']['synthetic'], environment['data']['leaks'])
  record = trees_folder.path / 'trees.json'
  # Written last, so removed first: it says that the other files are complete.
  record.unlink(missing_ok=True)
  trees_folder.metrics.unlink(missing_ok=True)
  settings = {f'trees.{key}': value for key, value in dataclasses.asdict(exp.trees).items()}
  evaluation = {f'evaluate.{key}': value for key, value in exp.evaluation.items()}
  atomic.write_json(trees_folder.config, {**folder.read_config(), **settings, **evaluation})
  atomic.write_json(trees_folder.environment, environment)
  rule = validation_rule.fit(grown.predictions['validation'], exp, 1.0)
  validation_rule.write(trees_folder, rule, None, progress)
  basis, comparisons = scoring.Basis(exp, note, origin, rule), {}
  for split in scored:
    predictions = grown.predictions[split]
    image_of, conversions = job.data.image_of(split), job.data.conversions(split)
    own = scoring.Split(split, predictions, image_of, None, conversions, None)
    figures = scoring.write(trees_folder, own, basis)
    progress.line(f'{kind}: {scoring.line(split, figures)}')
    network = predictions_csv.read(folder.predictions(split))
    comparisons[split] = paired.compare(network, predictions, paired.headlines(), exp.intervals, exp.seed)
    progress.line(f'{kind}, network to trees: {comparison.line(split, comparisons[split])}')
  if grown.out_of_bag and 'accuracy' in grown.out_of_bag['by_groups']:
    accuracy = grown.out_of_bag['by_groups']['accuracy']['value']
    progress.line(f'{kind}: out-of-bag error {1 - accuracy:.3f}, bags drawn by groups')
  _draw(trees_folder, grown, extracted, features, note)
  atomic.write_json(
    record, {**_described(grown, extracted, features, exp), 'compared': comparisons, 'note': note}
  )


def _described(
  grown: _Grown, extracted: tree_features.Features, features: str, exp: experiment.Experiment
) -> dict[str, Any]:
  """What `trees.json` says of the trees themselves."""
  fitted, permuted, impurity_U = grown.fitted, grown.permuted, grown.impurity_U
  return {
    'kind': fitted.kind,
    'features': {
      'of': features,
      'num': len(extracted.unit_D),
      'importance_of': extracted.unit,
      'num_units': len(permuted.mean_U),
    },
    'settings': dataclasses.asdict(exp.trees),
    'seed': exp.seed,
    'num_used': fitted.num_used,
    'out_of_bag': grown.out_of_bag,
    'validation_loss': None if fitted.loss_T is None else fitted.loss_T.tolist(),
    'importance': {
      'permutation': {
        'split': 'validation',
        'mean': permuted.mean_U.tolist(),
        'sd': permuted.sd_U.tolist(),
        'log_loss': permuted.loss,
      },
      'impurity': None if impurity_U is None else impurity_U.tolist(),
    },
  }


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
  grown: _Grown,
  extracted: tree_features.Features,
  features: str,
  note: str,
) -> None:
  fitted, permuted = grown.fitted, grown.permuted
  kind = fitted.kind.replace('_', ' ')
  title = f'{kind} on {len(extracted.unit_D)} features ({features}): {len(permuted.mean_U)} {extracted.unit}s'
  bars = plot.importance(permuted.mean_U, permuted.sd_U, grown.impurity_U, extracted.unit, title)
  figure.write(trees_folder.figures / 'importance.png', bars, note)
  if fitted.out_of_bag is not None:
    levels = {
      split: float((answers.probs_NK.argmax(1) != answers.label_N).mean())
      for split, answers in grown.predictions.items()
    }
    curve = plot.error(fitted.out_of_bag.error_T, levels, 'out of bag, by groups', True, f'{kind}: errors')
  else:
    assert fitted.loss_T is not None, 'boosting has no bags'
    levels = {f'the best, round {fitted.num_used}': float(fitted.loss_T[fitted.num_used])}
    curve = plot.error(
      fitted.loss_T[1:], levels, 'validation, groups weighted equally', False, f'{kind}: log loss'
    )
  figure.write(trees_folder.figures / 'error_by_trees.png', curve, note)
