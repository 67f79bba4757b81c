"""The contact sheet says of each image what was done to it, the crop included."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bloodcell_jax.config import experiment
from bloodcell_jax.runs import augmentation_sheet
from configs import default

HEIGHT, WIDTH = 48, 64


def drawn(**changes) -> list[tuple[str, np.ndarray]]:
  """The caption of each image, in one line, and the image; the original has its row and column as red and green."""
  exp = experiment.from_flat({**experiment.flat(default.get_config()), **changes})
  image_HWC = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
  image_HWC[..., 0], image_HWC[..., 1] = np.mgrid[:HEIGHT, :WIDTH]
  sheet = augmentation_sheet.sheet(exp.transform, 3, image_HWC, 'a cell')
  panels = [axis for axis in sheet.axes if axis.images]
  return [(axis.get_xlabel().replace('\n', ' '), np.asarray(axis.images[0].get_array())) for axis in panels]


def test_a_cropped_image_is_called_cropped_with_the_place_that_it_shows():
  (first, whole_HWC), *rest = drawn(**{'augment.crop_range': (0.5, 0.6), 'augment.crop_shift': 0.3})
  assert first == 'as it is'
  assert len(rest) == augmentation_sheet.NUM_DRAWS
  for caption, image_HWC in rest:
    place = re.fullmatch(r'crop (\d+)x(\d+) px at (\d+), (\d+)', caption)
    assert place, caption
    width, height, left, top = map(int, place.groups())
    assert image_HWC[0, 0, :2] == pytest.approx([top, left], abs=1)
    assert image_HWC[-1, -1, :2] == pytest.approx([top + height - 1, left + width - 1], abs=2)
    assert not np.array_equal(image_HWC, whole_HWC)
  assert len({caption for caption, _ in rest}) > 3


@pytest.mark.parametrize('crop_range', [(), (1.0, 1.0)])
def test_an_image_is_called_unchanged_only_if_it_is(crop_range):
  (_, whole_HWC), *rest = drawn(**{'augment.crop_range': crop_range})
  for caption, image_HWC in rest:
    assert caption == 'unchanged'
    # A crop of the whole image is interpolated, and cast to whole grey levels.
    np.testing.assert_allclose(image_HWC.astype(int), whole_HWC.astype(int), atol=1 if crop_range else 0)


def test_the_crop_comes_before_what_follows_it():
  captions = [
    caption
    for caption, _ in drawn(**{'augment.crop_range': (0.5, 0.6), 'augment.horizontal_flip': True, 'seed': 1})[
      1:
    ]
  ]
  assert all(caption.startswith('crop ') for caption in captions)
  assert {caption.endswith(', mirrored') for caption in captions} == {True, False}
