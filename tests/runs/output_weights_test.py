"""The output layer among the weights of a network: read, replaced, and its input computed."""

from __future__ import annotations

import types

import numpy as np
import pytest

from bloodcell_jax.base import tree
from bloodcell_jax.heads import logistic
from bloodcell_jax.models import rbf
from bloodcell_jax.runs import model_set, output_weights


@pytest.fixture
def job():
  network = types.SimpleNamespace(output_layer='dense_3')
  return types.SimpleNamespace(experiment=types.SimpleNamespace(model=types.SimpleNamespace(network=network)))


@pytest.fixture
def params():
  rng = np.random.default_rng(0)
  # Of all magnitudes, down to those below the least normal number.
  kernel_DK = (rng.normal(size=(5000, 4)) * 10 ** rng.uniform(-44, 30, (5000, 4))).astype(np.float32)
  return {
    'dense_2': {'kernel': np.ones((3, 5000), np.float32)},
    'dense_3': {'kernel': kernel_DK, 'bias': rng.normal(size=4).astype(np.float32)},
    'dense_31': {'kernel': np.ones((2, 2), np.float32)},
  }


def test_a_layer_that_is_put_into_the_weights_is_read_again_and_the_others_are_the_same_arrays(job, params):
  layer = logistic.Linear(np.full((5000, 2), 1 / 3), np.array([0.5, 2.0]))
  changed = output_weights.replaced(job, params, layer)
  again = output_weights.read(job, changed)
  np.testing.assert_array_equal(again.kernel_DK, layer.kernel_DK.astype(np.float32))
  np.testing.assert_array_equal(again.bias_K, layer.bias_K)
  before, after = tree.names(params), tree.names(changed)
  assert {name for name in before if after[name] is not before[name]} == {'dense_3/kernel', 'dense_3/bias'}
  assert all(leaf.dtype == np.float32 for leaf in after.values())
  assert not np.array_equal(output_weights.read(job, params).bias_K, again.bias_K)


def test_a_temperature_divides_the_layer_with_the_bits_of_float32(job, params):
  for temperature in (0.2, 1.7, 1 / 3, 1e-3):
    divided = model_set._divide(job, params, temperature)
    for name, leaf in params['dense_3'].items():
      with np.errstate(over='ignore'):
        expected = leaf / np.float32(temperature)
      assert divided.params['dense_3'][name].tobytes() == expected.tobytes()
  # Negative control: these numbers tell another divisor, here that of a temperature that was not rounded before.
  unrounded = (params['dense_3']['kernel'].astype(np.float64) / 1e-3).astype(np.float32)
  assert unrounded.tobytes() != divided.params['dense_3']['kernel'].tobytes()


def test_the_input_of_the_layer_is_the_embedding_or_what_all_neurons_behind_it_answer(params):
  rng = np.random.default_rng(1)
  embedding_ND = rng.normal(size=(300, 6)).astype(np.float32)
  assert output_weights.inputs(params, embedding_ND) is embedding_ND
  neurons = {
    'centre': rng.normal(size=(5, 6)).astype(np.float32),
    'log_width': rng.normal(size=5).astype(np.float32),
  }
  input_NM = output_weights.inputs({**params, 'rbf_1': neurons}, embedding_ND)
  assert input_NM.shape == (300, 5)
  assert input_NM.dtype == np.float32
  # More rows than are computed at once.
  whole_NM = rbf.activations(embedding_ND, neurons['centre'], neurons['log_width'])
  np.testing.assert_allclose(input_NM, whole_NM, atol=1e-6)
  assert not np.allclose(input_NM, whole_NM[::-1])
