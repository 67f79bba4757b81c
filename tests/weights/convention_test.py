"""Pixel conventions against Keras' own preprocessing."""

from __future__ import annotations

import dataclasses
import json

import jax
import numpy as np
import pytest

from bloodcell_jax import types
from bloodcell_jax.weights import convention

IMAGE_BHWC = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), np.uint8)


@pytest.mark.parametrize(('ours', 'theirs'), [(convention.CAFFE, 'caffe'), (convention.TORCHVISION, 'torch')])
def test_it_gives_what_keras_gives(ours, theirs):
  from keras.applications import imagenet_utils

  expected = imagenet_utils.preprocess_input(IMAGE_BHWC.astype(np.float32), mode=theirs)
  found = jax.jit(ours.apply)(IMAGE_BHWC)
  assert found.dtype == np.float32
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
  other = convention.TORCHVISION if ours == convention.CAFFE else convention.CAFFE
  assert np.abs(other.apply(IMAGE_BHWC) - expected).max() > 1, 'the other convention must differ'


def test_unit_is_the_division_by_255_and_none_changes_nothing():
  # XLA multiplies by the reciprocal, which may round the last bit the other way.
  np.testing.assert_allclose(
    convention.UNIT.apply(IMAGE_BHWC), IMAGE_BHWC.astype(np.float32) / 255, rtol=2e-7
  )
  np.testing.assert_array_equal(convention.NONE.apply(IMAGE_BHWC), IMAGE_BHWC.astype(np.float32))


@pytest.mark.parametrize('name', convention.CONVENTIONS)
def test_it_survives_json(name):
  known = convention.CONVENTIONS[name]
  assert convention.from_dict(json.loads(json.dumps(known.to_dict()))) == known
  own = dataclasses.replace(known, name='own', divisor=2.0)
  assert convention.from_dict(own.to_dict()) == own


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'mean': [1.0, 2.0, 3.0]}, 'other values'),
    ({'name': 'own', 'std': [1.0, 0.0, 1.0]}, 'above 0'),
    ({'name': 'own', 'channels': 'GBR'}, 'RGB or BGR'),
    ({'name': 'own', 'mean': 'abc'}, 'numbers'),
    ({'extra': 1}, 'keys must be'),
  ],
)
def test_values_that_are_no_convention_are_refused(change, message):
  with pytest.raises(types.UserError, match=message):
    convention.from_dict({**convention.CAFFE.to_dict(), **change})
