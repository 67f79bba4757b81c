"""A run killed at five named phases comes to the very end of one that nobody disturbed; the long form is tests/soak."""

from __future__ import annotations

import json
import pathlib
import re

import pytest
import starting
from soak import comparing, kill

FLAGS = starting.SAVED_OFTEN
INTERVAL = 2
POINTS = ('step', 'checkpoint writer', 'evaluation', 'history line', 'figures of merit')


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory) -> pathlib.Path:
  folder = tmp_path_factory.mktemp('undisturbed') / 'run'
  code, said, _ = kill.start(FLAGS, folder, None, folder.parent / 'site')
  assert code == 0, said
  return folder


def test_five_kills_change_no_bit_and_cost_at_most_the_interval_and_what_was_being_written(
  undisturbed, tmp_path
):
  folder, note = tmp_path / 'run', tmp_path / 'note.json'
  fallen: list[dict] = []
  for nth, point in enumerate(POINTS, 1):
    plan = {'at': point, 'after': 0.0, 'nth': 3 if point == 'step' else 1, 'delay': 0.0, 'note': str(note)}
    code, said, _ = kill.start(FLAGS, folder, plan, tmp_path / 'site')
    assert code == -9, f'{point}: {said}'
    continued = re.search(r'continuing after step (\d+)', said)
    if nth > 1 and fallen[-1]['step'] >= 0:
      # One being written when the kill fell counts as not there.
      most = INTERVAL * (2 if fallen[-1]['is_saving'] else 1)
      assert fallen[-1]['step'] - (int(continued[1]) if continued else 0) <= most
    fallen.append(json.loads(note.read_text()))
  code, said, _ = kill.start(FLAGS, folder, None, tmp_path / 'site')
  assert code == 0, said
  assert comparing.differences(undisturbed, folder) == []
  assert len({each['phase'] for each in fallen}) >= 4, fallen


def test_the_comparison_sees_another_parameter_another_prediction_and_a_leftover(undisturbed, tmp_path):
  other = tmp_path / 'run'
  code, said, _ = kill.start((*FLAGS, '--config.seed=1'), other, None, tmp_path / 'site')
  assert code == 0, said
  (other / '.history.jsonl.x').write_text('')
  found = ' '.join(comparing.differences(undisturbed, other))
  for name in (
    "newest ['params']",
    "best ['params']",
    'metrics.json',
    'history.jsonl',
    'test.csv',
    'left over',
  ):
    assert name in found
