"""What the section of a split says of the calibration, and of which images it was fitted on."""

import dataclasses

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.reports import report, selection, split_section
from bloodcell_jax.stats import bootstrap, calibration, conformal, intervals
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import history

SPEC = intervals.Spec(100, 0.95, 'bca', ())
RULE = calibration.Calibration(1.6, 0.05, 0.7, conformal.Conformal('lac', 0.1, 0.8), 16, 8)
ORDINARY = {selection.VALIDATION: ('the epoch', *selection._CALIBRATION)}
ADAPTED = {selection.TRAIN: ('the output layer',), selection.CROSS_FITTED: selection._CALIBRATION}
SAME = 'were fitted on these same images'


def entry(rule):
  label_N = np.repeat(np.arange(2, dtype=np.int32), 20)
  name_N = np.arange(40).astype(str)
  found = types.Predictions(np.eye(2)[label_N] * 0.8 + 0.1, label_N, name_N, name_N, ('A', 'B'))
  return {
    **bootstrap.summary(found, SPEC, 0),
    'note': '',
    'doubt': calibration.summary(rule, found, SPEC, 0, None),
  }


@pytest.mark.parametrize(
  ('chosen', 'fitted_on'), [(ORDINARY, 'validation'), (ADAPTED, 'cross_fitted'), ({}, 'validation')]
)
def test_the_images_that_a_calibration_was_fitted_on_are_those_of_the_run_and_no_others(
  tmp_path, chosen, fitted_on
):
  folder, without = workdir.Workdir(tmp_path), dataclasses.replace(RULE, threshold=None)
  for name in ('validation', 'cross_fitted', 'test'):
    page = split_section.section(folder, name, entry(RULE), False, chosen)
    assert (SAME in page) == (name == fitted_on), name
    page = split_section.section(folder, name, entry(without), False, chosen)
    assert f'reached the target error rate on {fitted_on}: every image is left' in page


def test_the_calibration_of_an_adapted_run_is_not_said_to_rest_on_validation():
  metrics = {'cross_fitted': entry(RULE), 'validation': entry(RULE)}
  assert report.APPROXIMATE in report._results(metrics, ORDINARY)
  adapted = report._results(metrics, ADAPTED)
  assert report.APPROXIMATE not in adapted
  assert report.APPROXIMATE_ADAPTED in adapted


def test_a_run_without_epochs_lists_none_and_one_of_a_single_epoch_counts_it():
  assert report._epochs_section([]) == ''
  record = history.Record(1, 1, 'adapt', 1.0, 0.5, 1.0, 0.5, 0.0, 60.0, 1.0, 0.0)
  (one, two) = (report._epochs_section(records) for records in ([record], [record, record]))
  assert '<p>1 epoch, 1 step, 1.0 minutes' in one
  assert '<p>2 epochs, 1 step, 2.0 minutes' in two
  assert '<caption>epochs</caption>' in one
