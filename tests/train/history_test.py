"""Plateaus and early stopping as Keras' callbacks decide them; the file of a run's epochs."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.train import history

CASES = json.loads((pathlib.Path(__file__).parents[1] / 'golden' / 'keras3.json').read_text())['callbacks']


def records(values, monitor: str = 'val_loss') -> list[history.Record]:
  base = history.Record(1, 1, 'train', 1.0, 0.5, 1.0, 0.5, 0.1, 2.0, 100.0, 0.0)
  return [
    dataclasses.replace(base, epoch=i, step=10 * i, **{monitor: value}) for i, value in enumerate(values, 1)
  ]


def spec(plan, monitor: str = 'val_loss', **changes) -> history.Spec:
  patience, factor, min_delta, least = plan
  return dataclasses.replace(history.Spec(monitor, min_delta, patience, patience, factor, least), **changes)


def scales(given: list[history.Record], plan: history.Spec) -> list[float]:
  return [history.learning_rate_scale(given[:n], plan) for n in range(1, len(given) + 1)]


def stopped(given: list[history.Record], plan: history.Spec) -> int | None:
  """The first epoch after which training would stop."""
  return next((n for n in range(1, len(given) + 1) if history.should_stop(given[:n], plan)), None)


def agrees(case, **changes) -> bool:
  plan, given = spec(case['plan'], **changes), records(case['losses'])
  return (
    np.allclose(scales(given, plan), case['scales'], rtol=1e-5) and stopped(given, plan) == case['stopped']
  )


def test_rates_and_stops_are_those_of_keras_callbacks():
  assert len(CASES) == 24
  assert all(agrees(case) for case in CASES)


@pytest.mark.parametrize(
  'broken',
  [
    {'min_delta': 0.2},
    {'reduce_on_plateau_patience': 4},
    {'early_stopping_patience': 5},
    {'reduce_on_plateau_factor': 0.6},
  ],
  ids=str,
)
def test_the_comparison_sees_another_plan(broken):
  assert not all(agrees(case, **broken) for case in CASES)


@pytest.mark.parametrize(
  ('monitor', 'sign'), [('loss', 1), ('val_loss', 1), ('accuracy', -1), ('val_accuracy', -1)]
)
def test_losses_are_to_fall_and_accuracies_to_rise(monitor, sign):
  values = [0.5, 0.6, 0.4, 0.55]
  given = records(values, monitor)
  assert history.best(given, monitor).epoch == 1 + int(np.argmin(np.multiply(sign, values)))
  plan = spec((2, 0.5, 0.0, 0.0), monitor)
  assert stopped(records([0.1, 0.2, 0.3], monitor), plan) == (3 if sign > 0 else None)
  assert stopped(records([0.3, 0.2, 0.1], monitor), plan) == (None if sign > 0 else 3)


def test_nothing_is_decided_before_the_first_epoch():
  plan = spec((1, 0.5, 0.0, 0.0))
  assert history.learning_rate_scale([], plan) == 1.0
  assert not history.should_stop([], plan)


def test_an_epoch_without_a_figure_is_no_gain():
  given = records([0.5, float('nan'), float('nan')])
  assert stopped(given, spec((2, 0.5, 0.0, 0.0))) == 3
  assert history.best(given, 'val_loss').epoch == 1


def test_every_value_survives_the_file_bit_for_bit(tmp_path):
  values = [0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, 123456789.123456789]
  history.write(tmp_path / 'h.jsonl', records(values))
  found = history.read(tmp_path / 'h.jsonl')
  assert found == records(values) != records([*values[:-1], 0.0])
  lines = (tmp_path / 'h.jsonl').read_text().splitlines()
  assert [json.loads(line)['epoch'] for line in lines] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
  'damaged',
  [
    lambda line: line[:20],
    lambda line: '',
    lambda line: '[]',
    lambda line: 'null',
    lambda line: json.dumps({k: v for k, v in json.loads(line).items() if k != 'loss'}),
    lambda line: json.dumps({**json.loads(line), 'f1': 0.5}),
  ],
  ids=['cut', 'empty', 'list', 'null', 'key missing', 'key too many'],
)
def test_a_damaged_line_is_named_by_file_and_number(damaged, tmp_path):
  path = tmp_path / 'history.jsonl'
  history.write(path, records([0.5, 0.4, 0.3]))
  lines = path.read_text().splitlines()
  lines[1] = damaged(lines[1])
  path.unlink()  # A new file has no sum to be compared with.
  path.write_text('\n'.join(lines) + '\n')
  with pytest.raises(types.UserError, match=r'history\.jsonl: line 2 ') as caught:
    history.read(path)
  assert '\n' not in str(caught.value)
