"""The configs of docs/best.md."""

from __future__ import annotations

import pytest

from bloodcell_jax.config import experiment
from configs import best, pretraining


def test_the_default_is_five_networks_of_the_quick_recipe():
  flat = {name: experiment.flat(best.get_config(name)) for name in best.VARIANTS}
  differing = {key for key in flat['quick'] if flat['quick'][key] != flat['whole'][key]}
  assert differing == {'ensemble.method'}
  assert flat['whole']['ensemble.members'] == 5
  assert best.get_config() == best.get_config('whole')
  with pytest.raises(ValueError, match="no variant 'fast'; choose one of quick, whole, frozen"):
    best.get_config('fast')


def test_of_the_frozen_variant_the_output_layer_alone_is_fitted_on_cached_features():
  exp = experiment.resolve(best.get_config('frozen'))
  (stage,) = exp.stages
  assert (stage.output_layer, stage.weights.trainable) == ('logistic', ('dense_.*',))
  assert exp.cache_features
  assert exp.weights.path == 'auto'
  assert not exp.transform.is_random


@pytest.mark.parametrize('config', [best.get_config('quick'), pretraining.get_config()], ids=['quick', 'pbc'])
def test_the_convolutions_are_trained_from_a_fitted_output_layer_on(config):
  exp = experiment.resolve(config)
  fit, fine = exp.stages
  assert (fit.output_layer, fit.weights.trainable) == ('logistic', ('dense_.*',))
  assert fine.output_layer == ''
  assert fine.weights.trainable == ('block[2-5]_.*', 'dense_.*')
  # Random pixels have no use for features of the pixels before.
  assert exp.transform.is_random
  assert not exp.cache_features


def test_the_crop_and_the_network_are_those_that_the_weights_are_for():
  flat = {name: experiment.flat(best.get_config(name)) for name in best.VARIANTS}
  before = experiment.flat(pretraining.get_config())
  for key in ('model.head', 'data.image_size', 'augment.preprocessing_function'):
    assert {values[key] for values in flat.values()} == {before[key]}
  assert {name: values['model.name'] for name, values in flat.items()} == {
    'quick': before['model.name'],
    'whole': before['model.name'],
    'frozen': 'alexnet3',
  }
  assert {name: values['weights.path'] for name, values in flat.items()} == {
    'quick': 'pbc',
    'whole': 'pbc',
    'frozen': 'auto',
  }
