"""Turns a ConfigDict into frozen specs; no other module reads a ConfigDict. Every key must be known and read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import config_dict

from bloodcell_jax.base import pipelines, run_format, types
from bloodcell_jax.config import convolution, pixels, section, values
from bloodcell_jax.config import stages as stages_lib
from bloodcell_jax.data import dataset, reading, stream
from bloodcell_jax.data.augmentation import test_time, transform
from bloodcell_jax.data.division import amount, bagging, folds
from bloodcell_jax.data.images import decode, feature_cache
from bloodcell_jax.data.resident import images as resident_images
from bloodcell_jax.data.sources import embedded
from bloodcell_jax.ensembles import method
from bloodcell_jax.heads import logistic, rbf, svr, trees
from bloodcell_jax.models import zoo
from bloodcell_jax.stats import calibration, intervals, unlike
from bloodcell_jax.system import home
from bloodcell_jax.train import plan, precision, step
from bloodcell_jax.weights import pretrained

_SECTIONS = (
  'data', 'augment', 'model', 'weights', 'svr', 'logistic', 'trees', 'optimizer', 'stages', 'train', 'ensemble',
  'evaluate',
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Experiment:
  """Everything that determines a run: of a single network, of an ensemble, or of one of its members.

  With `ensemble.member` = 0 it is the config as it stands. With k > 0 it is the run of member k: `seed` is then the
  member's own, derived from the config's key `seed`; `model` has the member's architecture, and `evaluate_splits` also
  the further splits that members are evaluated on. `division_seed` is the config's key `seed` in both cases, so that
  all members divide the data alike.
  """

  format: int  # of the run, see `run_format`
  seed: int  # of everything but the division of the data; a member's own if this is a member
  division_seed: int  # of the division into splits: the config's key `seed`, also for a member
  data: reading.Spec
  pipeline: str  # one of pipelines.ALL
  transform: transform.Spec
  model: zoo.Spec
  convolution: str  # one of `fast_conv.ALGORITHMS`
  weights: pretrained.Spec
  stages: tuple[stages_lib.Stage, ...]  # one or more, in order
  cache_features: bool  # whether features of the blocks that a stage leaves frozen are cached
  features: feature_cache.Spec
  batch_size: int
  class_weight: str
  draw: str  # one of stream.DRAWS
  amount: amount.Spec
  num_devices: int
  parallel: str  # one of `devices.PARALLEL`
  dtype: str  # one of `precision.NAMES`
  cross_validation: folds.Spec
  ensemble: method.Spec
  objective: step.Spec
  svr: svr.Spec
  logistic: logistic.Spec
  trees: trees.Spec
  monitor: str  # the figure that selects the run's best epoch
  loop: plan.Spec
  intervals: intervals.Spec
  calibration: calibration.Spec
  unlike: unlike.Spec
  align_features: bool  # whether features of foreign folders are aligned with the training's
  evaluate_splits: tuple[str, ...]
  evaluate_batch_size: int
  tta: str  # test-time augmentation: one of `test_time.KINDS`

  @property
  def scored_loss(self) -> str:
    """The loss of the stages whose epochs can be the best; `stages.check` makes sure that it is one."""
    return next(stage.loss for stage in self.stages if stage.fit.is_candidate)

  @property
  def evaluation(self) -> dict[str, Any]:
    """The keys of the section `evaluate` that figures and calibration depend on, as JSON values."""
    specs = (self.calibration, self.intervals, self.unlike)
    keys = {'tta': self.tta} | {
      key: value for spec in specs for key, value in dataclasses.asdict(spec).items()
    }
    return {key: list(value) if isinstance(value, tuple) else value for key, value in keys.items()}


def resolve(config: config_dict.ConfigDict) -> Experiment:
  """The experiment of a user's config, for a new run in the current format.

  Raises:
    UserError: one line that names the key, if it is missing, unknown or renamed, or if its value has the wrong type, is
      out of range or has an earlier name.
  """
  experiment = _resolve(config, run_format.CURRENT)
  reading.check_is_read(experiment.data)
  pixels.check_grey(experiment.transform, experiment.model.channels)
  return experiment


def from_flat(flat_config: Mapping[str, Any]) -> Experiment:
  """The experiment of a flat config in the config's format, by default the current one. Raises as `resolve`.

  The config of an older version must have passed `run_format.upgrade`, as `Workdir.read_config` does.
  """
  config = dict(flat_config)
  number = config.pop(run_format.KEY, run_format.CURRENT)
  return _resolve(nest(config), number)


def _resolve(config: config_dict.ConfigDict, number: int) -> Experiment:
  run_format.check_names(flat(config))
  sections = {name: section.Section(name, config.get(name)) for name in _SECTIONS}
  data, train, evaluate = sections['data'], sections['train'], sections['evaluate']
  synthetic = section.Section('data.embedded', data.take('embedded', object))
  seed = section.Section('', config).take('seed', int)
  if not 0 <= seed < 2**32:
    raise types.UserError(f'seed is {seed}; it must lie in [0, 2**32)')
  experiment = Experiment(
    format=number,
    seed=seed,
    division_seed=seed,
    data=_data(data, synthetic, number),
    pipeline=data.choice('pipeline', pipelines.ALL),
    transform=pixels.read(sections['augment'], sections['weights'].take('path', str)),
    model=sections['model'].spec(zoo.Spec),
    convolution=convolution.read(sections['model'], number),
    weights=_expanded(sections['weights'].spec(pretrained.Spec), 'weights', ('path',)),
    stages=tuple(stages_lib.read(sections['stages'], sections['optimizer'], train)),
    cache_features=sections['stages'].take('cache_features', bool),
    features=feature_cache.Spec(
      dtype=sections['stages'].take('feature_dtype', str),
      num_augmented=sections['stages'].take('num_augmented', int),
    ),
    batch_size=train.positive('batch_size'),
    class_weight=train.choice('class_weight', stream.CLASS_WEIGHTS),
    draw=train.choice('draw', stream.DRAWS),
    amount=train.spec(amount.Spec),
    num_devices=train.take('num_devices', int),
    parallel=train.take('parallel', str),
    dtype=precision.check(train.take('dtype', str)),
    cross_validation=train.spec(folds.Spec),
    ensemble=sections['ensemble'].spec(method.Spec),
    objective=train.spec(step.Spec),
    svr=sections['svr'].spec(svr.Spec),
    logistic=sections['logistic'].spec(logistic.Spec),
    trees=sections['trees'].spec(trees.Spec),
    monitor=train.take('monitor', str),
    loop=train.spec(plan.Spec),
    intervals=evaluate.spec(intervals.Spec),
    calibration=evaluate.spec(calibration.Spec),
    unlike=evaluate.spec(unlike.Spec),
    align_features=evaluate.take('align_features', bool),
    evaluate_splits=tuple(evaluate.take('splits', tuple)),
    evaluate_batch_size=evaluate.positive('batch_size'),
    tta=evaluate.choice('tta', test_time.KINDS),
  )
  _check(experiment)
  experiment = _member(experiment)
  if experiment.cross_validation.fold:
    # The images that the fold holds out are what it is evaluated for.
    splits = (folds.HELD_OUT, *experiment.evaluate_splits)
    experiment = dataclasses.replace(experiment, evaluate_splits=splits)
  for one in (synthetic, *sections.values()):
    one.finish()
  unknown = set(config) - {'seed', *sections}
  if unknown:
    raise types.UserError(section.unknown_key(min(unknown), ['seed', *sections]))
  return experiment


def _check(experiment: Experiment) -> None:
  """Raises UserError for a value that is out of range, or that does not go with another one."""
  stages_lib.check(experiment.stages, experiment.model)
  if experiment.amount.max_groups and experiment.ensemble.combine in method.STACKED:
    raise types.UserError(
      f'train.max_groups is {experiment.amount.max_groups}, but stacking divides all groups into folds; set it to 0'
    )
  if experiment.align_features and experiment.model.head == rbf.NAME:
    raise types.UserError("evaluate.align_features is True, but model.head is 'rbf'; set it to False")
  if experiment.pipeline == pipelines.DEVICE:
    resident_images.check(experiment.transform)
  if experiment.pipeline == pipelines.NUMPY and experiment.transform.is_random:
    raise types.UserError('data.pipeline is numpy, which does not augment; set it to tf_data')
  if experiment.draw == stream.LABORATORIES and experiment.class_weight != 'none':
    raise types.UserError(
      f'train.class_weight is {experiment.class_weight!r}, but train.draw={stream.LABORATORIES!r} already '
      "draws every class equally often; set train.class_weight to 'none'"
    )
  # Runs of format 1 continue without mixing, as they started.
  if (
    experiment.pipeline == pipelines.NUMPY and experiment.transform.mixing.is_active and experiment.format > 1
  ):
    raise types.UserError(
      'data.pipeline is numpy, which does not mix images (augment.mixup_alpha, augment.cutmix_alpha); set it to tf_data'
    )
  values.check_entries('evaluate.splits', experiment.evaluate_splits, dataset.SPLITS)


def _data(data: section.Section, synthetic: section.Section, number: int) -> reading.Spec:
  """The data, with the fractions as a run of this format holds them out."""
  spec = data.spec(reading.Spec, decode=data.spec(decode.Spec), embedded=synthetic.spec(embedded.Spec))
  keys = ('validation_fraction', 'test_fraction')
  spec = _expanded(spec, 'data', ('dir', 'groups_csv', 'labels_csv'))
  return dataclasses.replace(
    spec, **{key: run_format.held_out_fraction(number, getattr(spec, key)) for key in keys}
  )


def _expanded(spec: Any, name: str, keys: tuple[str, ...]) -> Any:
  """The spec of section `name` with `~` replaced in these paths, as a config file may have it."""
  try:
    return dataclasses.replace(spec, **{key: home.expand(getattr(spec, key)) for key in keys})
  except ValueError as error:
    raise types.UserError(f'config.{name}: {error}') from None


def _member(experiment: Experiment) -> Experiment:
  """The experiment of member `ensemble.member`: own seed and architecture, further splits; unchanged if that is 0.

  Also checks that the keys of the ensemble agree with the others.
  """
  ensemble = experiment.ensemble
  if ensemble.method and not ensemble.member and experiment.cross_validation.folds:
    raise types.UserError(
      f'train.folds is {experiment.cross_validation.folds} with ensemble.method={ensemble.method}: an ensemble is not '
      'cross-validated; set one of them to 0 or empty'
    )
  if ensemble.method == method.GRADIENT and experiment.monitor != 'val_loss':
    raise types.UserError(
      f"train.monitor is {experiment.monitor!r}; gradient boosting fits residuals: set it to 'val_loss'"
    )
  if ensemble.method == method.GRADIENT and any(
    s.loss != stages_lib.CROSS_ENTROPY for s in experiment.stages
  ):
    raise types.UserError(
      f'stages: gradient boosting has its own loss; set the loss of each stage to {stages_lib.CROSS_ENTROPY!r}'
    )
  values.check_entries('ensemble.architectures', ensemble.architectures, tuple(zoo.NETWORKS))
  specs = [dataclasses.replace(experiment.model, name=name) for name in ensemble.architectures]
  for spec in specs:
    stages_lib.check(experiment.stages, spec)
  if not ensemble.member:
    return experiment
  more = {method.BAGGING: (bagging.OUT_OF_BAG,), **dict.fromkeys(method.BOOSTING, ('train',))}
  own = specs[(ensemble.member - 1) % len(specs)] if specs else experiment.model
  splits = dict.fromkeys(('validation', *experiment.evaluate_splits, *more.get(ensemble.method, ())))
  seed = run_format.member_seed(experiment.format, experiment.seed, ensemble.member)
  return dataclasses.replace(experiment, seed=seed, model=own, evaluate_splits=tuple(splits))


def with_data_dir(config: config_dict.ConfigDict, folder: str) -> config_dict.ConfigDict:
  """The config with the images in this folder; unchanged where it is empty."""
  if not folder:
    return config
  return nest({**flat(config), 'data.dir': folder})


def flat(config: Mapping[str, Any]) -> dict[str, Any]:
  """The values of all keys by dotted name, as in `config.json`; tuples become lists."""
  return dict(_walk(config, ''))


def nest(flat_config: Mapping[str, Any]) -> config_dict.ConfigDict:
  """The config of a flat one: the inverse of `flat`; lists become tuples.

  Example:
    >>> flat(nest({'seed': 1, 'data.source': 'kaggle'}))
    {'data.source': 'kaggle', 'seed': 1}
  """
  config = config_dict.ConfigDict()
  for name, value in flat_config.items():
    inner, (*path, key) = config, name.split('.')
    for part in path:
      if part not in inner:
        inner[part] = config_dict.ConfigDict()
      inner = inner[part]
    inner[key] = tuple(value) if isinstance(value, list) else value
  return config


def _walk(config: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
  for key in sorted(config):
    value = config[key]
    if isinstance(value, Mapping | config_dict.ConfigDict):
      yield from _walk(value, f'{prefix}{key}.')
    else:
      yield prefix + key, list(value) if isinstance(value, tuple) else value
