"""The benchmark of accelerators names the device it ran on, and runs where there is none."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

from benchmarks import accelerator

ROOT = pathlib.Path(__file__).parent.parent.parent


def run(*flags: str) -> subprocess.CompletedProcess:
  command = [sys.executable, '-m', 'benchmarks.accelerator', *flags]
  return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def result(platform: str) -> dict:
  device = {'platform': platform, 'kind': 'K1', 'number': 2, 'peak_gflops': 1000.0}
  row = {'model': 'cnn_b', 'who': 'bloodcell_jax', 'way': 'placed', 'ms': 1.5, 'images_per_second': 33333.3}
  row |= {'gflops': 250.0, 'study_seconds': 9.0}
  return {'machine': {'device': device, 'processor': 'P', 'num_cores': 2}, 'rows': [row]}


def test_the_table_names_the_device_and_says_where_no_accelerator_was_measured():
  text = accelerator.table(result('gpu'))
  assert '2 x K1 (gpu)' in text
  assert '25%' in text
  assert 'No accelerator' not in text
  assert 'No accelerator here: figures of one are not measured.' in accelerator.table(result('cpu'))


def test_an_unknown_network_is_refused_before_anything_is_timed():
  done = run('--models=cnn_z')
  assert done.returncode == 2
  assert 'cnn_z: unknown; choose among cnn_a' in done.stderr


@pytest.mark.slow
def test_it_runs_on_the_devices_that_are_here(tmp_path):
  done = run('--models=vgg16_cached_tiny', '--rounds=1', '--steps=1', f'--json={tmp_path / "result.json"}')
  assert done.returncode == 0, done.stderr[-2000:]
  rows = json.loads((tmp_path / 'result.json').read_text())['rows']
  assert [row['way'] for row in rows] == ['placed', 'fed', 'float32']
  assert all(row['ms'] > 0 for row in rows)
