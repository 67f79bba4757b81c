"""Changes of light, dye and camera; exact symmetries; crops around the cell."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image
from skimage import color, filters

from bloodcell_jax.base import rng, types
from bloodcell_jax.data.augmentation import crop, photometric
from bloodcell_jax.data.sources import smear
from bloodcell_jax.data.tensorflow_cpu import tf

OFF = photometric.Spec(
  quarter_turns=False,
  mirrors=False,
  hue_range=0.0,
  saturation_range=(),
  stain_range=0.0,
  stain_vectors='hed',
  blur_range=0.0,
  noise_range=0.0,
  jpeg_quality_range=(),
  erasing_probability=0.0,
  erasing_area=(),
)
CHANGES = {
  'quarter_turns': {'quarter_turns': True},
  'mirrors': {'mirrors': True},
  'hue': {'hue_range': 0.1},
  'saturation': {'saturation_range': (0.5, 1.5)},
  'hed': {'stain_range': 0.3},
  'giemsa': {'stain_range': 0.3, 'stain_vectors': 'giemsa'},
  'blur': {'blur_range': 2.0},
  'noise': {'noise_range': 10.0},
  'jpeg': {'jpeg_quality_range': (20, 60)},
  'erasing': {'erasing_probability': 1.0, 'erasing_area': (0.05, 0.3)},
}
ALL = dataclasses.replace(OFF, **{key: value for change in CHANGES.values() for key, value in change.items()})
SIZE = 32
SHAPE = (SIZE, SIZE, 3)
NUM = 12
POSITIONS = np.arange(500, 500 + NUM)


@pytest.fixture(scope='module')
def images() -> np.ndarray:
  names = smear.CLASS_NAMES
  drawn = [smear.draw(names[i % 4], rng.generator(0, 'photometric test', i), SIZE, SIZE) for i in range(NUM)]
  return np.stack(drawn).astype(np.float32)


def changed(spec, image_BHWC, drawn) -> np.ndarray:
  return photometric.make_apply(spec, image_BHWC.shape[1:])(image_BHWC, photometric.operands(drawn)).numpy()


def at(spec, image_BHWC, positions, seed: int = 0) -> np.ndarray:
  return changed(spec, image_BHWC, photometric.draw(spec, seed, positions))


@pytest.mark.parametrize('name', CHANGES)
def test_a_change_depends_on_seed_and_position_alone(images, name):
  spec = dataclasses.replace(OFF, **CHANGES[name])
  whole = at(spec, images, POSITIONS)
  assert np.isfinite(whole).all()
  assert whole.min() >= -1e-3
  assert whole.max() <= 255 + 1e-3
  assert (np.abs(whole - images).max((1, 2, 3)) > 0.5).mean() >= 0.25, 'it must change something'
  np.testing.assert_array_equal(at(spec, images[5:8], POSITIONS[5:8]), whole[5:8])
  assert (at(spec, images, POSITIONS, seed=1) != whole).any()
  assert (at(spec, images, POSITIONS + 1) != whole).any()


def test_nothing_switched_on_changes_nothing(images):
  assert not OFF.is_active
  assert all(dataclasses.replace(OFF, **change).is_active for change in CHANGES.values())
  np.testing.assert_array_equal(at(OFF, images, POSITIONS), images)


def test_each_change_draws_apart_from_the_others():
  together = photometric.draw(ALL, 0, POSITIONS)
  for name in ('hue', 'blur', 'erasing'):
    alone = photometric.draw(dataclasses.replace(OFF, **CHANGES[name]), 0, POSITIONS)
    field = {'hue': 'hue_B', 'blur': 'blur_B', 'erasing': 'erased_B4'}[name]
    np.testing.assert_array_equal(getattr(together, field), getattr(alone, field))


def test_turns_and_mirrors_are_the_eight_symmetries_exactly(images):
  spec = dataclasses.replace(OFF, quarter_turns=True, mirrors=True)
  drawn = photometric.draw(spec, 0, np.arange(NUM))
  for turns in range(4):
    for mirror in range(2):
      fixed = dataclasses.replace(drawn, turns_B=np.full(NUM, turns), mirror_B=np.full(NUM, mirror))
      expected = np.rot90(images, turns, (1, 2))
      expected = expected[:, :, ::-1] if mirror else expected
      np.testing.assert_array_equal(changed(spec, images, fixed), expected)
  many = photometric.draw(spec, 0, np.arange(8000))
  counts = np.bincount((2 * many.turns_B + many.mirror_B).astype(int), minlength=8)
  # Each of the eight within 5 standard deviations of a thousand.
  assert np.abs(counts - 1000).max() < 5 * np.sqrt(8000 / 8 * 7 / 8)


def test_quarter_turns_of_an_oblong_are_refused():
  spec = dataclasses.replace(OFF, quarter_turns=True)
  with pytest.raises(types.UserError, match=r'^augment\.quarter_turns is True; images of 20x30 pixels'):
    photometric.make_apply(spec, (20, 30, 3))
  photometric.make_apply(dataclasses.replace(OFF, mirrors=True), (20, 30, 3))


@pytest.mark.parametrize('name', ['hed', 'giemsa'])
def test_stain_factors_multiply_the_dyes_that_scikit_image_separates(images, name):
  spec = dataclasses.replace(OFF, **CHANGES[name])
  drawn = photometric.draw(spec, 0, POSITIONS)
  from_rgb = color.hed_from_rgb if name == 'hed' else color.bex_from_rgb
  # What is left after separating into stains and combining again is a picture of stains alone.
  to_rgb = np.linalg.inv(from_rgb)
  amounts = np.random.default_rng(0).uniform(0.02, 0.06, (NUM, *SHAPE)) * (1, 1, 0 if name == 'giemsa' else 1)
  pure = 255 * color.combine_stains(amounts, to_rgb)
  actual = changed(spec, pure.astype(np.float32), drawn)
  expected = 255 * color.combine_stains(amounts * drawn.stain_B3[:, None, None], to_rgb)
  np.testing.assert_allclose(actual, expected, atol=0.5)
  assert np.abs(pure - expected).max() > 5
  neutral = dataclasses.replace(drawn, stain_B3=np.ones((NUM, 3)))
  np.testing.assert_allclose(changed(spec, images, neutral), images, atol=1e-3)
  if name == 'giemsa':
    assert (drawn.stain_B3[:, 2] == 1).all(), 'the third is no dye there'


def test_blur_is_that_of_scikit_image(images):
  spec = dataclasses.replace(OFF, blur_range=2.0)
  drawn = photometric.draw(spec, 0, POSITIONS)
  expected = [filters.gaussian(x, s, channel_axis=-1) for x, s in zip(images, drawn.blur_B, strict=True)]
  np.testing.assert_allclose(changed(spec, images, drawn), expected, atol=1e-2)


def test_noise_has_the_deviation_that_was_drawn():
  spec = dataclasses.replace(OFF, noise_range=10.0)
  grey = np.full((NUM, 64, 64, 3), 128, np.float32)
  drawn = photometric.draw(spec, 0, POSITIONS)
  noise = changed(spec, grey, drawn) - grey
  np.testing.assert_allclose(noise.std((1, 2, 3)), drawn.noise_B, rtol=0.05)
  assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05, (
    'two images have noise of their own'
  )


def test_hue_and_saturation_are_those_of_tensorflow(images):
  spec = dataclasses.replace(OFF, hue_range=0.1, saturation_range=(0.5, 1.5))
  drawn = photometric.draw(spec, 0, POSITIONS)
  actual = changed(spec, images, drawn)
  for i in range(NUM):
    turned = tf.image.adjust_saturation(
      tf.image.adjust_hue(images[i] / 255, drawn.hue_B[i]), drawn.saturation_B[i]
    )
    np.testing.assert_allclose(actual[i], np.clip(255 * turned, 0, 255), atol=1e-2)


def test_jpeg_has_the_quality_that_was_drawn(images):
  spec = dataclasses.replace(OFF, jpeg_quality_range=(5, 95))
  drawn = photometric.draw(spec, 0, POSITIONS)
  assert set(drawn.jpeg_quality_B) <= set(range(5, 96))
  actual = changed(spec, images, drawn)
  loss = np.abs(actual - images).mean((1, 2, 3))
  for i in (int(drawn.jpeg_quality_B.argmin()), int(drawn.jpeg_quality_B.argmax())):
    buffer = io.BytesIO()
    Image.fromarray(images[i].astype(np.uint8)).save(buffer, 'JPEG', quality=int(drawn.jpeg_quality_B[i]))
    by_pillow = np.asarray(Image.open(buffer), np.float32)
    assert np.abs(by_pillow - actual[i]).mean() < 1 + 0.3 * loss[i]
  assert loss[drawn.jpeg_quality_B.argmin()] > 2 * loss[drawn.jpeg_quality_B.argmax()]


def test_erasing_takes_one_rectangle_of_the_drawn_share(images):
  spec = dataclasses.replace(OFF, erasing_probability=0.5, erasing_area=(0.1, 0.3))
  drawn = photometric.draw(spec, 0, np.arange(2000))
  sides = drawn.erased_B4[:, 2:] - drawn.erased_B4[:, :2]
  area = np.prod(sides, 1)
  assert abs((area > 0).mean() - 0.5) < 5 * 0.5 / np.sqrt(2000)
  assert 0.1 - 1e-9 <= area[area > 0].min() <= area.max() <= 0.3 + 1e-9
  assert drawn.erased_B4.min() >= 0
  assert drawn.erased_B4.max() <= 1
  actual = changed(spec, images, photometric.draw(spec, 0, np.arange(NUM)))
  for i in range(NUM):
    differ = (actual[i] != images[i]).any(-1)
    if area[i] == 0:
      assert not differ.any()
    else:
      assert abs(differ.mean() - area[i]) < 0.06
      np.testing.assert_allclose(
        actual[i][differ], np.tile(images[i].mean((0, 1)), (differ.sum(), 1)), rtol=1e-4
      )


@pytest.mark.parametrize(
  ('name', 'value'),
  [
    ('hue_range', 0.6),
    ('hue_range', -0.1),
    ('saturation_range', (1.5, 0.5)),
    ('stain_range', 1.0),
    ('stain_vectors', 'gram'),
    ('blur_range', float('nan')),
    ('noise_range', float('inf')),
    ('jpeg_quality_range', (0, 50)),
    ('jpeg_quality_range', (50, 101)),
    ('erasing_probability', 1.5),
    ('erasing_area', (0.3,)),
  ],
)
def test_a_bad_setting_gets_one_line_with_its_key(name, value):
  with pytest.raises(types.UserError, match=rf'^augment\.{name} is [^\n]+$'):
    dataclasses.replace(OFF, **{name: value})


def test_erasing_needs_an_area():
  with pytest.raises(types.UserError, match=r'^augment\.erasing_area is \(\); erasing_probability needs it$'):
    dataclasses.replace(OFF, erasing_probability=0.5)


def test_crops_lie_inside_and_hold_the_cell(images):
  spec = crop.Spec((0.4, 0.7), 0.2)
  positions = np.arange(2000)
  centre_B2 = np.random.default_rng(0).uniform(0, SIZE - 1, (2000, 2))
  box = crop.draw(spec, 0, positions, centre_B2, SHAPE)
  assert box.min() >= 0
  assert box.max() <= SIZE - 1
  inside = (centre_B2 >= box[:, :2] - 1e-4) & (centre_B2 <= box[:, 2:] + 1e-4)
  assert inside.all()
  share = (box[:, 2:] - box[:, :2]) / (SIZE - 1)
  assert 0.4 - 1e-6 <= share.min() < 0.41
  assert 0.69 < share.max() <= 0.7 + 1e-6
  np.testing.assert_array_equal(
    box[100:110], crop.draw(spec, 0, positions[100:110], centre_B2[100:110], SHAPE)
  )
  assert not np.array_equal(box, crop.draw(spec, 1, positions, centre_B2, SHAPE))


def test_a_crop_of_everything_is_the_image_and_a_part_is_enlarged(images):
  whole = np.tile(np.float32([0, 0, SIZE - 1, SIZE - 1]), (NUM, 1))
  apply = crop.make_apply(SHAPE)
  np.testing.assert_allclose(apply(images, whole), images, atol=1e-3)
  part = np.tile(np.float32([0, 0, (SIZE - 1) / 2, (SIZE - 1) / 2]), (NUM, 1))
  np.testing.assert_allclose(apply(images, part)[:, ::2, ::2], images[:, : SIZE // 2, : SIZE // 2], atol=1e-2)
  assert crop.Spec((0.5, 1.0), 0.0).is_active
  assert not crop.Spec((), 0.0).is_active


@pytest.mark.parametrize(('share', 'shift', 'key'), [((0.0, 1.0), 0.0, 'range'), ((0.5, 1.0), 0.6, 'shift')])
def test_a_bad_crop_gets_one_line_with_its_key(share, shift, key):
  with pytest.raises(types.UserError, match=rf'^augment\.crop_{key} is [^\n]+$'):
    crop.Spec(share, shift)
