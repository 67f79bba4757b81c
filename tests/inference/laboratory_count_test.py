"""So many cells as a laboratory counts them; error rates of the run; two reviewers; a page to print."""

import csv
import dataclasses
import re

import html_checker
import numpy as np
import pytest

from bloodcell_jax.base import cell, types
from bloodcell_jax.inference import (
  count_page,
  differential_count,
  error_rates,
  laboratory_count,
  reviewers,
)
from bloodcell_jax.stats import calibration, conformal, corrected_shares, unlike
from bloodcell_jax.storage import predictions_csv, workdir

NAMES = ('A', 'B')
RULE = calibration.Calibration(1.0, 0.05, 0.6, conformal.Conformal('lac', 0.1, 0.7), 100, 20)
RATES = error_rates.ErrorRates('test', np.tile(np.array([[8, 1, 1], [0, 9, 1]]), (20, 1, 1)), np.full(20, ''))


def judgement(num_unlike, foreign, keep, nearest=(0,) * 8, num_references=1):
  is_unlike_N = np.arange(8) < num_unlike
  folders = (unlike.Folder('slides', 8, foreign, 9.0 if foreign else 0.5, 3.0),)
  reasons = tuple('stain' if is_unlike else '' for is_unlike in is_unlike_N)
  return unlike.Judgement(
    is_unlike_N * 1.0, is_unlike_N, reasons, folders, keep, np.array(nearest), num_references
  )


def classified(confident=6, unsure=2, judged=None, cut=()):
  probs_NK = np.array([[0.9, 0.1], [0.2, 0.8]] * (confident // 2) + [[0.5, 0.5]] * unsure).reshape(-1, 2)
  cells = [
    cell.Cell(
      f'{i // 2}.png',
      f'{i // 2}',
      i % 2 + 1,
      cell.Box(i, 0, i + 5, 5),
      ('cut by the edge',) if i in cut else (),
    )
    for i in range(len(probs_NK))
  ]
  return differential_count.classify(cells, probs_NK, NAMES, RULE, judged)


def count(wanted=0, rates=RATES, compared=None, **cells):
  return laboratory_count.count(classified(**cells), wanted, rates, compared, 0.95, 0)


def test_the_first_cells_are_counted_in_the_order_of_the_photographs():
  assert count(4).rows == (0, 1, 2, 3)
  assert (count(4).count_K.tolist(), count(4).num_unclassified, count(4).num_files) == ([2, 2], 0, 2)
  assert (count(0).count_K.tolist(), count(0).num_unclassified) == ([3, 3], 2)
  short = laboratory_count.remarks(count(100))
  assert '100 cells were asked for; there are 8 to count.' in short
  assert not any('asked for' in line for line in laboratory_count.remarks(count(4)))
  with pytest.raises(types.UserError, match='count is -1'):
    laboratory_count.check(-1)


def test_the_shares_are_corrected_where_the_errors_are_known_and_not_otherwise(tmp_path):
  counted = count()
  # A tenth of A is named B, and no B is named A: there are more A than are named so.
  assert counted.shares.value_K[0] > 0.5
  assert (counted.shares.low_K <= counted.shares.value_K).all()
  laboratory_count.write(tmp_path / 'count.csv', counted)
  rows = list(csv.DictReader((tmp_path / 'count.csv').read_text().splitlines()))
  assert [(row['class'], row['count'], row['share']) for row in rows] == [
    ('A', '3', '0.5000'), ('B', '3', '0.5000'), ('unclassified', '2', ''),
  ]  # fmt: skip
  assert float(rows[0]['low']) < float(rows[0]['corrected']) < float(rows[0]['high'])
  # Negative control: neither without the error rates, nor where nothing is named.
  for other in (count(rates=None), count(confident=0)):
    assert other.shares is None
    assert laboratory_count.table(other)[0][3:] == ['', '', '']


def test_where_no_cell_is_named_the_error_rates_are_not_said_to_fail():
  foreign = laboratory_count.remarks(count(confident=0, judged=judgement(8, ('stain',), False), unsure=8))
  assert any('do not hold' in line for line in foreign), 'negative control'
  in_doubt = laboratory_count.remarks(count(confident=0))
  assert in_doubt[-1] == 'No cell was named, so there are no shares to correct.'
  empty = laboratory_count.remarks(count(confident=0, unsure=0))
  assert empty == []


def test_the_error_rates_hold_beside_a_few_unlike_cells_and_not_for_another_laboratory():
  few = count(judged=judgement(1, (), False))
  assert few.num_unlike == 1
  assert few.shares is not None
  for judged in (judgement(8, ('stain',), False), judgement(8, ('stain',), True), judgement(1, (), True)):
    assert count(judged=judged).shares is None
  assert any('do not hold' in line for line in laboratory_count.remarks(count(judged=judgement(1, (), True))))


def test_cells_that_look_like_one_laboratory_are_counted_with_its_error_rates(tmp_path):
  # In laboratory X nearly half of A is named B, in Y none.
  outcome_GKJ = np.array([[[5, 4, 1], [0, 9, 1]]] * 20 + [[[9, 0, 1], [0, 9, 1]]] * 20)
  rates = error_rates.ErrorRates('test', outcome_GKJ, np.repeat(['X', 'Y'], 20))

  def share(nearest, num_references=2):
    return count(rates=rates, judged=judgement(0, (), False, nearest, num_references))

  like_x, like_y, mixed = (share(nearest) for nearest in ((0,) * 7 + (1,), (1,) * 8, (0, 1) * 4))
  assert like_x.shares.value_K[0] > mixed.shares.value_K[0] > like_y.shares.value_K[0]
  assert (
    'the 20 groups of its test split of X, which most of the cells look like'
    in laboratory_count.remarks(like_x)[-1]
  )
  assert 'the 40 groups of its test split of X and Y,' in laboratory_count.remarks(mixed)[-1]
  # Negative control: references that are not one of each laboratory say nothing of which it is.
  np.testing.assert_array_equal(share((0,) * 8, 1).shares.value_K, mixed.shares.value_K)
  few = error_rates.ErrorRates('test', outcome_GKJ[15:], rates.laboratory_G[15:])
  assert error_rates.of_cells(few, judgement(0, (), False, (0,) * 8, 2)) is few

  folder = workdir.Workdir(tmp_path)
  folder.predictions('test').parent.mkdir(exist_ok=True)
  group_N = np.array(['X/1', 'Y/1', 'Y/2'])
  predictions = types.Predictions(np.array([[0.9, 0.1]] * 3), np.zeros(3, np.int32), group_N, group_N, NAMES)
  predictions_csv.write(folder.predictions('test'), predictions, None)
  known = {
    source: error_rates.read(folder, NAMES, RULE, source).laboratory_G.tolist()
    for source in ('laboratories', 'folders')
  }
  assert known == {'laboratories': ['X', 'Y', 'Y'], 'folders': ['', '', '']}


def test_the_error_rates_are_those_of_the_run_with_its_threshold(tmp_path):
  folder = workdir.Workdir(tmp_path)
  assert error_rates.read(folder, NAMES, RULE, 'folders') is None
  probs_NK = np.array([[0.9, 0.1], [0.55, 0.45], [0.3, 0.7]])
  for split, label in (('validation', 1), ('test', 0)):
    predictions = types.Predictions(
      probs_NK, np.full(3, label, np.int32), np.array(['g', 'g', 'h']), np.array(['1', '2', '3']), NAMES
    )
    folder.predictions(split).parent.mkdir(exist_ok=True)
    predictions_csv.write(folder.predictions(split), predictions, None)
  rates = error_rates.read(folder, NAMES, RULE, 'folders')
  assert rates.split == 'test'
  assert rates.outcome_GKJ.tolist() == [[[1, 0, 1], [0, 0, 0]], [[0, 1, 0], [0, 0, 0]]]
  assert error_rates.read(folder, NAMES, None, 'folders').outcome_GKJ[0, 0].tolist() == [2, 0, 0]


def test_the_shares_of_many_classes_are_not_corrected_and_the_page_says_so(tmp_path):
  folder = workdir.Workdir(tmp_path)
  folder.predictions('test').parent.mkdir()
  for num, is_corrected in (
    (corrected_shares.MOST_CLASSES, True),
    (corrected_shares.MOST_CLASSES + 1, False),
  ):
    names, file_N = tuple(f'class {k:02d}' for k in range(num)), np.array(['1', '2'])
    predictions = types.Predictions(np.eye(num)[:2], np.arange(2, dtype=np.int32), file_N, file_N, names)
    predictions_csv.write(folder.predictions('test'), predictions, None)
    rates = error_rates.read(folder, names, None, 'folders')
    assert (rates is not None) == is_corrected
    cells = [cell.Cell('a.png', 'a', 1, cell.Box(0, 0, 5, 5))]
    found = differential_count.classify(cells, np.eye(num)[:1], names, RULE, None)
    counted = laboratory_count.count(found, 0, rates, None, 0.95, 0)
    assert (counted.shares is not None) == is_corrected
    assert any('are not corrected' in line for line in laboratory_count.remarks(counted)) != is_corrected


def write_labels(path, labels):
  lines = [
    f'{i // 2}.png,{i % 2},{9 * i},0,{9 * i + 5},5,sha256:{i // 2},{name}' for i, name in enumerate(labels)
  ]
  path.write_text('file,cell,left,top,right,bottom,sha256_16,human_label\n' + '\n'.join(lines) + '\n')
  return str(path)


def labelled_cells(num, first=0):
  """The cells of `write_labels`, or others of their photographs."""
  return [
    cell.Cell(f'{i // 2}.png', f'{i // 2}', i % 2, cell.Box(9 * i, 0, 9 * i + 5, 5))
    for i in range(first, first + num)
  ]


def test_two_reviewers_are_compared_on_the_cells_that_both_have_labelled(tmp_path):
  first = write_labels(tmp_path / 'ann.csv', 'AABB' * 8)
  second = write_labels(tmp_path / 'ben.csv', 'AABA' * 6)
  compared = reviewers.compare(reviewers.read([first, second]), labelled_cells(32), 0.95, 0)
  assert (compared.names, compared.numbers, compared.others) == (('ann', 'ben'), (32, 24), (0, 0))
  assert (compared.agreement.num, compared.agreement.share, compared.agreement.kappa) == (24, 0.75, 0.5)
  assert compared.agreement.low < 0.5 < compared.agreement.high
  assert "Cohen's kappa is 0.50 (95 % interval" in laboratory_count.agreed(compared, 0.95)
  assert 'left out' not in laboratory_count.agreed(compared, 0.95)
  # Negative control: with herself she agrees.
  same = reviewers.read([first, write_labels(tmp_path / 'a.csv', 'AABB' * 8)])
  assert reviewers.compare(same, labelled_cells(32), 0.95, 0).agreement.kappa == 1
  assert reviewers.read([]) is None


def test_reviewers_are_compared_on_the_cells_of_the_prediction_alone(tmp_path):
  # They agree on the first 16 cells and on none of the others.
  lists = reviewers.read(
    [
      write_labels(tmp_path / f'{name}.csv', f'{"AABB" * 4}{rest * 16}')
      for name, rest in (('ann', 'A'), ('ben', 'B'))
    ]
  )
  compared = reviewers.compare(lists, labelled_cells(16), 0.95, 0)
  assert (compared.numbers, compared.others) == ((16, 16), (16, 16))
  assert (compared.agreement.num, compared.agreement.kappa) == (16, 1)
  assert laboratory_count.agreed(compared, 0.95).endswith(
    'Labels of cells that are not in this prediction are left out: ann 16, ben 16.'
  )
  # Negative control: with the other cells they do not agree.
  assert reviewers.compare(lists, labelled_cells(32), 0.95, 0).agreement.kappa < 0.5
  # Other cells of the same photographs are other cells.
  none = reviewers.compare(lists, labelled_cells(16, 100), 0.95, 0)
  assert none.agreement is None
  said = laboratory_count.agreed(none, 0.95)
  assert (
    'ann and ben are not compared: no cell of this prediction is labelled in ann or in ben. Give lists'
    in said
  )
  assert 'kappa' not in said
  assert said in laboratory_count.remarks(count(compared=none))


def test_digests_of_lists_are_read_with_and_without_their_mark_and_a_photograph_may_be_one_cell(tmp_path):
  for name, digest in (('ann', '00000000000000ab'), ('ben', 'sha256:00000000000000AB')):
    (tmp_path / f'{name}.csv').write_text(f'file,sha256_16,human_label\n1.png,{digest},A\n')
  lists = reviewers.read([str(tmp_path / 'ann.csv'), str(tmp_path / 'ben.csv')])
  whole = cell.Cell('1.png', '00000000000000ab', 1, None)
  assert reviewers.compare(lists, [whole], 0.95, 0).agreement.num == 1
  # Negative control: a cell within that photograph is another.
  inside = dataclasses.replace(whole, box=cell.Box(0, 0, 5, 5))
  assert reviewers.compare(lists, [inside], 0.95, 0).agreement is None


@pytest.mark.parametrize(
  ('paths', 'message'),
  [
    (['ann.csv'], 'names 1 file'),
    (['ann.csv', 'ann.csv'], 'names 2 files'),
    (['ann.csv', 'none.csv'], 'none.csv: No such file'),
    (['ann.csv', 'other.csv'], 'no cell is labelled in both'),
    (['ann.csv', 'twice.csv'], 'line 4 labels a cell B that is A above'),
  ],
)
def test_lists_that_cannot_be_compared_are_one_line(tmp_path, paths, message):
  write_labels(tmp_path / 'ann.csv', 'AB')
  write_labels(tmp_path / 'other.csv', '')
  lines = (tmp_path / 'ann.csv').read_text().splitlines()
  (tmp_path / 'twice.csv').write_text('\n'.join([*lines, lines[1].replace(',A', ',B')]) + '\n')
  with pytest.raises(types.UserError, match=message):
    reviewers.read([str(tmp_path / path) for path in paths])


def test_the_page_is_self_contained_and_shows_the_count():
  text = count_page.render(count(4), 'slides <1>', [('Network', 'tiny & small')], ['Research use only.'])
  assert html_checker.check(text) == []
  assert (
    '<strong>4 cells in 2 of 4 photographs with white cells</strong>, the first 4 of 8 in the order' in text
  )
  # What the network did not name stands in the same line.
  (line,) = re.findall('<p><strong>4 cells.*?</p>', text)
  assert f'{count(4).num_named} named' in line
  assert ('in doubt' in line) == bool(count(4).num_unclassified)
  assert 'slides &lt;1&gt;' in text
  assert 'Reviewed by, date' in text
  assert '@media print' in text


def test_the_page_rounds_the_shares_once():
  # 27 of 132 are 0.20455: 20.5 %, and 0.2045 in count.csv, which would be 20.4 %.
  counted = dataclasses.replace(count(), count_K=np.array([27, 105]))
  assert laboratory_count.table(counted)[0][2] == '0.2045'
  assert '<td>20.5%</td>' in count_page.render(counted, 'slides', [], [])


def test_the_page_tells_photographs_from_those_with_a_counted_cell_and_what_was_asked_from_what_there_is():
  # The only cells of the third photograph are cut.
  for wanted, words in (
    (0, '<strong>6 cells in 3 of 4 photographs with white cells</strong>, all that can be counted: '),
    (1000, '<strong>6 cells in 3 of 4 photographs with white cells</strong>, all that can be counted: '),
    (6, '<strong>6 cells in 3 of 4 photographs with white cells</strong>, all that can be counted: '),
    (
      2,
      '<strong>2 cells in 1 of 4 photographs with white cells</strong>, the first 2 of 6 in the order of ',
    ),
  ):
    text = count_page.render(count(wanted, cut=(4, 5)), 'slides', [], [])
    assert words in text
    assert ('1,000 cells were asked for; there are 6 to count.' in text) == (wanted == 1000)
    # The cells that are left for review are not the first of the review page, which begins with those that are cut.
    assert ('2 of 6 cells are left for a person: choose &quot;left for review&quot;' in text) == (wanted != 2)
  # Negative control: without cut cells all photographs are counted.
  assert '<strong>8 cells in 4 photographs</strong>' in count_page.render(count(), 'slides', [], [])
