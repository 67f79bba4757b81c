"""Pixel conventions against Keras' own preprocessing."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from bloodcell_jax.base import types
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


@pytest.mark.parametrize(
  ('change', 'message'), [({'std': (1.0, 0.0, 1.0)}, 'above 0'), ({'channels': 'GBR'}, 'RGB or BGR')]
)
def test_values_that_are_no_convention_are_refused(change, message):
  with pytest.raises(types.UserError, match=message):
    dataclasses.replace(convention.CAFFE, **change)
