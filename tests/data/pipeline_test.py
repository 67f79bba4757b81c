"""The tf.data pipeline against the stream in NumPy: the same bits from any step, and an end when left."""

from __future__ import annotations

import itertools
import threading

import jax
import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import pipeline, stream
from bloodcell_jax.data.augmentation import standardize, transform
from bloodcell_jax.data.images import nuclei
from bloodcell_jax.data.resident import recipe
from bloodcell_jax.data.tensorflow_cpu import tf
from bloodcell_jax.storage import config_keys
from configs import default

TRANSFORM = experiment.resolve(default.get_config()).transform


def arrays(image_NHWC: np.ndarray) -> stream.Arrays:
  num = len(image_NHWC)
  weight_N = np.random.default_rng(1).random(num).astype(np.float32)
  return stream.Arrays(image_NHWC, stream.one_hot(np.arange(num) % 4, 4), weight_N)


def every_value(num: int = 16) -> np.ndarray:
  """Images that between them hold every uint8."""
  return np.arange(num * 8 * 2 * 3, dtype=np.uint32).astype(np.uint8).reshape(num, 8, 2, 3)


def changed(**values) -> transform.Spec:
  config = default.get_config()
  config.augment.update(values)
  return experiment.resolve(config).transform


def rescale(image_NHWC: np.ndarray) -> np.ndarray:
  return standardize.apply(TRANSFORM.standardize, None, image_NHWC)


def through_numpy(source, rows, batch_size, seed, start):
  return stream.training(source, rows, batch_size, seed, start, rescale)


def through_tf_data(source, rows, batch_size, seed, start, spec=TRANSFORM):
  found = nuclei.Nuclei(source.image_NHWC)
  return pipeline.training(source, rows, batch_size, seed, start, spec, None, found)


def take(batches, count: int):
  actual = list(itertools.islice(batches, count))
  batches.close()
  return actual


def differ(a, b) -> bool:
  pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  return any(x.dtype != y.dtype or np.asarray(x).tobytes() != np.asarray(y).tobytes() for x, y in pairs)


@pytest.mark.parametrize('batch_size', [1, 5, 16, 40])
def test_every_pixel_value_is_scaled_to_the_bits_of_numpy(batch_size):
  source, rows = arrays(every_value()), np.arange(16)
  assert set(source.image_NHWC.ravel()) == set(range(256))
  a = take(through_tf_data(source, rows, batch_size, 0, 0), 6)
  b = take(through_numpy(source, rows, batch_size, 0, 0), 6)
  assert not differ(a, b)
  # A product with the reciprocal is not the quotient: one bit off for some values, and the check sees it.
  off = source.image_NHWC.astype(np.float32) / np.float32(255)
  assert differ(off, rescale(source.image_NHWC))


# What an image may go through without random changes, and whether both pipelines then make the same bits of it:
# `config_keys.PIPELINE_DIFFERS` has the keys of those where they do not.
STANDARDIZED = {
  'caffe': ({'preprocessing_function': 'caffe', 'rescale': 0.0}, True),
  'torch': ({'preprocessing_function': 'torch', 'rescale': 0.0}, True),
  'tf': ({'preprocessing_function': 'tf', 'rescale': 0.0}, True),
  'grey levels': ({'rescale': 0.0}, True),
  'featurewise_center': ({'featurewise_center': True}, True),
  'featurewise_std_normalization': ({'featurewise_std_normalization': True}, True),
  'samplewise_center': ({'samplewise_center': True}, False),
  'samplewise_std_normalization': ({'samplewise_std_normalization': True}, False),
  'zca_whitening': ({'zca_whitening': True}, False),
}


@pytest.mark.parametrize('name', STANDARDIZED)
def test_where_the_pipeline_may_change_both_make_the_same_bits(name):
  values, is_alike = STANDARDIZED[name]
  assert (f'augment.{name}' in config_keys.PIPELINE_DIFFERS) == (not is_alike)
  spec = changed(**values)
  image_NHWC = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), np.uint8)
  source, rows, own = arrays(image_NHWC), np.arange(64), spec.standardize
  statistics = standardize.fit(own, lambda chosen: image_NHWC[chosen], 64) if own.centers else None
  a = take(pipeline.training(source, rows, 16, 0, 0, spec, statistics, nuclei.Nuclei(image_NHWC)), 4)
  b = take(stream.training(source, rows, 16, 0, 0, lambda x: standardize.apply(own, statistics, x)), 4)
  assert differ(a, b) != is_alike


@pytest.mark.parametrize('start', [1, 2, 7, 1000])
def test_a_pipeline_from_step_k_is_the_stream_from_step_k(start):
  source, rows = arrays(every_value()), np.array([3, 1, 4, 15, 9, 2, 6])
  actual = take(through_tf_data(source, rows, 3, 5, start), 5)
  assert not differ(actual, take(through_numpy(source, rows, 3, 5, start), 5))
  assert differ(actual, take(through_numpy(source, rows, 3, 5, start - 1), 5))
  assert differ(actual, take(through_numpy(source, rows, 3, 6, start), 5))


def test_images_mapped_from_disk_give_the_same(tmp_path):
  np.save(tmp_path / 'images.npy', every_value())
  mapped = np.load(tmp_path / 'images.npy', mmap_mode='r')
  rows = np.arange(16)
  a = take(through_tf_data(arrays(mapped), rows, 4, 0, 0), 5)
  assert not differ(a, take(through_numpy(arrays(every_value()), rows, 4, 0, 0), 5))


def test_two_pipelines_side_by_side_do_not_disturb_each_other():
  source, rows = arrays(every_value()), np.arange(16)
  one, two = through_tf_data(source, rows, 4, 0, 0), through_tf_data(source, rows, 4, 1, 0)
  pairs = [(next(one), next(two)) for _ in range(6)]
  one.close()
  two.close()
  assert not differ([a for a, _ in pairs], take(through_numpy(source, rows, 4, 0, 0), 6))
  assert not differ([b for _, b in pairs], take(through_numpy(source, rows, 4, 1, 0), 6))


def test_a_pipeline_that_is_left_calls_python_no_more(monkeypatch):
  source, rows, calls = arrays(every_value()), np.arange(16), []
  original = stream.raw

  def counted(*args):
    for item in original(*args):
      calls.append(threading.get_ident())
      yield item

  monkeypatch.setattr(stream, 'raw', counted)
  batches = through_tf_data(source, rows, 4, 0, 0)
  next(batches)
  batches.close()
  after = len(calls)
  assert 1 <= after <= 1 + 2 * (pipeline.PREFETCH + 1), 'drawn ahead, but not without end'
  threading.Event().wait(0.3)
  assert len(calls) == after


def test_pipelines_are_left_one_after_the_other_while_the_others_draw():
  source, rows = arrays(every_value()), np.arange(16)
  many = [through_tf_data(source, rows, 4, seed, 0) for seed in range(4)]
  for batches in many:
    next(batches)
  for batches in many:
    batches.close()
    rest = [other for other in many if other.gi_frame is not None]
    assert all(len(next(other).weight_B) == 4 for other in rest)
  assert all(batches.gi_frame is None for batches in many)


def test_a_row_that_is_not_there_is_an_error_and_not_a_hang():
  batches = through_tf_data(arrays(every_value()), np.array([3, 99]), 4, 0, 0)
  with pytest.raises(Exception, match='out of bounds'):
    next(batches)


# Everything at once, in small pictures that are square.
EVERYTHING = {
  'rotation_range': 20.0, 'width_shift_range': 0.2, 'height_shift_range': 3, 'brightness_range': (0.7, 1.2),
  'shear_range': 5.0, 'zoom_range': 0.2, 'channel_shift_range': 20.0, 'horizontal_flip': True,
  'fill_mode': 'reflect', 'crop_range': (0.6, 0.9), 'crop_shift': 0.1, 'quarter_turns': True, 'mirrors': True,
  'hue_range': 0.05, 'saturation_range': (0.8, 1.2), 'stain_range': 0.2, 'blur_range': 0.8, 'noise_range': 5.0,
  'jpeg_quality_range': (60, 95), 'erasing_probability': 0.5, 'mixup_alpha': 0.3, 'cutmix_alpha': 0.5,
  'samplewise_center': True,
}  # fmt: skip
SINGLE = {
  'keras': {'rotation_range': 20.0},
  'crop': {'crop_range': (0.6, 0.9)},
  'symmetries': {'quarter_turns': True},
  'mixing': {'mixup_alpha': 0.3},
  'everything': EVERYTHING,
}


def square() -> np.ndarray:
  return np.random.default_rng(0).integers(0, 256, (16, 9, 9, 3), np.uint8)


@pytest.mark.parametrize('name', SINGLE)
def test_random_changes_are_the_same_from_whatever_step_they_start(name):
  source, rows, spec = arrays(square()), np.arange(1, 16), changed(**SINGLE[name])
  whole = take(through_tf_data(source, rows, 4, 3, 0, spec), 7)
  for start in (1, 4):
    assert not differ(take(through_tf_data(source, rows, 4, 3, start, spec), 7 - start), whole[start:])
  assert differ(take(through_tf_data(source, rows, 4, 4, 0, spec), 7), whole), 'another seed must be seen'
  assert differ(take(through_numpy(source, rows, 4, 3, 0), 7), whole), 'the changes must be there'


def test_changes_are_put_together_in_the_order_of_the_spec():
  source, rows = arrays(square()), np.arange(16)
  both = changed(quarter_turns=True, horizontal_flip=True)
  actual = take(through_tf_data(source, rows, 16, 3, 0, both), 1)[0].image_BHWC
  flipped = take(through_tf_data(source, rows, 16, 3, 0, changed(horizontal_flip=True)), 1)[0].image_BHWC
  turns_B = transform.photometric.draw(both.photometric, 3, np.arange(16)).turns_B.astype(int)
  expected = np.stack([np.rot90(x, k) for x, k in zip(flipped, turns_B, strict=True)])
  np.testing.assert_allclose(actual, expected, atol=1e-6)
  assert np.abs(actual - flipped).max() > 0.1


def test_settings_that_do_not_fit_the_images_are_named_before_the_first_batch():
  source, rows = arrays(every_value()), np.arange(16)
  with pytest.raises(types.UserError, match=r'augment\.quarter_turns'):
    next(through_tf_data(source, rows, 4, 0, 0, changed(quarter_turns=True)))
  with pytest.raises(types.UserError, match=r'augment\.zca_whitening needs statistics'):
    next(through_tf_data(source, rows, 4, 0, 0, changed(zca_whitening=True)))


def test_tensorflow_sees_no_accelerator():
  assert not [device for device in tf.config.get_visible_devices() if device.device_type != 'CPU']


PARTS = (slice(0, 4), slice(4, 8), slice(8, 13))
AUGMENTED = {'rotation_range': 20.0, 'channel_shift_range': 9.0, 'horizontal_flip': True}


@pytest.mark.parametrize(
  'stream_of',
  [
    lambda *a: stream.training(*a[:5], rescale, a[5]),
    lambda *a: pipeline.training(*a[:5], changed(**AUGMENTED), None, nuclei.Nuclei(a[0].image_NHWC), a[5]),
    lambda *a: pipeline.training(
      *a[:5], changed(**AUGMENTED, mixup_alpha=0.4), None, nuclei.Nuclei(a[0].image_NHWC), a[5]
    ),
    lambda *a: recipe.training(a[0], *a[2:5], changed(**AUGMENTED), a[5]),
  ],
  ids=['numpy', 'tf_data', 'mixed', 'device'],
)
def test_the_parts_of_a_batch_that_hosts_make_are_the_batch_of_one(stream_of):
  source, rows = arrays(every_value()), np.arange(16)
  whole, *parts = (take(stream_of(source, rows, 13, 7, 3, part), 3) for part in (stream.WHOLE, *PARTS))
  joined = [jax.tree.map(lambda *x: np.concatenate(x), *each) for each in zip(*parts, strict=True)]
  assert not differ(whole, joined)
  # Parts in another order are another batch.
  assert differ(
    whole, [jax.tree.map(lambda *x: np.concatenate(x[::-1]), *each) for each in zip(*parts, strict=True)]
  )
