"""`data.cache=none`: images that are decoded whenever they are read have the pixels of those that are kept."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from bloodcell_jax.base import types
from bloodcell_jax.data import reading, stream
from bloodcell_jax.data.images import decode, on_demand
from bloodcell_jax.data.sources import embedded

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 24, 30, 3), np.uint8)
SETTINGS = reading.Spec(
  'folders', '', '', '', 'skip', 0.5, 0.0, False, decode.Spec(16, 'full', 'bilinear', False, 10**6, 'none'),
  embedded.Spec(1, 0, 1, 48, 64, 0),
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
  for i, pixels in enumerate(PIXELS):
    path = tmp_path / 'data' / 'AB'[i % 2] / f'{i}.png'
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
  return tmp_path / 'data'


def read(folder, cache):
  spec = dataclasses.replace(SETTINGS.decode, cache=cache)
  settings = dataclasses.replace(SETTINGS, dir=str(folder), decode=spec)
  return reading.build(settings, 0, folder.parent / 'cache', lambda done, total: None)


def test_any_way_of_reading_gives_the_pixels_that_are_kept_otherwise(folder):
  data, kept = read(folder, 'none'), read(folder, 'memory')
  images = data.image_NHWC
  assert isinstance(images, on_demand.OnDemand)
  assert (images.shape, images.nbytes, len(images)) == (kept.image_NHWC.shape, kept.image_NHWC.nbytes, 20)
  rows = np.array([3, 0, 3, 19, *range(12)])
  for key in (3, np.int64(-1), slice(2, 15), rows, np.arange(20) % 3 == 0, np.array([], np.int64)):
    np.testing.assert_array_equal(images[key], kept.image_NHWC[key])
  np.testing.assert_array_equal(np.asarray(images), kept.image_NHWC)
  np.testing.assert_array_equal(list(images), kept.image_NHWC)
  assert data.fingerprint() == kept.fingerprint()
  assert list(data.pixel_digests('train')) == list(kept.pixel_digests('train'))


def test_batches_are_those_of_kept_images(folder):
  def batch(data):
    arrays = stream.Arrays(
      data.image_NHWC, np.eye(2, dtype=np.float32)[data.table.label], np.ones(20, np.float32)
    )
    return next(stream.training(arrays, data.rows['train'], 4, 0, 7, lambda image: image / np.float32(255)))

  np.testing.assert_array_equal(
    batch(read(folder, 'none')).image_BHWC, batch(read(folder, 'memory')).image_BHWC
  )


def test_an_image_that_cannot_be_used_is_left_out_at_the_start(folder):
  (folder / 'A' / '0.png').write_bytes(b'no image')
  data, kept = read(folder, 'none'), read(folder, 'memory')
  assert [problem.file for problem in data.skipped] == ['A/0.png']
  np.testing.assert_array_equal(np.asarray(data.image_NHWC), kept.image_NHWC)


@pytest.mark.parametrize('change', ['replaced', 'gone'])
def test_an_image_that_changes_during_the_run_ends_it(folder, change):
  data = read(folder, 'none')
  row = data.table.file.tolist().index('B/3.png')
  path = folder / 'B' / '3.png'
  if change == 'gone':
    path.unlink()
  else:
    Image.fromarray(PIXELS[4]).save(path)
  data.image_NHWC[row + 1], data.image_NHWC[row - 1]
  with pytest.raises(
    types.RunError, match=r'B/3.png: (has been replaced by another file|cannot be read).*put it back'
  ):
    data.image_NHWC[:]
