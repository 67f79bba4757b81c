"""Keypoints: mirrored descriptors without a second detection, none on what filled a copy's corners."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from bloodcell_jax.data.sources import smear
from bloodcell_jax.fields import keypoints


@pytest.fixture(scope='module')
def photograph_HWC() -> np.ndarray:
  # Of keypoints.LONG_SIDE, so that nothing is resized.
  return smear.draw('NEUTROPHIL', np.random.default_rng(3), 240, 320)


def test_the_mirror_images_descriptors_are_a_permutation_of_the_images_own(photograph_HWC):
  xy, values, (width, _) = keypoints.detect(photograph_HWC)
  xy_mirror, values_mirror, _ = keypoints.detect(np.ascontiguousarray(photograph_HWC[:, ::-1]))
  turned, plain = [], []
  for (x, y), own, permuted in zip(xy, values, keypoints.mirrored(values), strict=True):
    there = np.hypot(width - 1 - x - xy_mirror[:, 0], y - xy_mirror[:, 1]) < 1
    if there.any():
      others = values_mirror[there].astype(int)
      # Of several orientations at one place the nearest is meant.
      turned.append(np.abs(permuted.astype(int) - others).mean(1).min())
      plain.append(np.abs(own.astype(int) - others).mean(1).min())
  assert len(turned) > 0.8 * len(xy) > 50
  # In units of 1/512; without the permutation they are as far apart as any two.
  assert np.median(turned) < 2
  assert np.median(plain) > 10
  np.testing.assert_array_equal(keypoints.mirrored(keypoints.mirrored(values)), values)


def test_what_filled_the_corners_of_a_turned_copy_has_no_keypoint(photograph_HWC):
  turn = cv2.getRotationMatrix2D((160, 120), 15, 1)
  black_HWC = cv2.warpAffine(photograph_HWC, turn, (320, 240))
  filled_HW = cv2.warpAffine(np.ones((240, 320), np.uint8), turn, (320, 240)) == 0
  near_HW = cv2.dilate(filled_HW.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0

  def share_near(image_HWC: np.ndarray) -> float:
    xy = keypoints.detect(image_HWC)[0].astype(int)
    return near_HW[xy[:, 1], xy[:, 0]].mean()

  assert share_near(black_HWC) == 0
  # A fill of another colour is not known for one, and then there are some.
  grey_HWC = np.where(filled_HW[..., None], 90, black_HWC).astype(np.uint8)
  assert share_near(grey_HWC) > 0


def test_an_image_without_anything_has_no_keypoints_and_any_size_is_brought_to_the_long_side():
  xy, values, size = keypoints.detect(np.full((50, 30, 3), 200, np.uint8))
  assert (len(xy), values.shape, size) == (0, (0, 128), (192, 320))


def test_collected_keypoints_are_those_of_each_image(photograph_HWC):
  collector, actual = keypoints.Collector(3), keypoints.detect(photograph_HWC)
  empty = keypoints.detect(np.zeros((40, 40, 3), np.uint8))
  for one in (actual, empty, actual):
    collector.add(*one)
  points = collector.keypoints()
  assert len(points) == 3
  for row, (xy, values, size) in enumerate((actual, empty, actual)):
    np.testing.assert_array_equal(points.of_image(row)[0], xy)
    np.testing.assert_array_equal(points.of_image(row)[1], values)
    assert tuple(points.size_N2[row]) == size
