"""The config of a study: rows, each a config file with overrides, resolved to flat configs before anything is run."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment, section
from bloodcell_jax.heads import trees
from bloodcell_jax.system import config_file

# The sections of the study's config that replace those keys of every row.
SHARED = ('data', 'evaluate')


@dataclasses.dataclass(frozen=True)
class Published:
  """What the study reports for a row."""

  accuracy: float  # 0 for none
  loss: float  # nats; 0 for none
  images: str  # which images the figure is on; with no figure, why there is none
  seconds: tuple  # (least, greatest) seconds an epoch; () for none

  def __post_init__(self):
    if not 0 <= self.accuracy <= 1:
      raise types.UserError(f'accuracy is {self.accuracy}; it must lie in [0, 1], 0 for none')


@dataclasses.dataclass(frozen=True)
class Row:
  """A row of the study's table: a run for each seed."""

  name: str  # of its folder
  group: str  # the heading that it stands under
  title: str
  config: str  # a config file, with `:variant` where it has variants; empty for trees
  overrides: tuple  # ((dotted key, value), ...)
  # One of heads.trees.KINDS, fitted on the features of the row `features_of`; empty for a row that is trained.
  trees: str
  features_of: str
  published: Published
  reference: str  # the row to compare with; empty for none
  meaning: str  # what the difference to the study's figure means
  flat: Mapping[str, Any]  # the resolved flat config; that of `features_of` for trees


def resolve(config: Any) -> tuple[Row, ...]:
  """The rows of a study's config, each checked as `train` checks its config.

  Args:
    config: a ConfigDict with `rows`, a tuple made by `configs/study.py`, and the sections of SHARED.

  Raises:
    UserError: one line that names the row, for a config that does not resolve or a row that refers to no other.
  """
  if 'rows' not in config:
    raise types.UserError('config.rows is missing: a study has a config of rows; start from configs/study.py')
  top = section.Section('', config)
  shared = {
    f'{name}.{key}': value
    for name in SHARED
    for key, value in experiment.flat(top.take(name, object)).items()
  }
  rows: dict[str, Row] = {}
  for number, entry in enumerate(top.take('rows', object), 1):
    row = _row(section.Section(f'rows[{number}]', entry), shared, rows)
    if row.name in rows:
      raise types.UserError(f'row {row.name}: there are two of this name; give each its own')
    rows[row.name] = row
  top.finish()
  if not rows:
    raise types.UserError('rows is empty; give a row, as configs/study.py does')
  for row in rows.values():
    if row.reference and row.reference not in rows:
      raise types.UserError(
        f'row {row.name}: reference is {row.reference!r}, which is not a row of the study'
      )
  return tuple(rows.values())


def _row(own: section.Section, shared: Mapping[str, Any], before: Mapping[str, Row]) -> Row:
  name = own.take('name', str)
  if not name or not set(name) <= set('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.'):
    raise types.UserError(f'row {name!r}: a name has letters, digits, hyphens and underscores only')
  try:
    published = section.Section(f'{name}.published', own.take('published', object))
    spec = published.spec(Published)
    published.finish()
    kind, source = own.take('trees', str), own.take('features_of', str)
    overrides = own.take('overrides', tuple)
    path = own.take('config', str)
    flat = _of_trees(kind, source, before) if kind else _flat(path, overrides, shared)
    row = own.spec(
      Row, name=name, published=spec, trees=kind, features_of=source, overrides=overrides, flat=flat
    )
    own.finish()
  except types.UserError as error:
    raise types.UserError(f'row {name}: {error}') from None
  return row


def _of_trees(kind: str, source: str, before: Mapping[str, Row]) -> Mapping[str, Any]:
  if kind not in trees.KINDS:
    raise types.UserError(f'trees is {kind!r}; choose one of {", ".join(trees.KINDS)}')
  row = before.get(source)
  if row is None or row.trees or row.flat['ensemble.method'] or row.flat['train.folds']:
    raise types.UserError(f'features_of is {source!r}; name a row of a single network that stands before it')
  return row.flat


def _flat(path: str, overrides: Sequence[Any], shared: Mapping[str, Any]) -> dict[str, Any]:
  """The flat config of a file with the keys of the study and of the row laid over it, checked."""
  flat = {**experiment.flat(_load(path)), **shared}
  for pair in overrides:
    if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)):
      raise types.UserError(f'overrides has {pair!r}; it must hold pairs of a dotted key and a value')
    key, value = pair
    if key not in flat:
      raise types.UserError(section.unknown_key(key, list(flat)))
    if key == 'seed':
      raise types.UserError('overrides has the seed; --seeds sets it')
    flat[key] = value
  if flat['train.folds']:
    raise types.UserError('train.folds is set; a row is one run a seed and is not cross-validated')
  if not flat['train.steps_per_epoch']:
    raise types.UserError(
      'train.steps_per_epoch is 0; give the row a number, from which a budget takes its share'
    )
  experiment.from_flat(flat)
  return flat


def _load(path: str) -> Any:
  """The config that `path[:variant]` gives, as main.py loads it."""
  name, _, variant = path.partition(':')
  file = config_file.find(name)
  if file is None:
    raise types.UserError(f'{path}: no such config file')
  spec = importlib.util.spec_from_file_location(f'study_row_{file.stem}', file)
  assert spec is not None
  assert spec.loader is not None, 'a path that ends in .py has a loader'
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
    return module.get_config(variant) if variant else module.get_config()
  # A user's file can raise anything.
  except Exception as error:
    raise types.UserError(f'{path}: {" ".join(str(error).split()) or type(error).__name__}') from None
