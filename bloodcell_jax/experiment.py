"""From a ConfigDict to frozen specs: the only reader of ConfigDict, strict about every key."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import config_dict

from bloodcell_jax import types
from bloodcell_jax.data import dataset, decode, embedded, stream
from bloodcell_jax.models import zoo
from bloodcell_jax.optim import keras
from bloodcell_jax.stats import bootstrap
from bloodcell_jax.train import history, loop, step

PIPELINES = ('tf_data', 'numpy')


@dataclasses.dataclass(frozen=True)
class Experiment:
  """Everything that decides what a run does."""

  seed: int
  data: dataset.Spec
  pipeline: str  # one of PIPELINES
  model: zoo.Spec
  optimizer: keras.Spec
  batch_size: int
  class_weight: str
  num_devices: int
  objective: step.Spec
  plan: history.Spec
  loop: loop.Spec
  intervals: bootstrap.Spec
  evaluate_splits: tuple[str, ...]
  evaluate_batch_size: int


def resolve(config: config_dict.ConfigDict) -> Experiment:
  """The experiment that the config describes.

  Raises:
    UserError: a key that is missing, unknown, of the wrong type or out of range, by its name.
  """
  sections = {
    name: _Section(name, config.get(name)) for name in ('data', 'model', 'optimizer', 'train', 'evaluate')
  }
  data, train, evaluate = sections['data'], sections['train'], sections['evaluate']
  drawn = _Section('data.embedded', data.take('embedded', object))
  seed = _Section('', config).take('seed', int)
  if not 0 <= seed < 2**32:
    raise types.UserError(f'seed is {seed}; it must lie in [0, 2**32)')
  experiment = Experiment(
    seed=seed,
    data=data.spec(dataset.Spec, decode=data.spec(decode.Spec), embedded=drawn.spec(embedded.Spec)),
    pipeline=data.choice('pipeline', PIPELINES),
    model=sections['model'].spec(zoo.Spec),
    optimizer=sections['optimizer'].spec(keras.Spec),
    batch_size=train.positive('batch_size'),
    class_weight=train.choice('class_weight', stream.CLASS_WEIGHTS),
    num_devices=train.take('num_devices', int),
    objective=train.spec(step.Spec),
    plan=train.spec(history.Spec),
    loop=train.spec(loop.Spec),
    intervals=evaluate.spec(bootstrap.Spec),
    evaluate_splits=tuple(evaluate.take('splits', tuple)),
    evaluate_batch_size=evaluate.positive('batch_size'),
  )
  for name in experiment.evaluate_splits:
    if name not in dataset.SPLITS:
      raise types.UserError(f'evaluate.splits has {name!r}; choose among {", ".join(dataset.SPLITS)}')
  for section in (drawn, *sections.values()):
    section.finish()
  unknown = set(config) - {'seed', *sections}
  if unknown:
    raise types.UserError(unknown_key(min(unknown), ['seed', *sections]))
  return experiment


def flat(config: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
  """Every key with its dotted name, for `config.json`."""
  return dict(_walk(config, prefix))


def nest(flat_config: Mapping[str, Any]) -> config_dict.ConfigDict:
  """The config with these dotted keys: the inverse of `flat`, lists read as tuples.

  Example:
    >>> flat(nest({'seed': 1, 'data.source': 'kaggle'}))
    {'data.source': 'kaggle', 'seed': 1}
  """
  config = config_dict.ConfigDict()
  for name, value in flat_config.items():
    section, (*path, key) = config, name.split('.')
    for part in path:
      if part not in section:
        section[part] = config_dict.ConfigDict()
      section = section[part]
    section[key] = tuple(value) if isinstance(value, list) else value
  return config


def _walk(config: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
  for key in sorted(config):
    value = config[key]
    if isinstance(value, Mapping | config_dict.ConfigDict):
      yield from _walk(value, f'{prefix}{key}.')
    else:
      yield prefix + key, list(value) if isinstance(value, tuple) else value


def unknown_key(key: str, known: list[str]) -> str:
  """One line that names an unknown key and the nearest known one."""
  near = difflib.get_close_matches(key, known, 1, cutoff=0)
  return (
    f'config.{key}: no such key; did you mean config.{near[0]}?' if near else f'config.{key}: no such key'
  )


class _Section:
  """A section of the config that remembers which of its keys were read."""

  def __init__(self, name: str, values: Any):
    if not isinstance(values, config_dict.ConfigDict):
      raise types.UserError(f'config.{name} is missing; start from configs/default.py')
    self._prefix, self._values, self._read = f'{name}.' if name else '', values, set[str]()

  def take(self, key: str, kind: type) -> Any:
    """The value of a key, of this type."""
    self._read.add(key)
    if key not in self._values:
      raise types.UserError(f'config.{self._prefix}{key} is missing; start from configs/default.py')
    value = self._values[key]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
      value = float(value)
    if kind is tuple and isinstance(value, list):
      value = tuple(value)
    # bool is an int to Python, but not to somebody who meant a number.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
      raise types.UserError(f'config.{self._prefix}{key} is {value!r}; it must be of type {kind.__name__}')
    if kind is float and value != value:
      raise types.UserError(f'config.{self._prefix}{key} is not a number')
    return value

  def choice(self, key: str, choices: tuple[str, ...]) -> str:
    value = self.take(key, str)
    if value not in choices:
      raise types.UserError(f'config.{self._prefix}{key} is {value!r}; choose one of {", ".join(choices)}')
    return value

  def positive(self, key: str) -> int:
    value = self.take(key, int)
    if value < 1:
      raise types.UserError(f'config.{self._prefix}{key} is {value}; it must be 1 or more')
    return value

  def spec(self, kind: type, **given: Any) -> Any:
    """A spec whose fields are keys of this section, but for those given."""
    types_by_name = {'int': int, 'float': float, 'str': str, 'bool': bool}
    fields = [field for field in dataclasses.fields(kind) if field.name not in given]
    return kind(
      **given, **{field.name: self.take(field.name, types_by_name[str(field.type)]) for field in fields}
    )

  def finish(self) -> None:
    """Raises UserError when a key was never read: nobody would notice that it does nothing."""
    for key in self._values:
      if key not in self._read:
        raise types.UserError(unknown_key(self._prefix + key, [self._prefix + name for name in self._read]))
