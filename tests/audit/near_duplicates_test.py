"""Copies are found whatever was done to them; other photographs of the same class stay apart."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from bloodcell_jax.audit import grouping, near_duplicates
from bloodcell_jax.data.sources import smear
from bloodcell_jax.fields import geometry, keypoints

HEIGHT, WIDTH = 240, 320


def compressed(image_HWC: np.ndarray, quality: int) -> np.ndarray:
  buffer = io.BytesIO()
  Image.fromarray(image_HWC).save(buffer, 'JPEG', quality=quality)
  return np.asarray(Image.open(buffer))


def warped(image_HWC: np.ndarray, linear_22: np.ndarray, shift: tuple[float, float] = (0, 0)) -> np.ndarray:
  """Moved about its middle, with black where nothing comes into view."""
  middle = np.array([WIDTH / 2, HEIGHT / 2])
  affine_23 = np.column_stack([linear_22, middle - linear_22 @ middle + np.array(shift)])
  return cv2.warpAffine(image_HWC, affine_23, (WIDTH, HEIGHT))


def turn(degrees: float) -> np.ndarray:
  angle = np.deg2rad(degrees)
  return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


# What an image's copy may have gone through.
CHANGES = {
  'turned': lambda image: warped(image, turn(20)),
  'mirrored': lambda image: np.ascontiguousarray(image[:, ::-1]),
  'upside down': lambda image: np.ascontiguousarray(image[::-1]),
  'sheared': lambda image: warped(image, np.array([[1, 0.2], [0, 1]])),
  'shifted': lambda image: warped(image, np.eye(2), (32, -24)),
  're-compressed': lambda image: compressed(image, 40),
  'brightened': lambda image: np.minimum(image.astype(int) * 13 // 10, 255).astype(np.uint8),
  'made smaller': lambda image: cv2.resize(image, (160, 120), interpolation=cv2.INTER_AREA),
  'all at once': lambda image: compressed(
    warped(image[:, ::-1] // 10 * 11, turn(-17) @ np.array([[1, 0.15], [0, 1]]), (20, 15)), 75
  ),
}


def photograph(class_name: str, seed: int) -> np.ndarray:
  return smear.draw(class_name, np.random.default_rng(seed), HEIGHT, WIDTH)


def detect_all(images: list[np.ndarray]) -> keypoints.Keypoints:
  collector = keypoints.Collector(len(images))
  for image_HWC in images:
    collector.add(*keypoints.detect(image_HWC))
  return collector.keypoints()


def grouped(images: list[np.ndarray]) -> near_duplicates.Duplicates:
  return found(detect_all(images), images, np.arange(len(images)))


def found(
  points: keypoints.Keypoints, images: list[np.ndarray], equal_N: np.ndarray, num_threads: int = 1
) -> near_duplicates.Duplicates:
  generator = np.random.default_rng(0)
  return near_duplicates.find(
    points, equal_N, images.__getitem__, generator, num_threads, lambda: None, lambda text: None
  )


def test_every_kind_of_copy_is_found_and_no_other_photograph_of_the_class_joins_them():
  original = [photograph('EOSINOPHIL', seed) for seed in range(12)]
  images = [*original, *(change(original[0]) for change in CHANGES.values())]
  duplicates = grouped(images)
  missed = [
    name
    for name, group in zip(CHANGES, duplicates.group_N[len(original) :], strict=True)
    if group != duplicates.group_N[0]
  ]
  assert missed == []
  # The control: twelve photographs drawn alike are twelve groups.
  assert len(set(duplicates.group_N[: len(original)].tolist())) == len(original)


@pytest.mark.parametrize('name', ['turned', 'mirrored', 'all at once'])
def test_the_affine_map_warps_the_copy_onto_the_photograph(name):
  original = photograph('MONOCYTE', 5)
  copy = CHANGES[name](original)
  points = detect_all([original, copy])
  is_mirrored = name != 'turned'
  result = geometry.match(points, 0, 1, is_mirrored, near_duplicates.LEAST)
  assert result is not None
  laid_HWC = geometry.warp(copy, result, points.size_N2[1], points.size_N2[0])
  inside_HW = laid_HWC.min(axis=2) > 20
  inside_HW[:30], inside_HW[-30:], inside_HW[:, :30], inside_HW[:, -30:] = False, False, False, False

  def unlike(image_HWC: np.ndarray) -> float:
    return 1 - np.corrcoef(image_HWC[inside_HW].ravel(), original[inside_HW].ravel())[0, 1]

  assert inside_HW.mean() > 0.4
  assert unlike(laid_HWC) < 0.1 < unlike(copy)
  assert geometry.match(points, 0, 1, not is_mirrored, near_duplicates.LEAST) is None


def test_unrelated_images_share_no_map_and_an_implausible_map_is_refused():
  points = detect_all([photograph('LYMPHOCYTE', seed) for seed in range(6)])
  pairs = [(a, b, mirrored) for a in range(6) for b in range(a) for mirrored in (False, True)]
  reached = [result.inliers for pair in pairs if (result := geometry.match(points, *pair, 4)) is not None]
  assert max(reached, default=0) < near_duplicates.FEW
  # Stretched threefold in one direction it is no copy any more.
  original = photograph('LYMPHOCYTE', 0)
  points = detect_all([original, warped(original, np.diag([1.0, 3.0]))])
  assert geometry.match(points, 0, 1, False, 4) is None


def test_photographs_of_overlapping_fields_are_one_group_and_of_touching_ones_are_not():
  field = smear.draw('NEUTROPHIL', np.random.default_rng(9), 480, 640)

  def copies(left: int) -> list[np.ndarray]:
    view = field[120:360, left : left + WIDTH]
    return [warped(view, turn(angle), (angle / 2, 0)) for angle in (-12, -6, 0, 6, 12)]

  others = [photograph('NEUTROPHIL', seed) for seed in range(20, 24)]
  duplicates = grouped([*copies(0), *copies(160), *others])
  assert len(set(duplicates.group_N[:10].tolist())) == 1
  assert len(set(duplicates.group_N.tolist())) == 5
  apart = grouped([*copies(0), *copies(290), *others])
  assert apart.group_N[0] != apart.group_N[5]


def dusty(image_HWC: np.ndarray) -> np.ndarray:
  """With the fibres on one camera's chip, which are always at the same places."""
  generator, image_HWC = np.random.default_rng(7), image_HWC.copy()
  for _ in range(30):
    middle = generator.uniform((20, 20), (WIDTH - 20, HEIGHT - 20))
    corners_C2 = (middle + generator.normal(0, 7, (5, 2))).astype(np.int32)
    cv2.polylines(image_HWC, [corners_C2], False, (40, 40, 40), 2, cv2.LINE_AA)
  return image_HWC


def barred(image_HWC: np.ndarray) -> np.ndarray:
  """With the scale bar and the date that a microscope's program writes on every photograph."""
  image_HWC = image_HWC.copy()
  cv2.rectangle(image_HWC, (200, 222), (300, 228), (0, 0, 0), -1)
  for text, y in (('20 um', 215), ('2018-05-04 oil 100x', 20)):
    cv2.putText(image_HWC, text, (150, y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
  return image_HWC


@pytest.mark.parametrize('marked', [dusty, barred])
@pytest.mark.parametrize('num_copies', [pytest.param(1, marks=pytest.mark.long), 4])
def test_what_the_camera_or_its_program_adds_to_every_photograph_joins_none_of_them(
  marked, num_copies, monkeypatch
):
  photographs = [marked(photograph('NEUTROPHIL', seed)) for seed in range(30, 34)]
  images = [warped(image, turn(5 * n), (3 * n, 0)) for image in photographs for n in range(num_copies)]
  expected_N = np.repeat(np.arange(len(photographs)), num_copies) * num_copies
  np.testing.assert_array_equal(grouped(images).group_N, expected_N)
  # The control: by keypoints alone the photographs are one group.
  monkeypatch.setattr(near_duplicates, 'LEAST_CORRELATION', -1.0)
  assert len(set(grouped(images).group_N.tolist())) < len(photographs)


def test_equal_pixels_are_one_group_where_nothing_could_be_matched():
  blank = np.full((60, 80, 3), 120, np.uint8)
  images = [blank, blank, blank + 1]
  duplicates = found(detect_all(images), images, np.array([7, 7, 8]))
  np.testing.assert_array_equal(duplicates.group_N, [0, 0, 2])


def test_the_groups_do_not_depend_on_the_number_of_threads():
  original = [photograph('MONOCYTE', seed) for seed in range(3)]
  images = [change(image) for image in original for change in CHANGES.values()]
  points = detect_all(images)
  one, two = (found(points, images, np.arange(len(images)), num_threads) for num_threads in (1, 2))
  np.testing.assert_array_equal(one.group_N, two.group_N)
  assert [(link.a, link.b) for link in one.links] == [(link.a, link.b) for link in two.links]
  reference_N = np.repeat(np.arange(3), len(CHANGES))
  agreement = grouping.agreement(one.group_N, reference_N)
  assert agreement.precision == 1
  assert agreement.recall > 0.9


@pytest.mark.parametrize(('num_g', 'num_h'), [(12, 12), (4, 4), (12, 8), (3, 5), (1, 9)])
def test_of_two_groups_no_pair_is_drawn_twice_and_each_image_as_rarely_as_possible(num_g, num_h):
  in_g, in_h, odd_N = np.arange(num_g), np.arange(100, 100 + num_h), np.zeros(200, bool)
  for most in (7, num_g * num_h, 10**4):
    drawn = near_duplicates._draw(in_g, in_h, odd_N, most, np.random.default_rng(0))
    assert len({(a, b) for a, b, _ in drawn}) == len(drawn) == min(most, num_g * num_h)
    for side, num in ((0, num_g), (1, num_h)):
      times = np.unique([pair[side] for pair in drawn], return_counts=True)[1]
      assert times.max() - times.min() <= 1
      assert len(times) == min(num, len(drawn))
