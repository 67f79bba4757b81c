"""The benchmark of growth measures each size in turn, judges its lines and writes tables, JSON and a picture."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest
from PIL import Image

from benchmarks import growth, growth_line, growth_series, growth_step

ROOT = pathlib.Path(__file__).parent.parent.parent


def run(*flags: str) -> subprocess.CompletedProcess:
  command = [sys.executable, '-m', 'benchmarks.growth', *flags]
  return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_a_series_is_measured_judged_and_drawn(tmp_path):
  json_file, picture = tmp_path / 'growth.json', tmp_path / 'growth.png'
  done = run('--quick', '--series=averaging', f'--json={json_file}', f'--plot={picture}')
  assert done.returncode == 0, done.stderr[-2000:]
  assert '### The mean of the probabilities of 10,000 images against the number of members' in done.stdout
  assert done.stdout.count('exponent') == 2
  result = json.loads(json_file.read_text())
  assert [row['work'] for row in result['rows']] == [1, 2, 3]
  assert all(row['ms'] > 0 and row['resident_mb'] > 1 for row in result['rows'])
  assert set(result['lines']['averaging']) == {'ms', 'resident_mb'}
  with Image.open(picture) as opened:
    assert opened.width > 500


def test_an_unknown_series_is_refused_before_anything_is_measured():
  done = run('--series=sides')
  assert done.returncode == 2
  assert 'sides: unknown; choose among side, ' in done.stderr


def test_every_series_has_ascending_works_enough_for_a_line():
  for is_quick in (False, True):
    for name, one in growth_series.series(is_quick, (1000, 10_000, 100_000)).items():
      work = [point.work for point in one.points]
      assert len(work) >= growth_line.LEAST, name
      assert work == sorted(set(work)), name
  assert set(growth.QUICK) <= set(growth_series.series(True, (1,)))


def test_the_work_of_a_step_follows_its_layers():
  one = growth_step.Case('cnn_b', 150, 50, 1.0, 4)
  assert growth_step.Case('cnn_b', 150, 100, 1.0, 4).gflop == pytest.approx(2 * one.gflop)
  # Twice the filters: nearly four times the multiplications, as all layers but the first have twice the inputs too.
  assert 3 < growth_step.Case('cnn_b', 150, 50, 2.0, 4).gflop / one.gflop < 4


def test_the_table_names_the_knee_and_a_short_series_has_no_line():
  one = growth_series.series(True, (1, 2, 3, 4))['images']
  costs = [100.0, 110.0, 120.0, 260.0]
  answers = [{'ms': [ms], 'processor_ms': [2 * ms], 'resident_mb': [500.0 + ms]} for ms in costs]
  found = growth.rows('images', one, answers)
  text = '\n'.join(growth.section(one, found, growth.lines(one, found)))
  assert 'ms: straight within 1 % to 3; from 4 on it costs more than the line: 2 times at 4' in text
  assert '| 4 | 260 | 520 | 760 | 2.00 |' in text
  assert growth.lines(one, found[:2]) == {}


@pytest.mark.slow
def test_a_quick_run_measures_steps_and_evaluations():
  done = run('--quick')
  assert done.returncode == 0, done.stderr[-2000:]
  assert done.stdout.count('\n### ') + done.stdout.startswith('### ') == len(growth.QUICK)
