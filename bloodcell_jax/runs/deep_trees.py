"""Trees on what a run's network sees: fitted, scored beside the network's own answers, written to `trees/KIND`."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from bloodcell_jax.base import run_format, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.heads import importance, trees
from bloodcell_jax.plots import figure
from bloodcell_jax.plots import trees as plot
from bloodcell_jax.runs import comparison, model_set, output_layer, scoring
from bloodcell_jax.stats import bootstrap, calibration, paired
from bloodcell_jax.storage import predictions_csv, workdir
from bloodcell_jax.system import atomic  # fmt: skip
from bloodcell_jax.train import progress, signals

# What the top sees; the last map, every place of it; its channels, averaged over places.
FEATURES = ('embedding', 'map', 'average')


@dataclasses.dataclass(frozen=True)
class Seen:
  """What the network sees of images of the data."""

  rows: np.ndarray  # ascending: of the data's table
  feature_ND: np.ndarray  # float32, of those rows
  unit_D: np.ndarray  # int: the unit, or the channel, of each feature
  unit: str  # what that is called


def run(
  folder: workdir.Workdir,
  exp: experiment.Experiment,
  data: dataset.Dataset,
  features: str,
  stop: signals.Stop,
  shown: progress.Progress,
) -> None:
  """Fits both kinds of trees on the run's training images and writes each as a run of its own to `trees/KIND`.

  There: `config.json` and `environment.json`, `predictions`, `groups`, `review`, `figures`, `metrics.json` and
  `calibration.json` as of any run, and `trees.json`: features, settings, errors out of bag, importance, and how much
  better than the network the trees are. The trees are not kept: the same run gives the same trees again.

  **Guarantees**: what was there of earlier trees is replaced; the run's own files stay as they are.

  Args:
    folder: of a single network's run, trained and scored.
    exp: the run's experiment.
    data: the run's images.
    features: one of FEATURES.
    stop: asked between batches, trees and permutations.
    shown: where figures are told.

  Raises:
    UserError: the run is no single network's, or not scored; its data is other data; training lacks a class.
    RunError: features that are not finite.
    signals.Stopped: a stop was asked for.
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
        f'{folder.predictions(split)}: missing; run `evaluate --workdir={folder.path}` first'
      )
  network, origin = model_set.of_run(folder, exp, data, stop, shown)
  seen = see(network, list(dict.fromkeys(('train', 'validation', *scored))), features)
  shown.line(f'trees on {seen.feature_ND.shape[1]} features of {len(seen.rows):,} images ({features})')
  for kind in trees.KINDS:
    _write(folder, kind, network, origin, seen, features, scored, shown)


def see(network: model_set.Network, splits: list[str], features: str) -> Seen:
  """The features of all images of these splits, each image once.

  Raises:
    signals.Stopped: a stop was asked for.
  """
  made = network.made
  rows = np.unique(np.concatenate([made.data.rows[split] for split in splits]))
  batches = made.in_order(rows)
  if features == 'embedding':
    feature_ND = output_layer.embed(made, made.model, network.params, batches)
    return Seen(rows, feature_ND.astype(np.float32), np.arange(feature_ND.shape[1]), 'unit')
  apply, parts = made.make_apply(made.model, method=_map), []
  for batch in batches:
    made.poll()
    map_BHWC = apply(network.params, batch)[np.asarray(batch.weight_B) > 0]
    parts.append(map_BHWC.mean((1, 2)) if features == 'average' else map_BHWC.reshape(len(map_BHWC), -1))
  feature_ND = np.concatenate(parts).astype(np.float32)
  # Flattened, the channels run fastest.
  channel_D = np.arange(feature_ND.shape[1]) % map_BHWC.shape[-1]
  return Seen(rows, feature_ND, channel_D, 'channel')


def _map(model: Any, image_BHWC: Any, position_B: Any, train: bool) -> Any:
  return model.features(image_BHWC)


def _rows(data: dataset.Dataset, seen: Seen, split: str) -> trees.Rows:
  rows = data.rows[split]
  feature_ND = seen.feature_ND[np.searchsorted(seen.rows, rows)]
  return trees.Rows(feature_ND, data.table.label[rows], data.table.group[rows])


def _write(
  folder: workdir.Workdir,
  kind: str,
  network: model_set.Network,
  origin: dict[str, int],
  seen: Seen,
  features: str,
  scored: list[str],
  shown: progress.Progress,
) -> None:
  made, exp, data = network.made, network.made.experiment, network.made.data
  class_names = data.table.class_names
  rows_of = functools.cache(functools.partial(_rows, data, seen))
  stream = run_format.bag_stream(exp.format, 'forest bags')
  fitted = trees.fit(
    kind, rows_of('train'), rows_of('validation'), class_names, exp.trees, exp.seed, stream, made.poll
  )
  found = {
    split: _predicted(fitted, data, rows_of, split) for split in dict.fromkeys(('validation', *scored))
  }
  lost = importance.permute(
    fitted, rows_of('validation'), seen.unit_D, exp.trees.num_permutations, exp.seed, made.poll
  )
  own = workdir.Workdir(folder.path / 'trees' / kind)
  environment = folder.read_environment()
  said = scoring.note(environment['data']['synthetic'], environment['data']['leaks'])
  own.metrics.unlink(missing_ok=True)
  settings = {f'trees.{key}': value for key, value in dataclasses.asdict(exp.trees).items()}
  evaluation = {f'evaluate.{key}': value for key, value in exp.evaluation.items()}
  atomic.write_json(own.config, {**folder.read_config(), **settings, **evaluation})
  atomic.write_json(own.environment, environment)
  rule = calibration.fit(found['validation'], exp.calibration)
  calibration.write(own.calibration, rule)
  compared = {}
  for split in scored:
    figures = scoring.write(own, split, found[split], exp, said, origin, rule, data.image_of(split))
    shown.line(f'{kind}: {scoring.line(split, figures)}')
    compared[split] = paired.compare(
      predictions_csv.read(folder.predictions(split)), found[split], exp.intervals, exp.seed
    )
    shown.line(f'{kind}, network to trees: {comparison.line(split, compared[split])}')
  impurity_U = None if fitted.impurity_D is None else importance.sum_by_unit(fitted.impurity_D, seen.unit_D)
  out_of_bag = _out_of_bag(fitted, data, rows_of('train'), exp)
  if out_of_bag and 'accuracy' in out_of_bag['by_groups']:
    accuracy = out_of_bag['by_groups']['accuracy']['value']
    shown.line(f'{kind}: error out of bag {1 - accuracy:.3f}, bags drawn by groups')
  _draw(own, fitted, lost, impurity_U, seen, features, found, said)
  atomic.write_json(
    own.path / 'trees.json',
    {
      'kind': kind,
      'features': {'of': features, 'num': len(seen.unit_D), 'importance_of': seen.unit, 'num_units': len(lost.mean_U)},
      'settings': dataclasses.asdict(exp.trees),
      'seed': exp.seed,
      'num_used': fitted.num_used,
      'out_of_bag': out_of_bag,
      'validation_loss': None if fitted.loss_T is None else fitted.loss_T.tolist(),
      'importance': {
        'permutation': {
          'split': 'validation', 'mean': lost.mean_U.tolist(), 'sd': lost.sd_U.tolist(), 'log_loss': lost.loss
        },
        'impurity': None if impurity_U is None else impurity_U.tolist(),
      },
      'compared': compared,
      'note': said,
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
    # A row that a bag of networks holds twice stands here twice.
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
  own: workdir.Workdir,
  fitted: trees.Fitted,
  lost: importance.PermutationImportance,
  impurity_U: np.ndarray | None,
  seen: Seen,
  features: str,
  found: dict[str, types.Predictions],
  said: str,
) -> None:
  shown = fitted.kind.replace('_', ' ')
  title = f'{shown} on {len(seen.unit_D)} features ({features}): {len(lost.mean_U)} {seen.unit}s'
  bars = plot.importance(lost.mean_U, lost.sd_U, impurity_U, seen.unit, title)
  figure.write(own.figures / 'importance.png', bars, said)
  if fitted.out_of_bag is not None:
    levels = {
      split: float((answers.probs_NK.argmax(1) != answers.label_N).mean()) for split, answers in found.items()
    }
    curve = plot.error(fitted.out_of_bag.error_T, levels, 'out of bag, by groups', True, f'{shown}: errors')
  else:
    assert fitted.loss_T is not None, 'boosting has no bags'
    levels = {f'the best, round {fitted.num_used}': float(fitted.loss_T[fitted.num_used])}
    curve = plot.error(fitted.loss_T[1:], levels, 'validation, groups alike', False, f'{shown}: log loss')
  figure.write(own.figures / 'error_by_trees.png', curve, said)
