"""Augmentation: Keras' words, Keras' pixels, and draws that depend on seed and position alone."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from bloodcell_jax.base import types
from bloodcell_jax.data.augmentation import augment, standardize

OFF = augment.Spec(
  keras_version=3,
  rotation_range=0.0,
  width_shift_range=0.0,
  height_shift_range=0.0,
  brightness_range=(),
  shear_range=0.0,
  zoom_range=0.0,
  channel_shift_range=0.0,
  fill_mode='nearest',
  cval=0.0,
  horizontal_flip=False,
  vertical_flip=False,
  interpolation_order=1,
  data_format='channels_last',
)
STUDY = dataclasses.replace(
  OFF,
  rotation_range=10.0,
  width_shift_range=0.3,
  height_shift_range=0.3,
  shear_range=0.3,
  zoom_range=0.2,
  horizontal_flip=True,
)
# How the published copies were made.
COPIES = dataclasses.replace(
  OFF,
  rotation_range=20.0,
  width_shift_range=0.1,
  height_shift_range=0.1,
  shear_range=0.2,
  horizontal_flip=True,
  vertical_flip=True,
  fill_mode='constant',
)
EVERYTHING = dataclasses.replace(
  COPIES,
  keras_version=3,
  zoom_range=(0.5, 1.5),
  shear_range=30.0,
  channel_shift_range=40.0,
  brightness_range=(0.3, 1.7),
)
CASES = {
  'study': STUDY,
  'copies': COPIES,
  'everything': EVERYTHING,
  'wrapped': dataclasses.replace(EVERYTHING, fill_mode='wrap'),
  'outside': dataclasses.replace(EVERYTHING, cval=300.0),
  'below': dataclasses.replace(EVERYTHING, cval=-20.5, channel_shift_range=0.0, interpolation_order=0),
  'pixels': dataclasses.replace(STUDY, width_shift_range=(3, 7), height_shift_range=4, fill_mode='reflect'),
  'splines': dataclasses.replace(EVERYTHING, interpolation_order=3),
}
NUM = 40
POSITIONS = np.arange(1000, 1000 + NUM)


@pytest.fixture(scope='module')
def keras_generator():
  with warnings.catch_warnings(action='ignore'):
    from keras.src.legacy.preprocessing import image

  def apply(spec: augment.Spec, image_NHWC, drawn):
    arguments = dataclasses.asdict(spec)
    del arguments['keras_version']
    arguments['brightness_range'] = arguments['brightness_range'] or None
    with warnings.catch_warnings(action='ignore'):
      generator = image.ImageDataGenerator(**arguments)
      return np.stack(
        [
          generator.apply_transform(x.astype(np.float32), drawn.parameters(i))
          for i, x in enumerate(image_NHWC)
        ]
      )

  return apply


def images(size=(19, 14)) -> np.ndarray:
  return np.random.default_rng(0).integers(0, 256, (NUM, *size, 3), np.uint8)


def ours(spec: augment.Spec, image_NHWC, drawn, **finish: Any) -> np.ndarray:
  shape = image_NHWC.shape[1:]
  apply = augment.make_apply(spec, shape, finish.get('finish', lambda image: image))
  return np.asarray(apply(image_NHWC, augment.operands(spec, drawn, shape)))


def columns(drawn: augment.Drawn) -> dict[str, np.ndarray]:
  return {field.name: getattr(drawn, field.name) for field in dataclasses.fields(drawn)}


def same(a: augment.Drawn, b: augment.Drawn) -> bool:
  return all(np.array_equal(x, columns(b)[name], equal_nan=True) for name, x in columns(a).items())


@pytest.mark.parametrize('name', CASES)
def test_pixels_are_those_of_keras_for_the_same_parameters(keras_generator, name):
  spec = CASES[name]
  image_NHWC = images()
  drawn = augment.draw(spec, 5, POSITIONS, image_NHWC.shape[1:])
  actual, expected = ours(spec, image_NHWC, drawn), keras_generator(spec, image_NHWC, drawn)
  differ = np.abs(actual - expected) > 1e-3
  # Brightness cuts to whole grey levels: where a value is whole but for rounding, either neighbour is right.
  assert differ.mean() <= (1e-3 if spec.brightness_range else 0)
  wrong = dataclasses.replace(spec, keras_version=5 - spec.keras_version)
  assert (np.abs(ours(wrong, image_NHWC, drawn) - expected) > 1e-3).mean() > 0.05, 'other axes must be seen'


def test_keras_2_stretches_before_it_changes_brightness():
  spec = dataclasses.replace(OFF, keras_version=2, brightness_range=(0.3, 1.7))
  image_NHWC = images() // 3 + 20
  drawn = augment.draw(spec, 0, POSITIONS, image_NHWC.shape[1:])
  expected = []
  for image_HWC, factor in zip(image_NHWC.astype(np.float32), drawn.brightness_B, strict=True):
    stretched = (image_HWC / image_HWC.max() * 255).astype(np.uint8)
    expected.append(np.asarray(ImageEnhance.Brightness(Image.fromarray(stretched)).enhance(factor)))
  np.testing.assert_array_equal(ours(spec, image_NHWC, drawn), np.stack(expected))
  today = dataclasses.replace(spec, keras_version=3)
  assert (ours(today, image_NHWC, drawn) != np.stack(expected)).mean() > 0.5


def test_a_draw_depends_on_seed_and_position_alone():
  shape = (20, 30, 3)
  whole = augment.draw(EVERYTHING, 7, np.arange(600), shape)
  shuffled = np.random.default_rng(0).permutation(600)
  parts = augment.draw(EVERYTHING, 7, shuffled, shape)
  for name, values in columns(parts).items():
    np.testing.assert_array_equal(values, columns(whole)[name][shuffled])
  assert same(
    augment.draw(EVERYTHING, 7, np.array([599]), shape), augment.draw(EVERYTHING, 7, np.array([599]), shape)
  )
  assert not same(
    augment.draw(EVERYTHING, 7, POSITIONS, shape), augment.draw(EVERYTHING, 8, POSITIONS, shape)
  )
  assert not same(
    augment.draw(EVERYTHING, 7, POSITIONS, shape), augment.draw(EVERYTHING, 7, POSITIONS + 1, shape)
  )


def test_one_range_leaves_the_draws_of_the_others_alone():
  shape = (20, 30, 3)
  both = augment.draw(EVERYTHING, 0, POSITIONS, shape)
  one = augment.draw(dataclasses.replace(OFF, rotation_range=20.0), 0, POSITIONS, shape)
  np.testing.assert_array_equal(both.theta_B, one.theta_B)
  assert not np.array_equal(both.theta_B, both.shear_B)


def test_draws_fill_their_ranges_evenly():
  drawn = augment.draw(EVERYTHING, 0, np.arange(4000), (20, 30, 3))
  spans = {
    'theta_B': (-20, 20),
    'tx_B': (-2, 2),
    'ty_B': (-3, 3),
    'shear_B': (-30, 30),
    'zx_B': (0.5, 1.5),
    'zy_B': (0.5, 1.5),
    'channel_shift_intensity_B': (-40, 40),
    'brightness_B': (0.3, 1.7),
  }
  for name, (low, high) in spans.items():
    share = (columns(drawn)[name] - low) / (high - low)
    assert share.min() >= 0, name
    assert share.max() <= 1, name
    # The mean of 4000 even draws is within 5 standard errors of a half.
    assert abs(share.mean() - 0.5) < 5 * np.sqrt(1 / 12 / 4000), name
    assert abs(share.std() - np.sqrt(1 / 12)) < 0.01, name
  for name in ('flip_horizontal_B', 'flip_vertical_B'):
    assert abs(columns(drawn)[name].mean() - 0.5) < 5 * 0.5 / np.sqrt(4000)
  assert abs(np.corrcoef(drawn.zx_B, drawn.zy_B)[0, 1]) < 0.08


def test_shift_lists_and_whole_numbers_mean_what_they_mean_to_keras():
  shape = (20, 30, 3)

  def shifts(limits):
    spec = dataclasses.replace(OFF, height_shift_range=limits)
    return set(np.round(augment.draw(spec, 0, np.arange(500), shape).tx_B, 9) + 0.0)

  assert shifts((3, 7)) == {-7, -3, 3, 7}
  assert shifts((0.1, 0.25)) == {-5, -2, 2, 5}
  assert shifts(3) == {-2, -1, 0, 1, 2}
  assert len(shifts(3.0)) == 500
  assert max(shifts(0.5)) > 9


def test_an_augmentation_of_nothing_gives_the_image():
  image_NHWC = images()
  drawn = augment.draw(OFF, 0, POSITIONS, image_NHWC.shape[1:])
  assert not OFF.is_active
  assert STUDY.is_active
  np.testing.assert_array_equal(ours(OFF, image_NHWC, drawn), image_NHWC.astype(np.float32))


def test_what_finishes_is_done_last():
  image_NHWC = images()
  spec = standardize.Spec('', 1 / 255, True, False, False, False, False, 1e-6, 0, 3, 'channels_last')
  drawn = augment.draw(EVERYTHING, 0, POSITIONS, image_NHWC.shape[1:])
  actual = ours(EVERYTHING, image_NHWC, drawn, finish=standardize.make_apply(spec, None))
  expected = standardize.apply(spec, None, ours(EVERYTHING, image_NHWC, drawn))
  np.testing.assert_allclose(actual, expected, atol=1e-6)


def test_operations_without_a_range_are_left_out_for_the_rows_that_say_so():
  image_NHWC = images()
  drawn = augment.draw(EVERYTHING, 0, POSITIONS, image_NHWC.shape[1:])
  none = np.where(np.arange(NUM) % 2, np.nan, drawn.brightness_B)
  actual = ours(EVERYTHING, image_NHWC, dataclasses.replace(drawn, brightness_B=none))
  whole = ours(EVERYTHING, image_NHWC, drawn)
  np.testing.assert_array_equal(actual[::2], whole[::2])
  assert (actual[1::2] != np.floor(actual[1::2])).any(), 'interpolated values that nothing has cut'


@pytest.mark.parametrize(
  ('name', 'value'),
  [
    ('rotation_range', -1.0),
    ('rotation_range', float('nan')),
    ('shear_range', 90.0),
    ('channel_shift_range', -0.1),
    ('zoom_range', 1.0),
    ('zoom_range', (0.5,)),
    ('zoom_range', (1.2, 0.8)),
    ('zoom_range', (0.0, 0.8)),
    ('brightness_range', (0.5,)),
    ('brightness_range', (-0.5, 1.0)),
    ('width_shift_range', -0.1),
    ('width_shift_range', (0.1, 5)),
    ('height_shift_range', (1, -2)),
    ('height_shift_range', ('a',)),
    ('fill_mode', 'mirror'),
    ('cval', float('inf')),
    ('interpolation_order', 6),
    ('data_format', 'channels_first'),
    ('keras_version', 1),
  ],
)
def test_a_bad_setting_gets_one_line_with_its_key(name, value):
  with pytest.raises(types.UserError, match=rf'^augment\.{name} is [^\n]+$'):
    dataclasses.replace(OFF, **{name: value})


def test_a_shift_beyond_the_image_is_refused():
  for limits in (31.0, (5, 31)):
    spec = dataclasses.replace(OFF, width_shift_range=limits)
    with pytest.raises(types.UserError, match=r'^augment\.width_shift_range is .*only 30 pixels'):
      augment.draw(spec, 0, POSITIONS, (20, 30, 3))
    augment.draw(spec, 0, POSITIONS, (20, 31, 3))
