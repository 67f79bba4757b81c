"""The format of a run: which of the rules that changed over time its numbers follow.

A run keeps the format that it was begun with, so that it continues to the same bits. `config.json` says it as `format`;
without that entry it is of format 1.

    1   member k of an ensemble has the seed of the ensemble + k - 1; bags are drawn from the stream of the confidence
        intervals; a held-out fraction is rounded to one over a whole number
    2   each member's seed is drawn from the ensemble's; bags have streams of their own; a held-out fraction is exact
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bloodcell_jax.base import rng, types

KEY = 'format'  # of config.json; no key of a user's config
CURRENT = 2
# Keys that configs of earlier versions lack, with the value that those runs were trained with.
ADDED = {'weights.include_top': False}


def upgrade(flat_config: Mapping[str, Any], origin: str) -> dict[str, Any]:
  """The flat config of a run of any format in today's keys, with its format.

  Args:
    flat_config: as `config.json` has it.
    origin: what an error names.

  Raises:
    UserError: a later version of this program began the run.
  """
  # A folder that holds no run of a network, such as combined predictions, has no such sections.
  added = ADDED if 'weights.path' in flat_config else {}
  config = {KEY: 1, **added, **flat_config}
  if config[KEY] not in range(1, CURRENT + 1):
    raise types.UserError(
      f'{origin}: {KEY} is {config[KEY]!r}, and this version knows 1 to {CURRENT}; use the version that made the run'
    )
  return config


def member_seed(number: int, seed: int, member: int) -> int:
  """The seed of an ensemble's member, in [0, 2**32).

  **Guarantees**: in format 2 members of any two ensembles share a seed by chance alone, 1 in 2**32.

  Args:
    number: the run's format.
    seed: the ensemble's.
    member: from 1.
  """
  if number == 1:
    return (seed + member - 1) % 2**32
  return int(rng.generator(seed, f'member {member}').integers(2**32))


def bag_stream(number: int, name: str) -> str:
  """The stream of random numbers that bags called `name` are drawn from, in a run of this format."""
  return 'bootstrap' if number == 1 else name


def held_out_fraction(number: int, fraction: float) -> float:
  """The share of groups that a run of this format holds out for validation or test, where its config says `fraction`.

  Example:
    >>> held_out_fraction(1, 0.4), held_out_fraction(2, 0.4)
    (0.5, 0.4)
  """
  return 1 / round(1 / fraction) if number == 1 and fraction else fraction
