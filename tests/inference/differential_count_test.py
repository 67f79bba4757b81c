"""Classified cells: classes, abstention, and a count that says how little it knows."""

import csv
import dataclasses

import numpy as np

from bloodcell_jax.base import cell
from bloodcell_jax.inference import differential_count
from bloodcell_jax.stats import calibration, conformal

NAMES = ('A', 'B', 'C')
PROBS = np.array([[0.7, 0.2, 0.1], [0.4, 0.35, 0.25], [0.05, 0.05, 0.9]])
RULE = calibration.Calibration(1.0, 0.05, 0.6, conformal.Conformal('lac', 0.1, 0.7), 100, 20)
CELLS = [cell.Cell(f'{name}.png', digest, 1, None) for name, digest in ('a1', 'b2', 'c3')]


def classify(rule=RULE, cells=CELLS):
  return differential_count.classify(cells, PROBS, NAMES, rule, None)


def test_a_cell_under_the_threshold_is_left_for_review_and_keeps_its_likeliest_class():
  classified = classify()
  assert classified.predicted == ('A', differential_count.UNCLASSIFIED, 'C')
  assert classified.likeliest == ('A', 'A', 'C')
  assert classified.sets == (('A',), ('A', 'B'), ('C',))
  # Negative control: without a calibration every cell is accepted and no set is given.
  bare = classify(None)
  assert bare.predicted == bare.likeliest
  assert bare.sets == ((), (), ())
  assert not bare.calibrated


def test_the_temperature_of_the_run_is_applied():
  cooled = classify(calibration.Calibration(2.0, 0.05, 0.6, RULE.conformal, 100, 20))
  root = np.sqrt(PROBS)
  np.testing.assert_allclose(cooled.probs_NK, root / root.sum(1, keepdims=True))
  np.testing.assert_allclose(classify().probs_NK, PROBS)


def test_the_count_is_of_the_accepted_cells_and_warns_of_few():
  counted = differential_count.count(classify(), 0.95)
  assert [entry['count'] for entry in counted['classes'].values()] == [1, 0, 1]
  assert counted['num_unclassified'] == 1
  assert counted['classes']['A']['share'] == 0.5
  few, left = differential_count.warnings(counted)
  assert '2 cells were accepted, fewer than 100' in few
  assert '33% of the cells are left for review' in left
  assert [entry['likeliest'] for entry in counted['classes'].values()] == [2, 0, 1]
  assert (
    differential_count.warnings({'num_named': 100, 'num_unclassified': 5, 'num_unlike': 0, 'num_cells': 105})
    == []
  )
  nothing = differential_count.count(
    classify(calibration.Calibration(1.0, 0.05, None, RULE.conformal, 100, 20)), 0.95
  )
  assert {entry['share'] for entry in nothing['classes'].values()} == {None}
  assert differential_count.warnings(nothing) == ['No cell was accepted; the count begins with your labels.']


def test_files_with_the_same_bytes_are_one_cell_of_the_count():
  cells = [CELLS[0], cell.Cell('copy of a.png', '1', 1, None), CELLS[2]]
  classified = classify(None, cells)
  counted = differential_count.count(classified, 0.95)
  assert [entry['count'] for entry in counted['classes'].values()] == [1, 0, 1]
  assert (counted['num_images'], counted['num_cells'], counted['num_duplicates']) == (2, 2, 1)
  assert '1 file repeats another file' in differential_count.duplicates(counted)
  # Negative control: three different files are three cells, and nothing is said of copies.
  other = differential_count.count(classify(None), 0.95)
  assert (other['num_cells'], other['num_duplicates']) == (3, 0)
  assert differential_count.duplicates(other) == ''


def test_each_cell_of_a_photograph_is_counted():
  boxes = (cell.Box(0, 0, 5, 5), cell.Box(5, 0, 10, 5))
  cells = [cell.Cell('a.png', '1', i, box) for i, box in enumerate(boxes, 1)]
  cells.append(cell.Cell('copy.png', '1', 1, boxes[0]))
  counted = differential_count.count(classify(None, cells), 0.95)
  assert (counted['num_images'], counted['num_cells'], counted['num_duplicates']) == (1, 2, 1)
  assert sum(entry['count'] for entry in counted['classes'].values()) == 2


def test_the_files_hold_a_line_a_cell_and_a_line_a_class(tmp_path):
  differential_count.write_predictions(tmp_path / 'p.csv', classify())
  differential_count.write_count(tmp_path / 'd.csv', differential_count.count(classify(), 0.95))
  rows = list(csv.DictReader((tmp_path / 'p.csv').read_text().splitlines()))
  assert [(row['file'], row['predicted'], row['set']) for row in rows][1] == ('b.png', 'unclassified', 'A;B')
  assert list(rows[0])[:2] == ['file', 'predicted'], 'no columns for boxes where there are none'
  assert float(rows[0]['prob_A']) == 0.7
  rows = list(csv.DictReader((tmp_path / 'd.csv').read_text().splitlines()))
  assert [row['class'] for row in rows] == [*NAMES, 'unclassified']


def test_the_box_of_a_cell_stands_beside_its_file(tmp_path):
  cells = [cell.Cell('a.png', '1', 1, cell.Box(0, 1, 5, 6)), cell.Cell('a.png', '1', 2, cell.Box(5, 1, 9, 7))]
  differential_count.write_predictions(tmp_path / 'p.csv', classify(None, [*cells, CELLS[2]]))
  lines = [line.split(',')[:7] for line in (tmp_path / 'p.csv').read_text().splitlines()]
  last = [line.split(',')[-2:] for line in (tmp_path / 'p.csv').read_text().splitlines()]
  assert last == [['marks', 'repeat_of'], *[['', '']] * 3]
  assert lines == [
    ['file', 'cell', 'left', 'top', 'right', 'bottom', 'predicted'],
    ['a.png', '1', '0', '1', '5', '6', 'A'],
    ['a.png', '2', '5', '1', '9', '7', 'A'],
    ['c.png', '1', '', '', '', '', 'C'],
  ]


def doubtful(marks=('cut by the edge', 'touching', ''), repeat_of=(None, None, None)):
  boxes = [cell.Box(9 * i, 0, 9 * i + 5, 5) for i in range(3)]
  cells = [
    cell.Cell('a.png', '1', i + 1, box, (mark,) if mark else ())
    for i, (box, mark) in enumerate(zip(boxes, marks, strict=True))
  ]
  return dataclasses.replace(classify(None, cells), repeat_of=repeat_of)


def test_a_cell_that_is_cut_is_listed_and_not_counted_and_one_that_touches_another_is(tmp_path):
  classified = doubtful()
  counted = differential_count.count(classified, 0.95)
  assert [entry['count'] for entry in counted['classes'].values()] == [1, 0, 1]
  assert (counted['num_cells'], counted['left_out']) == (2, {'cut by the edge': 1})
  assert differential_count.not_counted(counted).endswith('from a whole cell: 1 cut by the edge.')
  differential_count.write_predictions(tmp_path / 'p.csv', classified)
  rows = list(csv.DictReader((tmp_path / 'p.csv').read_text().splitlines()))
  assert [row['marks'] for row in rows] == ['cut by the edge', 'touching', '']
  differential_count.write_count(tmp_path / 'd.csv', counted)
  assert 'not counted: cut by the edge,1' in (tmp_path / 'd.csv').read_text()
  # Negative control: without the mark it is counted, and nothing is said.
  counted = differential_count.count(doubtful(('', '', '')), 0.95)
  assert (counted['num_cells'], differential_count.not_counted(counted)) == (3, '')


def test_a_cell_that_another_photograph_shows_again_is_counted_once(tmp_path):
  classified = doubtful(('', '', ''), (None, 0, None))
  counted = differential_count.count(classified, 0.95)
  assert (counted['num_cells'], counted['num_repeats']) == (2, 1)
  said = 'Not counted: 1 repeat of a cell in overlapping photographs of one field.'
  assert differential_count.not_counted(counted) == said
  differential_count.write_predictions(tmp_path / 'p.csv', classified)
  rows = list(csv.DictReader((tmp_path / 'p.csv').read_text().splitlines()))
  assert [row['repeat_of'] for row in rows] == ['', 'a.png#1', '']


def test_a_cell_that_the_edge_cuts_in_all_views_is_not_said_to_be_counted():
  counted = differential_count.count(doubtful(('cut by the edge',) * 3, (None, 0, 0)), 0.95)
  assert counted['num_cells'] == 0
  said = differential_count.not_counted(counted)
  assert said.startswith('Not counted: 2 repeats of cells in overlapping photographs of one field. ')
  assert said.endswith('1 cut by the edge.')
  assert 'once' not in said
  # Negative control: a count says what is true of cells that are counted in one of their views as well.
  counted = differential_count.count(doubtful(('', '', ''), (None, 0, 0)), 0.95)
  assert (counted['num_cells'], differential_count.not_counted(counted)) == (1, said.partition('. ')[0] + '.')


def test_no_cell_is_a_count_of_nothing(tmp_path):
  empty = differential_count.classify([], np.zeros((0, 3)), NAMES, RULE, None)
  counted = differential_count.count(empty, 0.95)
  assert (counted['num_cells'], differential_count.warnings(counted)) == (0, ['There is no cell to count.'])
  differential_count.write_predictions(tmp_path / 'p.csv', empty)
  assert (tmp_path / 'p.csv').read_text().startswith('file,predicted,')


def test_left_for_review_are_those_in_doubt_and_those_that_are_unlike():
  counted = {'num_named': 371, 'num_unclassified': 88, 'num_unlike': 41, 'num_cells': 500}
  assert differential_count.left_for_review(counted) == [
    'unclassified: 88', 'unclassified (unlike): 41',
    'left for review: 129 of 500; review.html counts again with your labels',
  ]  # fmt: skip
  assert '26% of the cells are left for review' in differential_count.warnings(counted)[-1]
  nothing = {**counted, 'num_unclassified': 0, 'num_unlike': 0}
  assert differential_count.left_for_review(nothing) == ['left for review: 0 of 500']
