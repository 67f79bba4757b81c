"""One function lists what a run chose on which split, from the files of its folder."""

from __future__ import annotations

from typing import Any

import pytest

from bloodcell_jax.config import experiment
from bloodcell_jax.reports import selection
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic
from configs import default


def folder(
  path, ensemble: dict[str, Any] | None = None, is_calibrated: bool = True, **changes
) -> workdir.Workdir:
  """A run's folder as far as the choices show in it."""
  path.mkdir(parents=True, exist_ok=True)
  run = workdir.Workdir(path)
  atomic.write_json(run.config, {**experiment.flat(default.get_config()), **changes})
  if ensemble:
    atomic.write_json(run.ensemble, {'combine': 'mean', 'method': 'average', 'best_member': None, **ensemble})
  if is_calibrated:
    atomic.write_json(run.calibration, {})
  return run


def test_a_single_run_chooses_its_epoch_and_its_calibration_on_validation(tmp_path):
  found = selection.choices(folder(tmp_path))
  assert found['validation'] == (
    'the epoch', 'the temperature', 'the confidence threshold', 'the conformal sets',
  )  # fmt: skip
  assert 'test' not in found
  bare = selection.choices(folder(tmp_path / 'bare', is_calibrated=False))
  assert bare['validation'] == ('the epoch',)


@pytest.mark.parametrize(
  ('updates', 'fitted'), [(0, 'the output layer'), (300, 'but those of its first block')]
)
def test_of_an_adapted_run_what_was_fitted_is_named(tmp_path, updates, fitted):
  run = folder(tmp_path)
  result = {'updates': updates} if updates else {}
  atomic.write_json(run.adaptation, {'request': {}, 'result': result})
  found = selection.choices(run)
  assert fitted in found['train'][0]
  assert found['cross_fitted'][0] == 'the temperature'


def test_an_epoch_chosen_on_training_is_listed_under_train(tmp_path):
  found = selection.choices(folder(tmp_path, is_calibrated=False, **{'train.monitor': 'loss'}))
  assert 'the epoch' in found['train']
  assert 'validation' not in found


@pytest.mark.parametrize(
  ('ensemble', 'split', 'choice'),
  [
    ({'combine': 'weighted'}, 'validation', 'the weights of the members'),
    ({'combine': 'soup'}, 'validation', 'which members are averaged'),
    ({'combine': 'logistic'}, 'validation', 'the meta-learner'),
    ({'combine': 'logistic', 'learned_on': 'validation'}, 'validation', 'the meta-learner'),
    ({'combine': 'weighted', 'learned_on': 'out_of_fold'}, 'train', 'the weights of the members'),
    ({'method': 'samme', 'combine': 'samme'}, 'train', 'the boosting weight of each member'),
    ({'best_member': '1'}, 'validation', 'the member that the ensemble is compared with'),
  ],
)
def test_what_an_ensemble_fits_is_listed(tmp_path, ensemble, split, choice):
  assert choice in selection.choices(folder(tmp_path / 'a', ensemble))[split]
  # Negative control: an ensemble that fits nothing.
  plain = selection.choices(folder(tmp_path / 'b', {'combine': 'mean'}))
  assert choice not in (*plain.get('train', ()), *plain.get('validation', ()))


def test_clean_test_images_stand_first_and_what_chose_never_does(tmp_path):
  chosen = selection.choices(folder(tmp_path))
  assert selection.headline(['validation', 'test', 'test_clean'], chosen) == 'test_clean'
  assert selection.headline(['validation', 'test', 'my_images'], chosen) == 'test'
  assert selection.headline(['train', 'validation', 'my_images'], chosen) == 'my_images'
  assert selection.headline(['train', 'validation'], chosen) == 'validation'
  assert selection.headline(['validation', 'test', 'test_clean'], {'test_clean': ('x',)}) == 'test'


def test_weights_fitted_on_validation_touch_no_training_image(tmp_path):
  plain = selection.choices(folder(tmp_path, {'combine': 'weighted'}))
  assert 'the weights of the members' not in plain['train']
  assert 'the weights of the members' in plain['validation']


def test_figures_out_of_fold_are_not_said_to_be_of_images_that_trained_nothing():
  assert selection.evidence(['out_of_fold'], {}) == (
    'Each image of out_of_fold is answered by what was trained and fitted without its group.'
  )
  assert (
    selection.evidence(['test', 'mine'], {}) == 'Nothing in this run was chosen or fitted on test or mine.'
  )
  assert selection.evidence(['validation'], {'validation': ('the epoch',)}) == ''


def test_figures_of_a_split_that_chose_are_called_no_evidence():
  chosen = {'validation': ('the epoch', 'the temperature')}
  assert selection.sentence('validation', chosen) == (
    'Chosen on validation: the epoch and the temperature. The figures on validation are therefore optimistic and '
    'not evidence.'
  )
  assert selection.sentence('test', chosen) == ''
