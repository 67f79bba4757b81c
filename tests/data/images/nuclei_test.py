"""Nuclei are found where they are, and each of them once."""

from __future__ import annotations

import numpy as np
import pytest

from bloodcell_jax.data.images import locate, nuclei


def images() -> np.ndarray:
  """A nucleus in the first and the third, none in the second."""
  image_NHWC = np.full((3, 41, 61, 3), 200, np.uint8)
  image_NHWC[0, 10:20, 40:50, 1] = 60
  image_NHWC[2, 22:32, 10:20, 1] = 60
  return image_NHWC


@pytest.fixture
def looked_at(monkeypatch) -> list[bytes]:
  """The images in which a nucleus is looked for."""
  seen, find = [], locate.nucleus
  monkeypatch.setattr(
    locate, 'nucleus', lambda image_HWC: seen.append(image_HWC.tobytes()) or find(image_HWC)
  )
  return seen


def test_centres_are_where_the_nucleus_is_or_the_middle():
  found = nuclei.Nuclei(images())
  assert (len(found), found.shape) == (3, (41, 61, 3))
  np.testing.assert_allclose(found.centres(np.arange(2)), [[14.5, 44.5], [20, 30]])
  np.testing.assert_allclose(found.centres(np.array([2, 0, 2])), [[26.5, 14.5], [14.5, 44.5], [26.5, 14.5]])
  assert found.centres(np.zeros(0, np.int64)).shape == (0, 2)


def test_each_nucleus_is_looked_for_once_and_only_when_asked_for(looked_at):
  found, image_NHWC = nuclei.Nuclei(images()), images()
  assert not looked_at
  found.centres(np.array([2, 2]))
  assert looked_at == [image_NHWC[2].tobytes()]
  for rows in ([1, 2], [0, 1, 2], [1]):
    found.centres(np.array(rows))
  assert looked_at == [image_NHWC[row].tobytes() for row in (2, 1, 0)], 'one without a nucleus is kept too'
