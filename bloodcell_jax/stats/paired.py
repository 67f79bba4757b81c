"""Paired comparison of two models on the same images."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import rng, types
from bloodcell_jax.stats import intervals, metrics, resamples

FIELDS = tuple(field.name for field in dataclasses.fields(metrics.Sums))


def compare(
  first: types.Predictions,
  second: types.Predictions,
  figures: Sequence[str],
  spec: intervals.Spec,
  seed: int,
) -> dict[str, Any]:
  """How much better the second model is than the first on the same images, by figure.

  Each entry is `{first, second, difference, low, high, p_value}`. The interval is BCa over resamples of groups, the
  same groups for both models, or Student's t over a jackknife if the effective number of groups is below ten. The
  p-value is of a two-sided permutation test that swaps the two models' predictions within random groups; over all
  swaps if there are at most `num_resamples`.

  **Guarantees**: the order of the rows does not matter; swapping the models negates the difference and keeps
  the p-value; the test is exact for any number of groups.

  Args:
    first: predictions of one model.
    second: of the other.
    figures: names of figures that follow from sums, such as `headlines()`.
    spec: of the intervals.
    seed: of the resamples and swaps.

  Raises:
    UserError: images, labels, groups or classes of the two differ; the message names one.

  Source: Efron 1987 (BCa); Good 2005, "Permutation, parametric and bootstrap tests", chapter 3 (matched
  pairs).
  """
  second = aligned(first, second)
  of_first, group_names = metrics.sums(first)
  of_second, _ = metrics.sums(second)
  num_groups = len(group_names)
  pair = (of_first, of_second)
  ones = np.ones((1, num_groups))
  values = [metrics.figures(metrics.combine(one, ones)) for one in pair]
  # The same seed draws the same groups.
  drawn = [metrics.figures(resamples.combined(one, spec.num_resamples, seed)) for one in pair]
  left_out = [metrics.figures(metrics.leave_one_out(one)) for one in pair]
  swapped = _swapped(of_first, of_second, figures, _swaps(num_groups, spec.num_resamples, seed))
  few = intervals.effective(of_first.actual_K.sum(1)) < intervals.FEW_GROUPS
  entries = {}
  for name in figures:
    difference = (values[1][name] - values[0][name]).item()
    left_out_G = left_out[1][name] - left_out[0][name]
    if few:
      low, high = intervals.student(difference, left_out_G, spec.confidence)
    else:
      low, high = intervals.resampled(difference, drawn[1][name] - drawn[0][name], left_out_G, spec)
    entries[name] = {
      'first': values[0][name].item(),
      'second': values[1][name].item(),
      'difference': difference,
      'low': None if np.isnan(low) else low,
      'high': None if np.isnan(high) else high,
      'p_value': _p_value(difference, swapped[name], num_groups, spec.num_resamples),
    }
  return {
    'num_images': len(first),
    'num_groups': num_groups,
    **entries,
    'interval': {
      'method': intervals.STUDENT if few else intervals.METHODS[spec.interval],
      'unit': 'group',
      'confidence': spec.confidence,
      'num_resamples': spec.num_resamples,
      'test': 'swap of the models within groups',
    },
  }


def headlines() -> tuple[str, ...]:
  """Names of the headline figures that can be compared."""
  return tuple(figure.name for figure in metrics.headlines() if figure.function is not None)


def aligned(first: types.Predictions, second: types.Predictions) -> types.Predictions:
  """`second` with its rows in the order of `first`.

  Raises:
    UserError: images, labels, groups or classes of the two differ; the message names one.
  """
  if first.class_names != second.class_names:
    raise types.UserError(
      f'the classes differ: {", ".join(first.class_names)} and {", ".join(second.class_names)}; '
      'compare models of the same classes'
    )
  for one in (first, second):
    files, counts = np.unique(one.file_N, return_counts=True)
    if (counts > 1).any():
      raise types.UserError(f'{files[counts > 1][0]}: predicted twice by one model; predict each image once')
  only = np.setxor1d(first.file_N, second.file_N)
  if len(only):
    raise types.UserError(
      f'{only[0]}: predicted by one model and not by the other ({len(only):,} such); compare the same split'
    )
  order_first, order_second = np.argsort(first.file_N), np.argsort(second.file_N)
  rows = np.empty_like(order_second)
  rows[order_first] = order_second
  second = second.take(rows)
  for name, what in (('label_N', 'label'), ('group_N', 'group')):
    differs_N = getattr(first, name) != getattr(second, name)
    if differs_N.any():
      row = int(differs_N.argmax())
      raise types.UserError(
        f'{first.file_N[row]}: its {what} differs between the two; predict both from the same data'
      )
  return second


def _swaps(num_groups: int, num_resamples: int, seed: int) -> np.ndarray:
  """[R, G] 0 or 1: which groups swap models; all ways if there are at most `num_resamples`."""
  if 2**num_groups <= num_resamples:
    return np.array(list(itertools.product((0, 1), repeat=num_groups)))
  return rng.generator(seed, 'swaps').integers(0, 2, (num_resamples, num_groups), np.int8)


def _swapped(
  first: metrics.Sums, second: metrics.Sums, names: Sequence[str], swap_RG: np.ndarray
) -> dict[str, np.ndarray]:
  """[R] the difference of each figure after each swap."""
  gain = metrics.Sums(*(getattr(second, name) - getattr(first, name) for name in FIELDS))
  moved = metrics.combine(gain, swap_RG)
  figures = [
    metrics.figures(
      metrics.Sums(*(getattr(one, name).sum(0) + sign * getattr(moved, name) for name in FIELDS))
    )
    for one, sign in ((first, 1), (second, -1))
  ]
  return {name: figures[1][name] - figures[0][name] for name in names}


def _p_value(difference: float, swapped_R: np.ndarray, num_groups: int, num_resamples: int) -> float:
  # Sums in another order differ in the last bits, but must count as ties.
  as_large = int((np.abs(swapped_R) >= abs(difference) - 1e-9).sum())
  if 2**num_groups <= num_resamples:
    return as_large / len(swapped_R)
  # The observed data count as one of the swaps, so that p is never 0. Phipson and Smyth 2010.
  return (as_large + 1) / (len(swapped_R) + 1)
