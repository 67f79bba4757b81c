"""A run whose convolutions are adapted as well: an ordinary run, and killed and continued to the same bits."""

from __future__ import annotations

import json
import pathlib

import adaptable
import html_checker
import pytest
from adaptable import flags, params
from starting import run

TRAINED = ('--trainable=convolutions', '--updates=12')


@pytest.fixture(scope='module')
def places(tmp_path_factory) -> dict[str, pathlib.Path]:
  return adaptable.write(tmp_path_factory.mktemp('adapt'))


@pytest.fixture(scope='module')
def tuned(places) -> tuple[pathlib.Path, str]:
  return adaptable.adapt(places, 'tuned', *TRAINED, loads=('tensorflow',))


@pytest.mark.long
def test_a_run_with_trained_convolutions_is_an_ordinary_run_that_answers_as_its_report_says(places, tuned):
  to, out = tuned
  assert '4 of 4 networks to train (3 folds and the run itself), 12 updates of 64 images each' in out
  # All is trained but the first convolution.
  before, after = params(places['run']), params(to)
  assert {name for name in before if after[name] == before[name]} == {'conv2d_1/bias', 'conv2d_1/kernel'}
  result = json.loads((to / 'adaptation.json').read_text())['result']
  assert (result['num_folds'], result['updates'], result['alone']['num_images']) == (3, 12, 24)
  calibration = json.loads((to / 'calibration.json').read_text())
  assert (calibration['num_images'], calibration['num_groups']) == (24, 24)
  page = (to / 'report.html').read_text()
  assert html_checker.check(page) == []
  assert 'all weights but those of the first convolution were trained for 12 updates' in page
  # Evaluated again, it is the trained network that answers for the old images, with the calibration of labels left out.
  code, _, err = run('evaluate', f'--workdir={to}')
  assert code == 0, err
  assert json.loads((to / 'calibration.json').read_text()) == calibration
  answered = json.loads((to / 'metrics.json').read_text())['test']['accuracy']['value']
  assert answered == pytest.approx(result['home']['test']['after']['accuracy']['value'])


@pytest.mark.slow
def test_killed_in_the_second_fold_and_typed_again_it_comes_to_the_same_bits(places, tuned, tmp_path):
  to = tmp_path / 'killed'
  command = (*flags(places, 'labels.csv', to), *TRAINED)
  plan = {
    'at': 'step', 'after': 0.0, 'nth': 2, 'delay': 0.0, 'note': str(tmp_path / 'note.json'), 'is_at_once': True,
  }  # fmt: skip
  code, _, err = run(*command, loads=('tensorflow',), plan=plan)
  assert code == -9, err
  assert (to / 'folds' / '1' / 'predictions' / 'held_out.csv').exists()
  code, out, err = run(*command, loads=('tensorflow',))
  assert code == 0, err
  assert '3 of 4 trainings' in out
  assert params(to) == params(tuned[0])
  for name in ('predictions/cross_fitted.csv', 'label_next.csv'):
    assert (to / name).read_bytes() == (tuned[0] / name).read_bytes(), name
