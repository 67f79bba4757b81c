"""Weights put into a network by name."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from bloodcell_jax.base import tree, types
from bloodcell_jax.weights import merge

PARAMS = {
  'block1_conv1': {'kernel': jnp.zeros((3, 3, 3, 2)), 'bias': jnp.zeros(2)},
  'dense_2': {'kernel': jnp.full((2, 4), 7.0), 'bias': jnp.zeros(4)},
}
ARRAYS = {
  'block1_conv1/kernel': np.ones((3, 3, 3, 2), np.float32),
  'block1_conv1/bias': np.ones(2, np.float32),
}


def put(arrays, expected=('block.*',), left_out=('fc1/.*',), kept=()):
  return merge.merge(PARAMS, arrays, expected, kept, left_out, 'x.h5')


def test_expected_names_are_replaced_and_others_stay():
  merged = put(ARRAYS)
  assert set(tree.names(merged)) == set(tree.names(PARAMS))
  assert (merged['block1_conv1']['kernel'] == 1).all()
  assert (merged['block1_conv1']['bias'] == 1).all()
  assert merged['dense_2']['kernel'] is PARAMS['dense_2']['kernel']
  assert (PARAMS['block1_conv1']['kernel'] == 0).all(), 'the given parameters are left as they were'


def test_no_memory_is_shared():
  arrays = {name: array.copy() for name, array in ARRAYS.items()}
  merged = put(arrays)
  arrays['block1_conv1/bias'][:] = 5
  assert (merged['block1_conv1']['bias'] == 1).all()


def test_another_top_may_be_left_out():
  arrays = {**ARRAYS, 'fc1/kernel': np.ones(3)}
  assert set(tree.names(put(arrays))) == set(tree.names(PARAMS))
  with pytest.raises(types.UserError, match=r'extra fc1/kernel'):
    put(arrays, left_out=())


@pytest.mark.parametrize('lacking', [(), ('block1_conv1/bias',)])
def test_what_keeps_its_values_is_not_taken_and_need_not_be_there(lacking):
  arrays = {name: array for name, array in ARRAYS.items() if name not in lacking}
  merged = put(arrays, kept=('.*/bias',))
  assert (merged['block1_conv1']['kernel'] == 1).all()
  assert merged['block1_conv1']['bias'] is PARAMS['block1_conv1']['bias']
  # Of whatever shape; and negative controls: another pattern, and a name that is only ignored where it is extra.
  assert put({**arrays, 'block1_conv1/bias': np.ones(9)}, kept=('.*/bias',))['block1_conv1'][
    'bias'
  ].shape == (2,)
  assert (put(ARRAYS, kept=('bias',))['block1_conv1']['bias'] == 1).all()
  assert (put(ARRAYS, left_out=('.*/bias',))['block1_conv1']['bias'] == 1).all()


def test_every_mismatch_is_listed_in_one_line():
  with pytest.raises(types.UserError) as caught:
    put(
      {
        'block1_conv1/kernel': np.ones((2, 3, 3, 3)),
        'block9_conv1/bias': np.ones(2),
        'dense_2/bias': np.ones(4),
      }
    )
  assert str(caught.value) == (
    'the weights from x.h5 do not fit the network: missing block1_conv1/bias; extra block9_conv1/bias; '
    'extra dense_2/bias; block1_conv1/kernel is 2x3x3x3, the network has 3x3x3x2'
  )


def test_a_pattern_that_matches_nothing_is_an_error():
  with pytest.raises(ValueError, match=r"'blok.*' matches no weight"):
    put(ARRAYS, expected=('blok.*',))


def test_the_result_has_the_networks_precision():
  arrays = {name: array.astype(np.float64) for name, array in ARRAYS.items()}
  assert put(arrays)['block1_conv1']['kernel'].dtype == jnp.float32
