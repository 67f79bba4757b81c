"""A run of the study from its folder: its state, its length, and folders that hold runs of other settings."""

from __future__ import annotations

import shutil

import pytest
import tiny

from bloodcell_jax.base import types
from bloodcell_jax.study import budget, run_folder
from bloodcell_jax.system import atomic

WHOLE, TIME = budget.parse('1'), budget.parse('30m')


def test_the_state_of_a_run_is_read_from_its_folder(tmp_path):
  run = tiny.run_of(tiny.rows()[0], tmp_path)
  assert run.state() == run_folder.NOT_RUN
  tiny.begin(run, 1)
  assert run.state() == run_folder.BEGUN
  assert str(run.length()) == '3 x 4'
  atomic.write_json(run.failure, {'line': 'no memory'})
  assert (run.state(), run.reason()) == (run_folder.FAILED, 'no memory')
  run.failure.unlink()
  tiny.complete(run, {'test': 30})
  assert run.state() == run_folder.COMPLETE


def test_seeds_are_those_that_something_was_written_for(tmp_path):
  row = tiny.rows()[0]
  for seed in (5, 2):
    tiny.begin(tiny.run_of(row, tmp_path, seed), 1)
  (tmp_path / 'a' / 'seed_9').mkdir()
  (tmp_path / 'a' / 'seed_x').mkdir()
  assert run_folder.seeds_on_disk(row, tmp_path) == [2, 5]


def test_the_same_settings_are_accepted_whatever_has_begun(tmp_path):
  rows = tiny.rows()
  runs = run_folder.runs(rows, [0, 1], tmp_path)
  tiny.begin(runs[0], 1)
  tiny.complete(runs[2], {'test': 30})
  for each in (WHOLE, TIME):
    run_folder.check(runs, rows, tmp_path, each)


def test_a_run_of_another_config_is_refused_with_the_key(tmp_path):
  rows = tiny.rows()
  tiny.begin(tiny.run_of(rows[0], tmp_path), 1)
  other = tiny.rows(tiny.study.row('N', 'a', 'A', tiny.DEFAULT, {**tiny.TINY, 'model.dropout_rate': 0.5}))
  with pytest.raises(types.UserError, match=r'model\.dropout_rate was 0\.2 and is 0\.5'):
    run_folder.check(run_folder.runs(other, [0], tmp_path), other, tmp_path, WHOLE)


def test_a_run_on_other_images_is_refused_even_of_a_row_that_is_not_asked_for(tmp_path):
  rows = tiny.rows()
  tiny.complete(tiny.run_of(rows[1], tmp_path), {'test': 30})
  changed = tiny.config()
  changed.data.embedded.num_train = 11
  other = tiny.study_config.resolve(changed)
  with pytest.raises(types.UserError, match=r'data\.embedded\.num_train was 10 and is 11'):
    run_folder.check(run_folder.runs(other[:1], [0], tmp_path), other, tmp_path, WHOLE)


def test_another_share_is_refused_and_a_time_keeps_what_has_begun(tmp_path):
  rows = tiny.rows()
  run = tiny.run_of(rows[0], tmp_path)
  tiny.begin(run, 1, budget.Length(2, (3,)))
  with pytest.raises(types.UserError, match=r'begun with 3 x 2 updates, and --budget=1 of 3 x 4 is 3 x 4'):
    run_folder.check([run], rows, tmp_path, WHOLE)
  run_folder.check([run], rows, tmp_path, budget.parse('0.5'))
  run_folder.check([run], rows, tmp_path, TIME)


def test_the_folder_of_a_single_run_is_no_study(tmp_path):
  atomic.write_json(tmp_path / 'config.json', {})
  with pytest.raises(types.UserError, match='holds a single run'):
    run_folder.check([], tiny.rows(), tmp_path, WHOLE)
  with pytest.raises(types.UserError, match='holds a single run'):
    run_folder.check_rows(tiny.rows(), tmp_path)


@pytest.mark.parametrize(
  ('to', 'key'),
  [('a-adam/seed_0', r"optimizer\.name '\w+' in place of 'adam'"), ('a/seed_1', 'seed 0 in place of 1')],
)
def test_the_run_of_another_row_or_seed_is_not_shown_as_this_one(tmp_path, to, key):
  rows = tiny.rows()
  tiny.complete(tiny.run_of(rows[0], tmp_path), {'test': 30})
  run_folder.check_rows(rows, tmp_path)
  shutil.copytree(tmp_path / 'a' / 'seed_0', tmp_path / to)
  message = f'has {key}, so it is not a run of row .*; move the folder away'
  with pytest.raises(types.UserError, match=message):
    run_folder.check_rows(rows, tmp_path)
  with pytest.raises(types.UserError, match=message):
    run_folder.check(run_folder.runs(rows[:1], [0], tmp_path), rows, tmp_path, WHOLE)
  # As the line says.
  shutil.move(tmp_path / to, tmp_path / 'away')
  run_folder.check_rows(rows, tmp_path)


def test_the_page_is_written_of_any_images(tmp_path):
  tiny.complete(tiny.run_of(tiny.rows()[0], tmp_path), {'test': 30})
  changed = tiny.config()
  changed.data.embedded.num_train = 11
  changed.evaluate.num_resamples = 200
  run_folder.check_rows(tiny.study_config.resolve(changed), tmp_path)


def test_trees_without_their_network_are_refused(tmp_path):
  rows = tiny.rows()
  with pytest.raises(types.UserError, match=r'forest, seed 0: is fitted on the row a, .*--rows'):
    run_folder.check(run_folder.runs(rows[2:], [0], tmp_path), rows, tmp_path, WHOLE)
  run_folder.check(run_folder.runs(rows, [0], tmp_path), rows, tmp_path, WHOLE)


def evaluated(**keys):
  """The rows with these keys of `evaluate`."""
  changed = tiny.config()
  for key, value in keys.items():
    changed.evaluate[key] = value
  return tiny.study_config.resolve(changed)


def test_a_complete_run_that_was_evaluated_with_other_keys_is_refused_until_it_is_evaluated_again(tmp_path):
  run = tiny.run_of(tiny.rows()[0], tmp_path)
  rows = evaluated(tta='symmetries', confidence=0.8)
  wanted = run_folder.runs(rows[1:2], [0], tmp_path)
  tiny.begin(run, 1)
  run_folder.check(wanted, rows, tmp_path, WHOLE)
  tiny.complete(run, {'test': 30})
  run_folder.check(run_folder.runs(tiny.rows(), [0], tmp_path), tiny.rows(), tmp_path, WHOLE)
  with pytest.raises(types.UserError) as refused:
    run_folder.check(wanted, rows, tmp_path, WHOLE)
  said = str(refused.value)
  assert said.startswith(f'{run.folder.path} was evaluated with other settings')
  assert "evaluate.tta was 'none' and is 'symmetries'" in said
  assert 'evaluate.confidence was 0.95 and is 0.8' in said
  keys = '--config.evaluate.confidence=0.8 --config.evaluate.tta=symmetries'
  assert said.endswith(f'or evaluate it anew: `evaluate --workdir={run.folder.path} {keys}`')
  # As that command does, whose last file is the report.
  run.folder.begin_scoring({'tta': 'symmetries', 'confidence': 0.8})
  assert run.state() == run_folder.BEGUN
  run.folder.report.touch()
  run_folder.check(wanted, rows, tmp_path, WHOLE)
  with pytest.raises(types.UserError, match='was evaluated with other settings'):
    run_folder.check(wanted, tiny.rows(), tmp_path, WHOLE)


def test_keys_of_evaluate_that_change_no_figure_are_accepted(tmp_path):
  tiny.complete(tiny.run_of(tiny.rows()[0], tmp_path), {'test': 30})
  rows = evaluated(batch_size=7)
  run_folder.check(run_folder.runs(rows, [0], tmp_path), rows, tmp_path, WHOLE)
  rows = evaluated(num_resamples=101)
  with pytest.raises(types.UserError, match=r'evaluate\.num_resamples was 100 and is 101'):
    run_folder.check(run_folder.runs(rows, [0], tmp_path), rows, tmp_path, WHOLE)


def test_trees_evaluated_with_other_keys_are_moved_away_and_fitted_again(tmp_path):
  rows = evaluated(confidence=0.8)
  network, forest = tiny.run_of(rows[0], tmp_path), tiny.run_of(tiny.rows()[2], tmp_path)
  tiny.complete(network, {'test': 30})
  tiny.complete(forest, {'test': 30})
  atomic.write_json(forest.folder.path / 'trees.json', {})
  wanted = run_folder.runs(rows, [0], tmp_path)
  message = (
    r'evaluate\.confidence was 0\.95 and is 0\.8.* or move .*random_forest away, and the study fits its trees'
  )
  with pytest.raises(types.UserError, match=message):
    run_folder.check(wanted, rows, tmp_path, WHOLE)
  shutil.move(forest.folder.path, tmp_path / 'away')
  run_folder.check(wanted, rows, tmp_path, WHOLE)


def test_a_time_is_needed_only_for_networks_that_are_not_complete(tmp_path):
  rows = tiny.rows()
  runs = run_folder.runs(rows, [0], tmp_path)
  lengths = {row.name: budget.read_length(row.flat) for row in rows[:2]}
  short = budget.parse('0.5s')
  assert run_folder.num_trainings(runs) == 2, 'trees are fitted on a network of the study'
  tiny.complete(runs[0], {'test': 30})
  tiny.begin(runs[1], 1)
  assert run_folder.num_trainings(runs) == 1
  with pytest.raises(types.UserError, match=r'budget is 0\.5s for 1 network, less than 1 s each'):
    budget.check(short, lengths, run_folder.num_trainings(runs))
  tiny.complete(runs[1], {'test': 30})
  assert run_folder.num_trainings(runs) == 0
  budget.check(short, lengths, run_folder.num_trainings(runs))
