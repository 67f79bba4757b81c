"""Standardization: Keras' pixels, fitted in a stream, kept in a file; and ZCA where Keras cannot."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.data.augmentation import compiled, standardize, zca

OFF = standardize.Spec(
  preprocessing_function='',
  rescale=1 / 255,
  samplewise_center=False,
  samplewise_std_normalization=False,
  featurewise_center=False,
  featurewise_std_normalization=False,
  zca_whitening=False,
  zca_epsilon=1e-6,
  zca_samples=0,
  keras_version=3,
  data_format='channels_last',
)
CASES = {
  'rescale': {},
  'caffe': {'preprocessing_function': 'caffe', 'rescale': 0.0},
  'torch': {'preprocessing_function': 'torch', 'rescale': 0.0},
  'tf': {'preprocessing_function': 'tf', 'rescale': 0.0},
  'samplewise_center': {'samplewise_center': True},
  'samplewise_std': {'samplewise_std_normalization': True},
  'featurewise_center': {'featurewise_center': True},
  'featurewise_std': {'featurewise_std_normalization': True},
  'both': {'featurewise_std_normalization': True, 'samplewise_center': True},
  'zca': {'zca_whitening': True},
  'zca_and_std': {'zca_whitening': True, 'featurewise_std_normalization': True, 'rescale': 0.0},
}
NUM = 60


@pytest.fixture(scope='module')
def keras_standardize():
  with warnings.catch_warnings(action='ignore'):
    from keras.src.applications import imagenet_utils
    from keras.src.legacy.preprocessing import image

  def apply(spec: standardize.Spec, train, test):
    arguments = dataclasses.asdict(spec)
    for name in ('keras_version', 'zca_samples'):
      del arguments[name]
    mode = spec.preprocessing_function
    arguments['preprocessing_function'] = (
      (lambda x: imagenet_utils.preprocess_input(x, data_format='channels_last', mode=mode)) if mode else None
    )
    # In double precision, because its mean of a whole set in single precision is off in the fifth digit.
    arguments['dtype'] = 'float64'
    with warnings.catch_warnings(action='ignore'):
      generator = image.ImageDataGenerator(**arguments)
      generator.fit(train)
      return np.stack([generator.standardize(x.astype(np.float64)) for x in test])

  return apply


def images(num: int = NUM, size=(9, 8), seed: int = 0) -> np.ndarray:
  """Images whose neighbouring pixels go together, as in photographs."""
  rng = np.random.default_rng(seed)
  smooth = rng.normal(size=(num, *size, 3)).cumsum(1).cumsum(2)
  return np.clip(128 + 12 * smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)


def fit(spec: standardize.Spec, image_NHWC) -> standardize.Statistics:
  return standardize.fit(spec, lambda rows: image_NHWC[rows], len(image_NHWC))


@pytest.mark.parametrize('name', CASES)
def test_pixels_are_those_of_keras_in_numpy_and_compiled(keras_standardize, name):
  spec = dataclasses.replace(OFF, **CASES[name])
  train, test = images(), images(10, seed=1)
  statistics = fit(spec, train)
  expected = keras_standardize(spec, train, test)
  tolerance = 1e-5 * np.abs(expected).max()
  actual = standardize.apply(spec, statistics, test)
  assert actual.dtype == np.float32
  np.testing.assert_allclose(actual, expected, atol=tolerance)
  fast = compiled.function(standardize.make_apply(spec, statistics))(test)
  np.testing.assert_allclose(fast, expected, atol=tolerance)
  if spec.centers:
    other = fit(spec, images(seed=2))
    assert np.abs(standardize.apply(spec, other, test) - expected).max() > 10 * tolerance, (
      'another fit must be seen'
    )


def test_rescaling_alone_is_the_same_bit_for_bit_in_both():
  image_NHWC = images()
  fast = compiled.function(standardize.make_apply(OFF, None))(image_NHWC)
  np.testing.assert_array_equal(standardize.apply(OFF, None, image_NHWC), fast)


def test_statistics_see_the_training_rows_alone_and_never_all_at_once():
  spec = dataclasses.replace(OFF, featurewise_std_normalization=True)
  train = images(num=700)
  asked = []

  def read(rows):
    asked.append(rows)
    return train[rows]

  statistics = standardize.fit(spec, read, 700)
  np.testing.assert_array_equal(np.sort(np.concatenate(asked)), np.arange(700))
  assert max(map(len, asked)) < 300
  wide = train.astype(np.float64) / 255
  np.testing.assert_allclose(statistics.mean_C, wide.mean((0, 1, 2)), rtol=1e-6)
  np.testing.assert_allclose(statistics.std_C, wide.std((0, 1, 2)), rtol=1e-6)


@pytest.mark.parametrize('num', [40, 400])  # fewer and more than the 216 values of an image
def test_zca_of_both_versions_is_the_matrix_of_its_formula(num):
  train, test = images(num=num), images(num=10, seed=1)
  centred = train / 255 - (train / 255).mean((0, 1, 2))
  flat = centred.reshape(num, -1)
  squared, u = np.linalg.eigh(flat.T @ flat)
  s, u = np.sqrt(np.maximum(squared[::-1], 0)), u[:, ::-1]
  x = (test / 255 - (train / 255).mean((0, 1, 2))).reshape(10, -1)
  # In 2018: the covariance with epsilon added to its eigenvalues, over all directions.
  gains = {2: 1 / np.sqrt(s**2 / num + 1e-3), 3: np.where(np.arange(216) < num, np.sqrt(num) / (s + 1e-3), 0)}
  for version, gain in gains.items():
    spec = dataclasses.replace(OFF, zca_whitening=True, zca_epsilon=1e-3, keras_version=version)
    actual = standardize.apply(spec, fit(spec, train), test).reshape(10, -1)
    np.testing.assert_allclose(actual, x @ (u * gain) @ u.T, atol=1e-4 * np.abs(actual).max())
  assert np.abs(x @ (u * gains[2]) @ u.T - x @ (u * gains[3]) @ u.T).max() > 1e-2, 'the versions differ'


def test_zca_makes_the_samples_white():
  spec = dataclasses.replace(OFF, zca_whitening=True)
  train = images(num=400)
  white = standardize.apply(spec, fit(spec, train), train).reshape(400, -1).astype(np.float64)
  np.testing.assert_allclose(white.T @ white / 400, np.eye(216), atol=1e-2)
  plain = standardize.apply(OFF, None, train).reshape(400, -1)
  assert np.abs(plain.T @ plain / 400 - np.eye(216)).max() > 0.1


def test_zca_of_more_values_than_samples_is_exact_in_their_span():
  # 300 samples of 3,072 values reach over several blocks, as those of 150x150 do.
  spec = dataclasses.replace(OFF, zca_whitening=True, zca_epsilon=1e-9)
  train = images(num=300, size=(32, 32))
  white = standardize.apply(spec, fit(spec, train), train).reshape(300, -1).astype(np.float64)
  # Seen from the samples' side, white is a multiple of the identity.
  np.testing.assert_allclose(white @ white.T / 300, np.eye(300), atol=1e-3)
  plain = standardize.apply(OFF, None, train).reshape(300, -1)
  assert np.abs(plain @ plain.T / 300 - np.eye(300)).max() > 0.1


def test_zca_of_few_samples_takes_only_these():
  spec = dataclasses.replace(OFF, zca_whitening=True, zca_samples=20)
  statistics = fit(spec, images())
  assert statistics.whitening.basis_RD.shape == (20, 216)
  np.testing.assert_allclose(
    statistics.whitening.basis_RD @ statistics.whitening.basis_RD.T, np.eye(20), atol=1e-5
  )


def test_zca_beyond_its_memory_says_what_to_set():
  def read(rows):
    return np.zeros((len(rows), 67_500), np.float32)

  with pytest.raises(types.UserError, match=r'augment\.zca_samples: 9957 .* set it to 5965 or fewer'):
    zca.fit(read, np.arange(9957), 1e-6, 3)


@pytest.mark.parametrize('name', ['featurewise_std', 'zca', 'rescale'])
def test_statistics_come_back_from_their_file_bit_for_bit(tmp_path, name):
  spec = dataclasses.replace(OFF, **CASES[name])
  statistics, test = fit(spec, images()), images(num=5, seed=1)
  standardize.write(tmp_path / 'statistics.npz', statistics)
  again = standardize.read(tmp_path / 'statistics.npz')
  np.testing.assert_array_equal(
    standardize.apply(spec, statistics, test), standardize.apply(spec, again, test)
  )
  assert [path.name for path in tmp_path.iterdir()] == ['statistics.npz']


def test_a_missing_or_broken_file_gets_one_line(tmp_path):
  with pytest.raises(types.UserError, match=r'^.*none\.npz: [^\n]+$'):
    standardize.read(tmp_path / 'none.npz')
  spec = dataclasses.replace(OFF, featurewise_center=True)
  standardize.write(tmp_path / 'whole.npz', fit(spec, images()))
  (tmp_path / 'cut.npz').write_bytes((tmp_path / 'whole.npz').read_bytes()[:100])
  with pytest.raises(types.UserError, match=r'^.*cut\.npz: [^\n]+$'):
    standardize.read(tmp_path / 'cut.npz')


@pytest.mark.parametrize(
  ('name', 'key'),
  [
    ('featurewise_center', 'featurewise_center'),
    ('featurewise_std', 'featurewise_std_normalization'),
    ('zca', 'zca_whitening'),
  ],
)
def test_what_needs_a_fit_says_so_without_one(name, key):
  spec = dataclasses.replace(OFF, **CASES[name])
  for statistics in (None, fit(OFF, images())):
    for use in (standardize.make_apply, lambda spec, arguments: standardize.apply(spec, arguments, images())):
      with pytest.raises(types.UserError, match=rf'^augment\.{key} needs statistics [^\n]+$'):
        use(spec, statistics)


def test_statistics_of_another_scale_are_refused():
  spec = dataclasses.replace(OFF, featurewise_center=True)
  with pytest.raises(types.UserError, match=r'augment\.rescale is .* fitted with 0\.0039'):
    standardize.apply(dataclasses.replace(spec, rescale=0.0), fit(spec, images()), images())


@pytest.mark.parametrize(
  ('name', 'value'),
  [
    ('preprocessing_function', 'vgg'),
    ('rescale', -1.0),
    ('rescale', float('nan')),
    ('zca_epsilon', 0.0),
    ('zca_samples', -1),
    ('keras_version', 1),
    ('data_format', 'channels_first'),
  ],
)
def test_a_bad_setting_gets_one_line_with_its_key(name, value):
  with pytest.raises(types.UserError, match=rf'^augment\.{name} is [^\n]+$'):
    dataclasses.replace(OFF, **{name: value})
