"""What changed between versions: renamed config keys and values, and the format that a run's numbers follow.

A run keeps the format that it started with, so that it continues to the same bits. `config.json` stores it as `format`;
a config without that entry has format 1.

    1   member k of an ensemble has the ensemble's seed + k - 1; bags are drawn from the random stream of the confidence
        intervals; a held-out fraction is rounded to one over a whole number; the latest of equally good
        epochs is the best
    2   each member's seed is drawn from the ensemble's; bags have random streams of their own; a held-out fraction is
        exact; the earliest of equally good epochs is the best
    3   convolutions of 3x3 are computed by Winograd's algorithm on a CPU, unless model.convolution says otherwise
    4   convolutions with pooling are computed by compiled code on a CPU, unless model.convolution says otherwise
    5   weights.exclude leaves the network's own weights of these names newly initialized; before, it did no more than
        let names pass that the file has and the network does not
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from bloodcell_jax.base import rng, types

KEY = 'format'  # an entry of config.json, not a key of a user's config
CURRENT = 5
# Keys that configs of earlier versions lack, with the value that those runs were trained with.
ADDED = {
  'weights.include_top': False,
  'evaluate.align_features': False,
  'evaluate.unlike_share': 0.03,
  'train.parallel': 'pmap',
  # On a CPU, where they were trained, it is the float32 that they had.
  'train.dtype': 'auto',
  'model.convolution': 'auto',
  'train.draw': 'images',
  'train.max_copies': 0,
  'train.max_groups': 0,
  'logistic.strength': 1e-3,
  'logistic.least_spread': 0.0,
}
# Earlier name of a key -> its name today; `*` stands for the name of a stage.
RENAMED_KEYS = {
  'data.embedded.num_views': 'data.embedded.num_copies',
  'ensemble.together': 'ensemble.vectorized',
  'evaluate.views': 'evaluate.tta',
  'stages.num_views': 'stages.num_augmented',
  'stages.*.top': 'stages.*.output_layer',
  'weights.left_out': 'weights.exclude',
}
# Key of today -> earlier values and their names today; in a list, those of its entries.
RENAMED_VALUES = {'model.name': {'hybrid': 'cnn_svr'}, 'ensemble.architectures': {'hybrid': 'cnn_svr'}}


def upgrade(flat_config: Mapping[str, Any], origin: str) -> dict[str, Any]:
  """The flat config of any version's run in today's keys and values, with its format.

  Args:
    flat_config: the content of `config.json`.
    origin: the file, for the error.

  Raises:
    UserError: a later version of this program started the run.
  """
  # A folder of combined predictions holds no network, so its config has no such section.
  added = ADDED if 'weights.path' in flat_config else {}
  renamed = {current_key(key) or key: value for key, value in flat_config.items()}
  config = {KEY: 1, **added, **{key: _current_value(key, value) for key, value in renamed.items()}}
  if config[KEY] not in range(1, CURRENT + 1):
    raise types.UserError(
      f'{origin}: {KEY} is {config[KEY]!r}, and this version knows 1 to {CURRENT}; use the version that made the run'
    )
  every = config.get('train.checkpoint_every')
  if isinstance(every, float) and config.get('train.checkpoint_unit') != 'minutes' and every % 1 > 0:
    # Earlier versions took a fraction of an epoch or a step, which a config may not have today.
    config['train.checkpoint_every'] = float(math.ceil(every))
  return config


def upgrade_section(section: str, entries: Mapping[str, Any]) -> dict[str, Any]:
  """A record of keys of one section, stored outside `config.json`, with today's names of these keys.

  Example:
    >>> upgrade_section('evaluate', {'views': 'none', 'confidence': 0.9})
    {'tta': 'none', 'confidence': 0.9}
  """
  prefix = f'{section}.'
  return {
    (current_key(prefix + key) or prefix + key).removeprefix(prefix): value for key, value in entries.items()
  }


def current_key(key: str) -> str:
  """Today's name of a dotted key that was renamed; empty for any other key.

  Example:
    >>> current_key('stages.svr.top'), current_key('stages.svr.loss')
    ('stages.svr.output_layer', '')
  """
  for before, now in RENAMED_KEYS.items():
    if '*' not in before:
      if key == before:
        return now
    elif match := re.fullmatch(re.escape(before).replace(r'\*', r'([^.]+)'), key):
      return now.replace('*', match[1])
  return ''


def check_names(flat_config: Mapping[str, Any]) -> None:
  """Raises UserError where a user's flat config has an earlier name of a key or value; it gives today's."""
  for key, value in flat_config.items():
    if now := current_key(key):
      raise types.UserError(f'config.{key}: is called config.{now} now')
    current = _current_value(key, value)
    for before, after in zip(_entries(value), _entries(current), strict=True):
      if before is not after:
        raise types.UserError(f'config.{key}: {before!r} is called {after!r} now')


def _current_value(key: str, value: Any) -> Any:
  names = RENAMED_VALUES.get(key)
  if not names:
    return value
  if isinstance(value, str):
    return names.get(value, value)
  if isinstance(value, list | tuple):
    return type(value)(names.get(each, each) if isinstance(each, str) else each for each in value)
  return value


def _entries(value: Any) -> list[Any] | tuple[Any, ...]:
  return value if isinstance(value, list | tuple) else [value]


def member_seed(number: int, seed: int, member: int) -> int:
  """The seed of an ensemble's member, in [0, 2**32).

  **Guarantees**: from format 2 on, members of two ensembles share a seed only by chance, 1 in 2**32.

  Args:
    number: the run's format.
    seed: the ensemble's seed.
    member: the member's number, from 1.
  """
  if number == 1:
    return (seed + member - 1) % 2**32
  return int(rng.generator(seed, f'member {member}').integers(2**32))


def bag_stream(number: int, name: str) -> str:
  """The name of the random stream that the bags called `name` are drawn from, in a run of this format."""
  return 'bootstrap' if number == 1 else name


def held_out_fraction(number: int, fraction: float) -> float:
  """The share of groups, in [0, 0.5], that a run of this format holds out where its config says `fraction`.

  Example:
    >>> held_out_fraction(1, 0.4), held_out_fraction(2, 0.4)
    (0.5, 0.4)
  """
  return 1 / round(1 / fraction) if number == 1 and fraction else fraction


def is_latest_best(number: int) -> bool:
  """Whether the latest of equally good epochs is the best one in a run of this format, and not the earliest."""
  return number == 1


def is_compiled(number: int) -> bool:
  """Whether a run of this format takes compiled code where its config leaves the choice."""
  return number >= 4


def is_excluded_fresh(number: int) -> bool:
  """Whether `weights.exclude` also leaves the network's own weights newly initialized in a run of this format."""
  return number >= 5


def is_winograd(number: int) -> bool:
  """Whether a run of this format takes Winograd's algorithm where its config leaves the choice."""
  return number >= 3
