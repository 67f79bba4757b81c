"""A run killed at five named phases comes to the very end of one that nobody disturbed; the long form is tests/soak."""

from __future__ import annotations

import importlib
import json
import operator
import pathlib
import re

import pytest
import starting
from soak import comparing, watching

FLAGS = starting.SAVED_OFTEN
INTERVAL = 2
POINTS = ('step', 'checkpoint writer', 'evaluation', 'history line', 'figures of merit')
SHORT = POINTS[2:]


def finish(folder: pathlib.Path, *flags: str) -> pathlib.Path:
  code, _, err = starting.run(*FLAGS, *flags, f'--workdir={folder}')
  assert code == 0, err
  return folder


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory) -> pathlib.Path:
  return finish(tmp_path_factory.mktemp('undisturbed') / 'run')


def test_five_kills_change_no_bit_and_cost_at_most_the_interval_and_what_was_being_written(
  undisturbed, tmp_path
):
  folder, note = tmp_path / 'run', tmp_path / 'note.json'
  notes: list[dict] = []
  before: dict = {'step': -1}
  for nth, point in enumerate(POINTS, 1):
    plan = {'at': point, 'after': 0.0, 'nth': 3 if point == 'step' else 1, 'delay': 0.0, 'note': str(note)}
    # Looked for from outside, a phase of a millisecond can be missed.
    plan['is_at_once'] = point in SHORT
    code, out, err = starting.run(*FLAGS, f'--workdir={folder}', plan=plan)
    printed = out + err
    assert code == -9, f'{point}: {printed}'
    notes.append(json.loads(note.read_text()))
    continued = re.search(r'continuing after step (\d+)', printed)
    # One that was killed before its first step may not have said yet where it goes on.
    if continued or notes[-1]['step'] >= 0:
      if nth > 1 and before['step'] >= 0:
        # A checkpoint being written when the kill fell counts as not there.
        most = INTERVAL * (2 if before['is_saving'] else 1)
        assert before['step'] - (int(continued[1]) if continued else 0) <= most
      before = notes[-1]
  assert comparing.differences(undisturbed, finish(folder)) == []
  assert len({each['phase'] for each in notes}) >= 4, notes


def test_the_comparison_sees_another_parameter_another_prediction_and_a_leftover(undisturbed, tmp_path):
  other = finish(tmp_path / 'run', '--config.seed=1')
  (other / '.history.jsonl.x').write_text('')
  differing = ' '.join(comparing.differences(undisturbed, other))
  for name in (
    "newest ['params']",
    "best ['params']",
    'metrics.json',
    'history.jsonl',
    'test.csv',
    'left over',
  ):
    assert name in differing


def test_every_phase_that_a_kill_can_be_asked_for_is_one_of_the_program():
  for module, names, _ in watching.PHASES:
    for name in names:
      assert callable(operator.attrgetter(name)(importlib.import_module(module))), f'{module}.{name}'
