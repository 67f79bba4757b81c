"""The stages of the hybrid's config: its variants, and stages that do not go together."""

from __future__ import annotations

import pytest

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from configs import cnn_svr, default


@pytest.mark.parametrize(
  ('changes', 'said'),
  [
    ({'stages.svr.loss': 'hinge'}, r'stages\.svr\.loss'),
    ({'stages.svr.output_layer': 'tree'}, r'stages\.svr\.output_layer'),
    ({'stages.svr.output_layer': 'rbf'}, 'model.head'), ({'stages.softmax.is_candidate': True}, 'differ in loss'),
    ({'stages.svr.is_candidate': False}, 'none has is_candidate'),
    ({'stages.softmax.auxiliary': 1}, 'no such auxiliary classifier'),
    ({'stages.svr.auxiliary': 1, 'model.auxiliary': True}, 'is_candidate=False'), ({'svr.cost': 0.0}, r'svr\.cost'),
  ],
)  # fmt: skip
def test_stages_that_do_not_go_together_are_named(changes, said):
  with pytest.raises(types.UserError, match=said) as caught:
    experiment.resolve(experiment.nest({**experiment.flat(cnn_svr.get_config('svr')), **changes}))
  assert '\n' not in str(caught.value)


def test_every_variant_resolves_and_a_misspelt_one_is_named():
  assert {v: cnn_svr.order(v) for v in ('svr', 'softmax', 'rbf')} == {
    'svr': ('softmax', 'svr'), 'softmax': ('softmax',), 'rbf': ('softmax', 'rbf')
  }  # fmt: skip
  for variant in cnn_svr.VARIANTS:
    flat = experiment.flat(cnn_svr.get_config(variant))
    experiment.resolve(experiment.nest(flat))
    assert set(default.stage((), 1, '', 0.1)) == {
      key.split('.')[-1] for key in flat if key.startswith(f'stages.{flat["stages.order"][-1]}.')
    }
  with pytest.raises(ValueError, match='svm'):
    cnn_svr.get_config('svm')
