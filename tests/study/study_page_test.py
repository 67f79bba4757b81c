"""study.html, study.md and study.json from the folders alone: finished, half finished, not begun."""

from __future__ import annotations

import json
import re

import browser
import html_checker
import pytest
import tiny

from bloodcell_jax.study import length_table, page_head, study_page, summary, tables
from bloodcell_jax.system import atomic
from bloodcell_jax.train import history

NOTE = 'Synthetic data: drawn by the package, no real cells.'
NOWHERE = {'dates': [], 'machines': [], 'versions': [], 'commands': []}


@pytest.fixture
def half(tmp_path):
  """A study of which one row has two seeds, one has failed and one has not begun."""
  rows = tiny.rows()
  right = {'validation': 36, 'test': 30, 'test_clean': 28}
  tiny.complete(tiny.run_of(rows[0], tmp_path), right)
  tiny.complete(tiny.run_of(rows[0], tmp_path, 1), {**right, 'test_clean': 32})
  atomic.write_json(tiny.run_of(rows[1], tmp_path).failure, {'line': 'the loss <is> not finite'})
  return rows, tmp_path


def test_a_half_finished_study_says_what_each_row_is(half):
  rows, root = half
  study_page.write(rows, root)
  entries = {entry['name']: entry for entry in json.loads((root / 'study.json').read_text())['rows']}
  assert {name: entry['state'] for name, entry in entries.items()} == {
    'a': 'complete', 'a-adam': 'failed', 'forest': 'not run',
  }  # fmt: skip
  for entry in entries.values():
    assert {'name', 'config', 'seeds', 'length', 'state', 'study', 'metrics'} <= set(entry)
  assert entries['a']['metrics']['test_clean']['accuracy']['value'] == pytest.approx(0.7)
  assert entries['a']['spread']['test_clean']['accuracy']['mean'] == pytest.approx(0.75)
  assert entries['a']['seeds'] == [0, 1]
  assert entries['a']['study']['accuracy'] == 0.91
  page = (root / 'study.html').read_text()
  assert html_checker.check(page) == []
  for text in (
    'the loss &lt;is&gt; not finite',
    '1 of 3 rows complete; 1 failed, 1 not run',
    'Of Adam.',
    'TEST-clean',
  ):
    assert text in page
  assert '<is>' not in page
  assert not re.search(r'(src|href)="(?!data:|#)', page), 'the page needs nothing else'


def test_a_page_is_written_after_a_row_but_at_most_once_a_minute(half):
  rows, root = half
  times = iter([0.0, 59.0, 60.0, 61.0, 119.0])
  pages, written = study_page.Pages(rows, root, lambda: next(times)), []
  for _ in range(3):
    (root / 'study.html').unlink(missing_ok=True)
    pages.write_now_and_then()
    written.append((root / 'study.html').exists())
  assert written == [False, True, False]


def test_training_figures_are_those_of_the_scored_epoch(half):
  rows, root = half
  (first, *_) = summary.rows(rows, root)
  # By validation loss, which is least in the third epoch.
  assert first['training']['0']['accuracy'] == pytest.approx(0.8)
  assert first['training']['0']['val_accuracy'] == pytest.approx(0.55)
  # A further seed that is still being trained has no figure in the mean.
  tiny.begin(tiny.run_of(rows[0], root, 2), 1)
  assert set(summary.rows(rows, root)[0]['training']) == {'0', '1'}
  assert first['seconds_per_epoch'] == 2.0
  assert first['num_parameters'] == 111_012


def test_a_row_is_compared_with_its_reference_on_the_same_images(half):
  rows, root = half
  other = tiny.run_of(rows[1], root)
  other.failure.unlink()
  tiny.complete(other, {'validation': 36, 'test': 40, 'test_clean': 40})
  entries = summary.rows(rows, root)
  assert entries[0]['comparison'] == {}
  compared = entries[1]['comparison']
  assert (compared['with'], compared['seed'], set(compared['splits'])) == ('a', 0, {'test', 'test_clean'})
  assert compared['splits']['test_clean']['accuracy']['difference'] == pytest.approx(0.3)
  # Other predictions under the same name are compared anew.
  tiny.complete(other, {'validation': 36, 'test': 40, 'test_clean': 28})
  again = summary.rows(rows, root)[1]['comparison']['splits']['test_clean']
  assert again['accuracy']['difference'] == pytest.approx(0.0)


def test_each_seed_that_both_rows_have_is_compared(half):
  rows, root = half
  other = tiny.run_of(rows[1], root)
  other.failure.unlink()
  tiny.complete(other, {'validation': 36, 'test': 30, 'test_clean': 28})
  assert summary.rows(rows, root)[1]['comparison']['other_seeds'] == []
  tiny.complete(tiny.run_of(rows[1], root, 1), {'validation': 36, 'test': 40, 'test_clean': 40})
  compared = summary.rows(rows, root)[1]['comparison']
  assert compared['splits']['test_clean']['accuracy']['difference'] == pytest.approx(0.0)
  (second,) = compared['other_seeds']
  assert (second['seed'], second['splits']['test_clean']['accuracy']['difference']) == (1, pytest.approx(0.2))
  study_page.write(rows, root)
  assert '; seed 1: +0.200 [' in (root / 'study.md').read_text()


def test_the_difference_is_said_in_figures_before_its_meaning(half):
  rows, root = half
  study_page.write(rows, root)
  text = (root / 'study.md').read_text()
  assert (
    '| CNN A | 0.91 in the study; here 0.800 in training and 0.750 on TEST-clean, means of 2 seeds. Of a. |'
    in text
  )
  assert '| CNN A, Adam | Of Adam. |' in text, 'no figure of a row that failed'
  assert 'as its most frequent class gives 0.500' in text
  assert '95% confidence intervals' in text
  assert '| CNN A | 0.91 (not stated) | 0.700 [' in text
  assert '3 x 4 (100%) |' in text


def test_the_seconds_of_an_epoch_are_those_of_the_whole_length_beside_them(tmp_path):
  rows = tiny.rows()
  tiny.begin(tiny.run_of(rows[0], tmp_path), 3, tiny.budget.Length(2, (3,)))
  (first, *_) = summary.rows(rows, tmp_path)
  cells = length_table.section([first]).tables[0].parts[0][1][0]
  assert cells[3:8] == ('3 x 2', '3 x 4', '50%', '2 (2)', '4 (4)')


def test_what_chose_what_is_said_of_each_row(half):
  rows, root = half
  (first, second, _) = summary.rows(rows, root)
  assert 'the epoch' in first['chosen']['validation']
  assert not {'test', 'test_clean'} & set(first['chosen'])
  assert second['chosen'] == {}


def test_figures_on_synthetic_images_say_so_on_the_page_and_in_the_text(tmp_path):
  rows = tiny.rows()
  tiny.complete(tiny.run_of(rows[0], tmp_path), {'validation': 36, 'test': 30}, NOTE)
  study_page.write(rows, tmp_path)
  for name in ('study.html', 'study.md'):
    assert NOTE in (tmp_path / name).read_text()
  (entry, *_) = summary.rows(rows, tmp_path)
  assert page_head.notes([entry])[-1].startswith('Research use only')
  assert NOTE not in ' '.join(page_head.notes([{**entry, 'note': ''}]))


def test_settings_and_intervals_are_those_of_the_folders_whatever_the_command_says(half):
  rows, root = half
  other = tiny.run_of(rows[1], root)
  other.failure.unlink()
  tiny.complete(other, {'validation': 36, 'test': 40, 'test_clean': 40})
  before = summary.rows(rows, root)[1]['comparison']
  changed = tiny.config()
  changed.data.source, changed.evaluate.confidence = 'kaggle', 0.5
  asked = tiny.study_config.resolve(changed)
  study_page.write(asked, root)
  known = json.loads((root / 'study.json').read_text())
  assert (known['settings']['data.source'], known['settings']['evaluate.confidence']) == ('embedded', 0.95)
  assert known['rows'][1]['comparison'] == json.loads(json.dumps(before))
  # Runs that disagree on a key have no common one; the page names those that the figures rest on.
  assert not any('differently' in note for note in page_head.notes(known['rows']))
  other.folder.begin_scoring({'confidence': 0.8})
  other.folder.report.touch()
  study_page.write(rows, root)
  known = json.loads((root / 'study.json').read_text())
  assert 'evaluate.confidence' not in known['settings']
  assert known['settings']['evaluate.tta'] == 'none'
  assert (
    'Rows or seeds were evaluated differently, and their figures do not compare: evaluate.confidence is 0.95 and 0.8.'
    in page_head.notes(known['rows'])
  )


def test_settings_are_empty_before_the_first_run(tmp_path):
  rows = tiny.rows()
  assert summary.settings(rows, tmp_path) == {}
  tiny.begin(tiny.run_of(rows[0], tmp_path), 1)
  assert summary.settings(rows, tmp_path)['data.source'] == 'embedded'


def test_a_row_that_learned_nothing_is_named_with_its_seed_before_the_figures(half):
  rows, root = half
  assert not any('nothing was learned' in note for note in page_head.notes(summary.rows(rows, root)))
  folder = tiny.run_of(rows[0], root, 1).folder
  entries = folder.read_metrics()
  entries['test_clean']['confusion'] = [[0, 20], [0, 20]]
  atomic.write_json(folder.metrics, entries)
  (note,) = [note for note in page_head.notes(summary.rows(rows, root)) if 'nothing was learned' in note]
  assert note == 'CNN A, seed 1: every image is predicted as NEUTROPHIL: nothing was learned there.'


def test_a_study_shorter_than_its_own_length_says_so(tmp_path):
  rows = tiny.rows()
  run = tiny.run_of(rows[0], tmp_path)
  assert not any('shorter' in note for note in page_head.notes(summary.rows(rows, tmp_path)))
  tiny.begin(run, 1, tiny.budget.Length(1, (3,)))
  (note,) = [note for note in page_head.notes(summary.rows(rows, tmp_path)) if 'shorter' in note]
  assert note.startswith('1 row is shorter')
  assert '25%' in note


@pytest.mark.parametrize('short_seed', [0, 1])
def test_seeds_of_different_length_are_told_apart_and_timed_alike(tmp_path, short_seed):
  rows = tiny.rows()
  for seed in (0, 1):
    run = tiny.run_of(rows[0], tmp_path, seed)
    tiny.complete(run, {'test': 30})
    if seed == short_seed:
      tiny.begin(run, 3, tiny.budget.Length(1, (3,)))
      history.write(run.folder.history, [tiny.record(epoch, seconds=0.1) for epoch in (1, 2, 3)])
  entries = summary.rows(rows, tmp_path)
  entry = entries[0]
  assert entry['length']['updates'] == 3, 'of the shortest'
  assert (entry['seconds_per_epoch'], entry['fastest_epoch'], entry['updates_per_epoch']) == (2.0, 2.0, 4)
  cells = length_table.section([entry]).tables[0].parts[0][1][0]
  lengths, shares = ('3 x 1, 3 x 4', '25%, 100%') if short_seed == 0 else ('3 x 4, 3 x 1', '100%, 25%')
  assert cells[3:8] == (lengths, '3 x 4', shares, '2 (2)', '2 (2)')
  assert '3 x 1 (25%)' in length_table.cell(entry)
  assert '3 x 4 (100%)' in length_table.cell(entry)
  notes = page_head.notes(entries)
  assert any(note.startswith('1 row is shorter') and '25%' in note for note in notes)
  both = ('3 x 1', '3 x 4') if short_seed == 0 else ('3 x 4', '3 x 1')
  wanted = f'CNN A, seed 0 has {both[0]}, seed 1 has {both[1]}: these seeds differ in length, and their means mix that.'
  assert wanted in notes
  # Of equal length.
  tiny.begin(tiny.run_of(rows[0], tmp_path, short_seed), 3)
  entries = summary.rows(rows, tmp_path)
  assert not any('shorter' in note or 'differ in length' in note for note in page_head.notes(entries))
  assert length_table.cell(entries[0]) == '3 x 4 (100%)'


def test_means_over_seeds_are_named_in_every_column_and_figures_of_one_seed_stand_together(tmp_path):
  rows = tiny.rows(
    tiny.study.row('N', 'a', 'CNN A', tiny.DEFAULT, tiny.TINY, accuracy=0.91, loss=0.2, meaning='Of a.')
  )
  tiny.complete(tiny.run_of(rows[0], tmp_path), {'test': 30})
  alone = summary.rows(rows, tmp_path)
  accuracies, losses = (part.parts[0][1][0] for part in tables.sections(alone, NOWHERE)[0].tables)
  assert accuracies[3:5] == ('0.800', '0.550')
  assert losses[3:5] == ('1.000', '0.333')
  second = tiny.run_of(rows[0], tmp_path, 1)
  tiny.complete(second, {'test': 40})
  history.write(second.folder.history, [tiny.record(3, accuracy=0.9, loss=0.5, val_loss=0.1)])
  both = summary.rows(rows, tmp_path)
  accuracies, losses = (part.parts[0][1][0] for part in tables.sections(both, NOWHERE)[0].tables)
  assert accuracies[3:5] == ('mean of 2 seeds 0.850', 'mean of 2 seeds 0.550')
  assert losses[3:5] == ('mean of 2 seeds 0.750', 'mean of 2 seeds 0.217')
  mean = both[0]['spread']['test']['log_loss']['mean']
  assert f'; mean of 2 seeds {mean:.3f} (sd ' in losses[2]
  assert mean != pytest.approx(both[0]['metrics']['test']['log_loss']['value'])
  assert 'here 0.850 in training and 0.875 on TEST, means of 2 seeds.' in meaning(both)
  # A split that the second seed was not scored on: all is of the first.
  first_only = [{**both[0], 'spread': {}}]
  assert 'here 0.800 in training and 0.750 on TEST. Of a.' in meaning(first_only)


def meaning(entries) -> str:
  return tables.sections(entries, NOWHERE)[1].tables[0].parts[0][1][0][1]


def test_the_text_has_a_row_of_cells_under_every_heading(half):
  rows, root = half
  study_page.write(rows, root)
  lines = (root / 'study.md').read_text().splitlines()
  for i, line in enumerate(lines):
    if line.startswith('|---'):
      width = lines[i - 1].count(' | ')
      j = i + 1
      while j < len(lines) and lines[j].startswith('|'):
        assert lines[j].count(' | ') == width
        j += 1
      assert j > i + 1


@pytest.mark.slow
@pytest.mark.parametrize('width', [1300, 390])
def test_the_page_fits_the_screen_and_asks_for_nothing(half, width):
  rows, root = half
  study_page.write(rows, root)
  with browser.opened(root / 'study.html', width) as driver:
    assert browser.problems(driver, width) == []
