"""A study is run: killed and continued to the same bits, with a row that fails; images are decoded once."""

from __future__ import annotations

import json
import pathlib
import textwrap

import numpy as np
import pytest
import starting
import tiny
from soak import comparing

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.runs import run_data
from bloodcell_jax.storage import workdir
from bloodcell_jax.study import cost, images, run_folder, running
from bloodcell_jax.system import lock
from bloodcell_jax.train import progress, signals


def test_rows_that_see_images_alike_share_them_and_get_the_division_of_their_own_seed(tmp_path):
  shared, folder = images.Images(), workdir.Workdir(tmp_path)
  read = (signals.Stop(), progress.Progress())
  flat = tiny.rows()[0].flat
  exps = [experiment.from_flat({**flat, 'seed': seed}) for seed in (0, 1)]
  first, second = (shared.read(exp, folder, *read) for exp in exps)
  assert shared.num_decoded == 1
  alone = run_data.read_images(exps[1], folder, *read)
  assert second.fingerprint() == alone.fingerprint() != first.fingerprint()
  assert np.array_equal(second.image_NHWC, alone.image_NHWC)
  smaller = experiment.from_flat({**flat, 'data.image_size': 32})
  assert shared.read(smaller, folder, *read).image_NHWC.shape[1] == 32
  assert shared.num_decoded == 2


def test_the_cost_of_a_network_does_not_depend_on_its_optimizer_but_its_program_does():
  sgd, adam = (experiment.from_flat(row.flat) for row in tiny.rows()[:2])
  assert cost.key(sgd) == cost.key(adam)
  assert cost.program(sgd) != cost.program(adam)
  larger = experiment.from_flat({**tiny.rows()[0].flat, 'data.image_size': 64})
  assert cost.key(larger) != cost.key(sgd)


def test_a_row_that_fails_leaves_its_line_and_the_others_go_on(tmp_path, monkeypatch):
  runs = run_folder.runs(tiny.rows()[:2], [0], tmp_path)
  measured = cost.Cost((0.1,), 0.0, 0.001, False)
  monkeypatch.setattr(cost, 'measure', lambda *given: measured)
  trained, ended = [], []

  def train(flat, folder, *given):
    if not trained:
      trained.append(folder.path)
      raise types.RunError('the loss is not finite')
    trained.append(folder.path)
    raise KeyError('a fault')

  monkeypatch.setattr(running.entry, 'run', train)
  given = (tiny.budget.parse('1'), signals.Stop(), progress.Progress(), lambda: ended.append(1))
  assert running.run(runs, *given, debug=False) == 2
  assert [run.reason() for run in runs] == ['the loss is not finite', "KeyError: 'a fault'"]
  assert len(trained) == len(ended) == 2
  monkeypatch.setattr(running.entry, 'run', lambda *given: None)
  assert running.run(runs, *given, debug=False) == 0
  assert [run.reason() for run in runs] == ['', ''], 'the line goes with the next attempt'


CONFIG = """
  import sys
  sys.path.insert(0, {tests!r})
  import tiny

  def get_config():
    return tiny.config()
"""


def study(folder: pathlib.Path, *flags: object) -> tuple[int, str, str]:
  config = folder.parent / 'tiny_study.py'
  config.write_text(textwrap.dedent(CONFIG.format(tests=str(pathlib.Path(__file__).parent))))
  return starting.run('study', f'--config={config}', f'--workdir={folder}', *flags)


def test_a_study_that_was_stopped_goes_on_to_the_same_bits_and_takes_more_rows(tmp_path):
  whole, folder = tmp_path / 'whole', tmp_path / 'stopped'
  code, out, err = study(whole, '--rows=a,forest', '--seeds=1')
  assert code == 0, err
  rows = {row['name']: row for row in json.loads((whole / 'study.json').read_text())['rows']}
  assert [rows[name]['state'] for name in ('a', 'a-adam', 'forest')] == ['complete', 'not run', 'complete']
  # A run of the row alone that was stopped in the middle, as the train command leaves it.
  (first, *_) = tiny.rows()
  run = tiny.run_of(first, folder)
  stop = _StopAfter(6)
  with pytest.raises(signals.Stopped):
    running.entry.run({**first.flat, 'seed': 0}, run.folder, stop, progress.Progress(), run_data.read_images)
  lock.release()
  code, out, err = study(folder, '--rows=a')
  assert code == 0, err
  assert 'continuing after step' in out
  differing = comparing.differences(whole / 'a' / 'seed_0', folder / 'a' / 'seed_0')
  assert [line for line in differing if not line.startswith('trees/')] == []
  assert differing, 'the trees, which are in the first only, must be seen'
  code, out, err = study(folder, '--rows=a*', '--budget=9m')
  assert code == 0, err
  assert 'run 1 of 1: a-adam' in out, 'what is complete is left alone'
  code, _, err = study(folder, '--config.data.embedded.num_train=11')
  assert code == 2
  assert 'data.embedded.num_train was 10 and is 11' in err
  assert len(err.strip().splitlines()) == 1


class _StopAfter(signals.Stop):
  """Stops when it was asked so many times within training."""

  def __init__(self, updates: int):
    super().__init__()
    self._left = updates + 5

  def poll(self) -> None:
    self._left -= 1
    self.requested = self._left <= 0
    super().poll()
