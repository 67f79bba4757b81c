"""The configs of docs/best.md."""

from __future__ import annotations

import pytest

from bloodcell_jax.config import experiment
from configs import best


def test_the_variants_differ_in_copies_and_symmetries_alone():
  flat = {name: experiment.flat(best.get_config(name)) for name in best.VARIANTS}
  differing = {key for key in flat['quick'] if flat['quick'][key] != flat['whole'][key]}
  assert differing == {'train.max_copies', 'evaluate.tta'}
  assert best.get_config() == best.get_config('whole')
  with pytest.raises(ValueError, match="no variant 'fast'; choose one of quick, whole"):
    best.get_config('fast')


@pytest.mark.parametrize('name', best.VARIANTS)
def test_only_the_output_layer_is_fitted_on_cached_features(name):
  exp = experiment.resolve(best.get_config(name))
  (stage,) = exp.stages
  assert (stage.output_layer, stage.weights.trainable) == ('logistic', ('dense_.*',))
  assert exp.cache_features
  assert exp.model.head == 'mean_max'
