"""Images changed on the device: the pixels of the tf.data pipeline for the same seed and step."""

from __future__ import annotations

import functools
import itertools

import jax
import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import pipeline, stream
from bloodcell_jax.data.augmentation import affine, standardize, transform
from bloodcell_jax.data.images import nuclei
from bloodcell_jax.data.resident import affine as resident_affine
from bloodcell_jax.data.resident import images, recipe
from configs import default

TOLERANCE = 1e-3  # of the range of grey levels
GREY = {'rescale': 1 / 255}
GEOMETRY = {'rotation_range': 25.0, 'width_shift_range': 0.3, 'height_shift_range': 2, 'shear_range': 8.0,
            'zoom_range': 0.3, 'horizontal_flip': True, 'vertical_flip': True}  # fmt: skip
CASES = {
  'nothing': {},
  'study': {'rotation_range': 10.0, 'width_shift_range': 0.3, 'height_shift_range': 0.3, 'shear_range': 0.3,
            'zoom_range': 0.2, 'horizontal_flip': True},
  'today': {**GEOMETRY, 'keras_version': 3},
  'nearest pixel': {**GEOMETRY, 'interpolation_order': 0},
  'constant': {**GEOMETRY, 'fill_mode': 'constant', 'cval': 77.0},
  'reflect': {**GEOMETRY, 'fill_mode': 'reflect', 'width_shift_range': 2.5},
  'wrap': {**GEOMETRY, 'fill_mode': 'wrap', 'width_shift_range': 2.5},
  'channel shift': {'channel_shift_range': 40.0},
  'brightness': {'brightness_range': (0.4, 1.6)},
  'brightness today': {'brightness_range': (0.4, 1.6), 'keras_version': 3},
  'all of Keras': {**GEOMETRY, 'channel_shift_range': 20.0, 'brightness_range': (0.7, 1.2)},
  'overshooting': {**GEOMETRY, 'fill_mode': 'constant', 'cval': -40.0, 'brightness_range': (0.7, 1.2),
                   'keras_version': 3},
  'symmetries': {'quarter_turns': True, 'mirrors': True, 'erasing_probability': 0.6},
  'centred': {**GEOMETRY, 'samplewise_std_normalization': True},
  'of the data': {**GEOMETRY, 'featurewise_std_normalization': True},
  'torch': {**GEOMETRY, 'preprocessing_function': 'torch', 'rescale': 0.0},
}  # fmt: skip


def changed(**values) -> transform.Spec:
  config = default.get_config()
  config.augment.update({**GREY, **values})
  return experiment.resolve(config).transform


def arrays(size: tuple[int, int] = (19, 19)) -> stream.Arrays:
  image_NHWC = np.random.default_rng(0).integers(0, 256, (40, *size, 3), np.uint8)
  return stream.Arrays(
    image_NHWC, stream.one_hot(np.arange(40) % 4, 4), np.linspace(1, 2, 40, dtype=np.float32)
  )


def take(batches, num: int) -> list:
  taken = list(itertools.islice(batches, num))
  batches.close()
  return taken


def on_device(source, spec, num, seed=5, start=0, statistics=None) -> list[types.Batch]:
  gather = jax.jit(images.make_gather(spec, statistics, source.image_NHWC.shape[1:]))
  return [
    images.batch(np.asarray(gather(source.image_NHWC, each)), each)
    for each in take(recipe.training(source, 12, seed, start, spec), num)
  ]


def by_tf_data(source, spec, num, seed=5, start=0, statistics=None) -> list[types.Batch]:
  found = nuclei.Nuclei(source.image_NHWC)
  return take(pipeline.training(source, np.arange(40), 12, seed, start, spec, statistics, found), num)


@functools.cache
def plain(size: tuple[int, int]) -> np.ndarray:
  """Five batches of unchanged images."""
  return np.stack([b.image_BHWC for b in on_device(arrays(size), changed(), 5)])


# The oblong ones have an even and an odd side.
@pytest.mark.parametrize(
  ('name', 'size'),
  [
    *((name, (14, 23)) for name in CASES),
    *((name, (19, 19)) for name in ('nothing', 'study', 'all of Keras', 'symmetries')),
  ],
)
def test_pixels_are_those_of_tf_data(name, size):
  spec, source = changed(**CASES[name]), arrays(size)
  if spec.photometric.quarter_turns and size[0] != size[1]:
    with pytest.raises(types.UserError, match=r'augment\.quarter_turns'):
      on_device(source, spec, 1)
    return
  own = spec.standardize
  statistics = standardize.fit(own, lambda rows: source.image_NHWC[rows], 40) if own.centers else None
  ours, theirs = (f(source, spec, 5, statistics=statistics) for f in (on_device, by_tf_data))
  spread = np.std([b.image_BHWC for b in theirs]) / 0.29  # 0.29: of even grey levels in 0..1
  gap = np.abs(np.stack([b.image_BHWC for b in ours]) - np.stack([b.image_BHWC for b in theirs])) / spread
  # Brightness cuts to whole grey levels: where a value is whole but for rounding, either neighbour is right.
  assert (gap > TOLERANCE).mean() <= (2e-3 if spec.augment.brightness_range else 0), gap.max()
  assert gap.max() < 3 / 255
  for a, b in zip(ours, theirs, strict=True):
    for column in ('target_BK', 'weight_B', 'position_B'):
      np.testing.assert_array_equal(getattr(a, column), getattr(b, column))
  if name != 'nothing':
    assert np.abs(plain(size) - np.stack([b.image_BHWC for b in theirs])).mean() > 0.01, (
      'the changes must be there'
    )


def test_a_recipe_depends_on_seed_and_step_alone():
  source, spec = arrays(), changed(**CASES['all of Keras'])
  whole = take(recipe.training(source, 12, 5, 0, spec), 6)

  def differ(a, b) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return any(np.asarray(x).tobytes() != np.asarray(y).tobytes() for x, y in pairs)

  assert not differ(take(recipe.training(source, 12, 5, 4, spec), 2), whole[4:])
  assert differ(take(recipe.training(source, 12, 6, 0, spec), 6), whole)
  assert differ(take(recipe.training(source, 12, 5, 3, spec), 2), whole[4:])


@pytest.mark.parametrize('fill_mode', affine.FILL_MODES)
def test_points_far_from_single_precision_are_sampled_as_in_double(fill_mode):
  size = 300
  image_NHWC = np.random.default_rng(1).integers(0, 256, (8, size, size, 3), np.uint8)
  rng = np.random.default_rng(2)
  angle, shift, zoom = rng.uniform(-180, 180, 8), rng.uniform(-500, 500, 8), rng.uniform(0.5, 2, 8)
  matrix_B6 = affine.matrices(angle, shift, -shift, 0 * angle, zoom, zoom, size, size, 2).reshape(8, 6)
  off = np.zeros((8, 2), bool)
  theirs = affine.make(size, size, fill_mode, 9.0, 1)(
    image_NHWC, matrix_B6.reshape(8, 2, 3), off[:, 0], off[:, 1]
  )
  apply = jax.jit(resident_affine.make(size, size, fill_mode, 9.0, 1))
  ours = apply(image_NHWC, matrix_B6.astype(np.float32), resident_affine.fractions(matrix_B6), off)
  assert np.abs(np.asarray(ours) - np.asarray(theirs)).max() < 1e-3
  # The control: the fractions that single precision would leave.
  rough = resident_affine.fractions(matrix_B6.astype(np.float32).astype(np.float64))
  broken = apply(image_NHWC, matrix_B6.astype(np.float32), rough, off)
  assert np.abs(np.asarray(broken) - np.asarray(theirs)).max() > 1e-3


@pytest.mark.parametrize(
  ('key', 'value'),
  [
    ('crop_range', (0.6, 0.9)),
    ('hue_range', 0.1),
    ('saturation_range', (0.8, 1.2)),
    ('stain_range', 0.1),
    ('blur_range', 0.5),
    ('noise_range', 2.0),
    ('jpeg_quality_range', (60, 90)),
    ('mixup_alpha', 0.2),
    ('cutmix_alpha', 0.2),
    ('zca_whitening', True),
  ],
)
def test_what_the_device_cannot_do_is_refused_in_one_line(key, value):
  with pytest.raises(
    types.UserError,
    match=rf'^data\.pipeline is device, which does not support .*augment\.{key}.*; set it to tf_data$',
  ):
    images.check(changed(**{key: value}))
  images.check(changed(**CASES['all of Keras']))


def test_splines_are_refused_where_something_is_transformed():
  with pytest.raises(types.UserError, match=r'augment\.interpolation_order'):
    images.check(changed(rotation_range=5.0, interpolation_order=3))
  images.check(changed(interpolation_order=3))
