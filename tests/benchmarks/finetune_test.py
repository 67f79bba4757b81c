"""The benchmark of fine-tuning compares equal work, and says which work each contestant does."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

from benchmarks import finetune, step_cases

ROOT = pathlib.Path(__file__).parent.parent.parent


def test_keras_on_kept_features_has_the_same_parts_as_this_project():
  def cases(who):
    return {(part, case) for part, case, name, _ in finetune.PARTS if name == who}

  assert cases(finetune.KERAS) == cases(finetune.OURS)
  # Negative control: the contestant that computes frozen blocks in every step has other parts.
  assert cases(finetune.WHOLE).isdisjoint(cases(finetune.OURS))
  assert all(case + step_cases.TINY in step_cases.CASES for _, case, _, _ in finetune.PARTS)


def test_the_job_counts_features_once_an_image_for_those_that_keep_them():
  ms = {(part, who): 1.0 for part, _, who, _ in finetune.PARTS}
  found = finetune.totals(ms)
  steps = 2 * 6 * 199 / 1e3
  assert found[finetune.WHOLE]['whole job'] == pytest.approx(steps)
  for who in (finetune.OURS, finetune.KERAS):
    assert found[who]['whole job'] == pytest.approx(steps + 2 * 9957 / 1e3)
    assert found[who]['block5 epoch'] == pytest.approx(0.199)


@pytest.mark.slow
def test_every_contestant_runs(tmp_path):
  pytest.importorskip('keras')
  path = tmp_path / 'found.json'
  command = [sys.executable, '-m', 'benchmarks.finetune', '--tiny', '--rounds=1', f'--json={path}']
  done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
  assert done.returncode == 0, done.stderr
  assert 'mean nothing' in done.stdout
  found = json.loads(path.read_text())
  assert found['is_tiny'] is True
  whole = {row['who']: row for row in found['rows'] if row['model'] == 'whole job'}
  assert set(whole) == set(finetune.CONTESTANTS)
  assert whole[finetune.OURS]['ours_by_this'] == 1
