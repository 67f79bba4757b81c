"""Views of an image: all symmetries of a square, each once, the same for NumPy and JAX."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from bloodcell_jax.data.augmentation import test_time
from bloodcell_jax.runs import forward

IMAGE_BHWC = np.random.default_rng(0).random((2, 5, 5, 3)).astype(np.float32)


@pytest.mark.parametrize(
  ('kind', 'number'), [('none', 1), ('mirrors', 4), ('symmetries', 8), ('symmetries_logits', 8)]
)
def test_each_view_is_another_arrangement_of_the_same_pixels(kind, number):
  seen = list(test_time.copies(IMAGE_BHWC, kind))
  assert len({view.tobytes() for view in seen}) == len(seen) == number
  np.testing.assert_array_equal(seen[0], IMAGE_BHWC)
  for view in seen:
    assert np.sort(view.ravel()).tolist() == np.sort(IMAGE_BHWC.ravel()).tolist()
  for view, traced in zip(seen, test_time.copies(jnp.asarray(IMAGE_BHWC), kind), strict=True):
    np.testing.assert_array_equal(view, traced)


def test_the_views_of_a_turned_image_are_those_of_the_image():
  def as_set(image: np.ndarray, kind: str) -> set[bytes]:
    return {np.ascontiguousarray(view).tobytes() for view in test_time.copies(image, kind)}

  turned = np.rot90(IMAGE_BHWC, axes=(1, 2))
  assert as_set(turned, 'symmetries') == as_set(IMAGE_BHWC, 'symmetries')
  assert as_set(turned, 'mirrors') != as_set(IMAGE_BHWC, 'mirrors'), 'mirrors alone do not turn'


def test_the_mean_is_taken_of_logits_or_of_probabilities_as_the_kind_says():
  logits_VBK = np.random.default_rng(1).normal(size=(4, 3, 2)).astype(np.float32) * 3
  of_logits = np.asarray(forward.pooled(logits_VBK, 'mirrors_logits'))
  np.testing.assert_allclose(of_logits, logits_VBK.mean(0), rtol=1e-6)
  of_probabilities = special.softmax(np.asarray(forward.pooled(logits_VBK, 'mirrors')), -1)
  np.testing.assert_allclose(of_probabilities, special.softmax(logits_VBK, -1).mean(0), rtol=1e-5)
  assert abs(special.softmax(of_logits, -1) - of_probabilities).max() > 0.01
