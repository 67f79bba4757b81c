"""What is said of unlabelled images: names, doubt, and a count that says how little it knows."""

import csv

import numpy as np

from bloodcell_jax.inference import differential_count
from bloodcell_jax.stats import calibration

NAMES = ('A', 'B', 'C')
PROBS = np.array([[0.7, 0.2, 0.1], [0.4, 0.35, 0.25], [0.05, 0.05, 0.9]])
RULE = calibration.Calibration(1.0, 0.05, 0.6, calibration.Conformal('lac', 0.1, 0.7), 100, 20)


def made(rule=RULE):
  return differential_count.of(['a.png', 'b.png', 'c.png'], ['1', '2', '3'], PROBS, NAMES, rule)


def test_an_image_under_the_threshold_is_left_for_review_and_keeps_its_likeliest_class():
  found = made()
  assert found.named == ('A', differential_count.UNCLASSIFIED, 'C')
  assert found.likeliest == ('A', 'A', 'C')
  assert found.sets == (('A',), ('A', 'B'), ('C',))
  # Negative control: without a rule every image is named and nothing is said of doubt.
  bare = made(None)
  assert bare.named == bare.likeliest
  assert bare.sets == ((), (), ())
  assert not bare.calibrated


def test_the_temperature_of_the_run_is_applied():
  cooled = made(calibration.Calibration(2.0, 0.05, 0.6, RULE.conformal, 100, 20))
  root = np.sqrt(PROBS)
  np.testing.assert_allclose(cooled.probs_NK, root / root.sum(1, keepdims=True))
  np.testing.assert_allclose(made().probs_NK, PROBS)


def test_the_count_is_of_the_named_and_warns_of_few_cells():
  counted = differential_count.count(made(), 0.95)
  assert [entry['count'] for entry in counted['classes'].values()] == [1, 0, 1]
  assert counted['num_unclassified'] == 1
  assert counted['classes']['A']['share'] == 0.5
  few, left = differential_count.warnings(counted)
  assert '2 cells are named, fewer than 100' in few
  assert '33% of the images are left for review' in left
  assert [entry['likeliest'] for entry in counted['classes'].values()] == [2, 0, 1]
  assert differential_count.warnings({'num_named': 100, 'num_unclassified': 5, 'num_images': 105}) == []
  nothing = differential_count.count(
    made(calibration.Calibration(1.0, 0.05, None, RULE.conformal, 100, 20)), 0.95
  )
  assert {entry['share'] for entry in nothing['classes'].values()} == {None}


def test_the_files_hold_a_line_an_image_and_a_line_a_class(tmp_path):
  differential_count.write(tmp_path / 'p.csv', made())
  differential_count.write_count(tmp_path / 'd.csv', differential_count.count(made(), 0.95))
  rows = list(csv.DictReader((tmp_path / 'p.csv').read_text().splitlines()))
  assert [(row['file'], row['predicted'], row['set']) for row in rows][1] == ('b.png', 'unclassified', 'A;B')
  assert float(rows[0]['prob_A']) == 0.7
  rows = list(csv.DictReader((tmp_path / 'd.csv').read_text().splitlines()))
  assert [row['class'] for row in rows] == [*NAMES, 'unclassified']
