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
from bloodcell_jax.runs import cost, run_data, training
from bloodcell_jax.storage import workdir
from bloodcell_jax.study import images, run_folder, running, summary
from bloodcell_jax.system import atomic
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


def test_a_row_whose_network_cannot_be_timed_fails_and_the_others_are_trained(tmp_path, monkeypatch):
  make = tiny.study.row
  bad = {**tiny.TINY, 'data.image_size': 32}
  rows = tiny.rows(
    make('N', 'bad', 'CNN B at 32 px', 'configs/cnn_b.py', bad),
    make('N', 'large', 'too large for the memory', tiny.DEFAULT, {**tiny.TINY, 'data.image_size': 64}),
    make('N', 'two', 'CNN A', tiny.DEFAULT, tiny.TINY),
  )
  runs, measure, trained = run_folder.runs(rows, [0], tmp_path), cost.measure, []

  def timed(exp, *given):
    if exp.data.decode.image_size == 64:
      raise MemoryError('bad_alloc')
    return measure(exp, *given) if exp.data.decode.image_size == 32 else cost.Cost((0.1,), 0.0, 0.001, False)

  monkeypatch.setattr(cost, 'measure', timed)
  monkeypatch.setattr(running.entry, 'run', lambda flat, folder, *given: trained.append(folder.path))
  said, shown = [], progress.Progress()
  shown.line = said.append  # type: ignore[method-assign]
  given = (tiny.budget.parse('1'), signals.Stop(), shown, lambda: None)
  assert running.run(runs, *given, debug=False) == 2
  assert trained == [runs[2].folder.path]
  assert runs[0].reason().startswith('data.image_size is 32: too small for this network')
  assert runs[1].reason().startswith('out of memory; lower train.batch_size or data.image_size of the row')
  assert [run.state() for run in runs[:2]] == [run_folder.FAILED] * 2
  assert [f'{run} failed: {run.reason()}' in said for run in runs] == [True, True, False]
  assert 'run 1 of 1: two, seed 0, 3 x 4 updates' in said
  with pytest.raises(types.UserError, match='too small for this network'):
    running.run(runs, *given, debug=True)
  # A stop is no failure.
  monkeypatch.setattr(cost, 'measure', stopped)
  with pytest.raises(signals.Stopped):
    running.run(runs[2:], *given, debug=False)
  assert runs[2].state() == run_folder.NOT_RUN


def stopped(*given):
  raise signals.Stopped


@pytest.mark.parametrize(('share', 'flag'), [('0.5', '--budget'), ('1', '')])
def test_what_makes_a_run_of_a_study_longer_is_its_budget_unless_it_has_all_of_its_length(
  tmp_path, monkeypatch, share, flag
):
  runs = run_folder.runs(tiny.rows()[:1], [0], tmp_path)
  monkeypatch.setattr(cost, 'measure', lambda *given: cost.Cost((0.1,), 0.0, 0.001, False))
  said = []

  def train(flat, folder, stop, own, read):
    exp = experiment.from_flat(flat)
    said.append(training.length(exp, flat['train.steps_per_epoch'], 40, own.length_flag))

  monkeypatch.setattr(running.entry, 'run', train)
  given = (signals.Stop(), progress.Progress(), lambda: None)
  assert running.run(runs, tiny.budget.parse(share), *given, debug=False) == 0
  (line,) = said
  assert line.endswith(f'too few to learn much; raise {flag or "train.epochs"}')


@pytest.mark.parametrize('in_place_of', ['a', 'a/seed_0', 'nothing'])
def test_a_row_whose_folder_cannot_be_written_fails_and_the_others_go_on(tmp_path, monkeypatch, in_place_of):
  rows = tiny.rows()
  runs = run_folder.runs(rows[:2], [0], tmp_path)
  blocked = tmp_path / in_place_of
  blocked.parent.mkdir(exist_ok=True)
  if in_place_of != 'nothing':
    blocked.write_text('a file in place of a folder')
  monkeypatch.setattr(cost, 'measure', lambda *given: cost.Cost((0.1,), 0.0, 0.001, False))
  trained = []
  monkeypatch.setattr(running.entry, 'run', lambda flat, folder, *given: trained.append(folder.path))
  given = (tiny.budget.parse('1'), signals.Stop(), progress.Progress(), lambda: None)
  if in_place_of == 'nothing':
    assert running.run(runs, *given, debug=False) == 0
    assert not (tmp_path / 'failures').exists()
    return
  assert running.run(runs, *given, debug=False) == 1
  assert trained == [runs[1].folder.path]
  assert runs[0].state() == run_folder.FAILED
  assert str(blocked) in runs[0].reason()
  (entry, *_) = summary.rows(rows, tmp_path)
  assert (entry['state'], entry['runs'][0]['reason']) == ('failed', runs[0].reason()), (
    'the table has it as well'
  )
  # Once the folder can be written, the line is where it always is, and only there.
  blocked.unlink()
  runs[0].note_failure('another')
  assert (runs[0].reason(), runs[0].failure.exists(), runs[0].failure_beside.exists()) == (
    'another',
    True,
    False,
  )
  assert running.run(runs[:1], *given, debug=False) == 0
  assert runs[0].state() == run_folder.NOT_RUN


@pytest.fixture
def fitted(monkeypatch) -> list[list[str]]:
  """The kinds of trees that are fitted at once, by a stand-in that writes what complete ones have."""
  found: list[list[str]] = []

  def fit(network, exp, data, features, kinds, *given):
    found.append(list(kinds))
    for kind in kinds:
      own = workdir.Workdir(network.path / 'trees' / kind)
      atomic.write_json(own.metrics, {})
      atomic.write_json(own.path / 'trees.json', {})

  monkeypatch.setattr(running.deep_trees, 'run', fit)
  monkeypatch.setattr(cost, 'measure', lambda *given: cost.Cost((0.1,), 0.0, 0.001, False))
  return found


def test_both_kinds_of_trees_are_fitted_once_and_later_only_the_kind_that_is_missing(tmp_path, fitted):
  make = tiny.study.row
  rows = tiny.rows(
    make('N', 'a', 'A', tiny.DEFAULT, tiny.TINY),
    make('N', 'forest', 'forest', trees='random_forest', features_of='a'),
    make('N', 'boosting', 'boosting', trees='hist_gradient_boosting', features_of='a'),
  )
  runs = run_folder.runs(rows, [0], tmp_path)
  tiny.complete(runs[0], {'test': 30})
  runs[2].note_failure('of an earlier attempt')
  said, shown, ended = [], progress.Progress(), []
  shown.line = said.append  # type: ignore[method-assign]
  given = (tiny.budget.parse('1'), signals.Stop(), shown, lambda: ended.append(1), False)
  assert running.run(runs, *given) == 0
  assert fitted == [['random_forest', 'hist_gradient_boosting']]
  assert [run.state() for run in runs] == [run_folder.COMPLETE] * 3
  assert 'run 2 of 2: boosting, seed 0: complete, fitted with another row' in said
  assert not runs[2].failure.exists()
  # Killed while its figures were written.
  (runs[1].folder.path / 'trees.json').unlink()
  before = (runs[2].folder.path / 'trees.json').stat().st_mtime_ns
  assert running.run(runs, *given) == 0
  assert fitted[1:] == [['random_forest']]
  assert runs[1].state() == run_folder.COMPLETE
  assert (runs[2].folder.path / 'trees.json').stat().st_mtime_ns == before
  assert running.run(runs, *given) == 0
  assert len(fitted) == 2, 'nothing is left to fit'


CONFIG = """
  import sys
  sys.path.insert(0, {tests!r})
  import tiny

  def get_config():
    return tiny.config()
"""


def study(folder: pathlib.Path, plan: dict | None, *flags: object) -> tuple[int, str]:
  """Exit code and what was printed; of a process that is killed where `plan` says so, if there is one."""
  config = folder.parent / 'tiny_study.py'
  config.write_text(textwrap.dedent(CONFIG.format(tests=str(pathlib.Path(__file__).parent))))
  command = ('study', f'--config={config}', *map(str, flags))
  code, out, err = starting.run(*command, f'--workdir={folder}', plan=plan)
  return code, out + err


@pytest.mark.long
def test_a_study_that_is_killed_goes_on_to_the_same_bits_and_takes_more_rows(tmp_path):
  whole, folder = tmp_path / 'whole', tmp_path / 'killed'
  code, said = study(whole, None, '--rows=a,forest')
  assert code == 0, said
  rows = {row['name']: row for row in json.loads((whole / 'study.json').read_text())['rows']}
  assert [rows[name]['state'] for name in ('a', 'a-adam', 'forest')] == ['complete', 'not run', 'complete']
  # After a checkpoint within the first epoch, whatever the machine's speed.
  plan = {
    'at': 'history line', 'after': 0.0, 'nth': 2, 'delay': 0.0, 'note': str(tmp_path / 'note.json'), 'is_at_once': True,
  }  # fmt: skip
  code, said = study(folder, plan, '--rows=a')
  assert code == -9, said
  code, said = study(folder, None, '--rows=a*')
  assert code == 0, said
  assert 'continuing after step' in said
  differing = comparing.differences(whole / 'a' / 'seed_0', folder / 'a' / 'seed_0')
  assert [line for line in differing if not line.startswith('trees/')] == []
  assert differing, 'the trees, which are in the first only, must be seen'
  assert 'run 2 of 2: a-adam' in said
  log = (folder / 'a-adam' / 'seed_0' / 'log.txt').read_text()
  assert 'a-adam: train epoch' in log
  assert ' a: ' not in log, 'lines of its own run only'
  code, said = study(folder, None, '--config.data.embedded.num_train=11')
  assert code == 2
  assert 'data.embedded.num_train was 10 and is 11' in said.strip().splitlines()[-1]
