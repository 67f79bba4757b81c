"""Encoded images to arrays: the same pixels as Keras, for one image and for whole tables."""

import dataclasses
import io
import warnings

import numpy as np
import pytest
from PIL import Image

from bloodcell_jax.base import types
from bloodcell_jax.data.images import decode
from bloodcell_jax.system import memory

SPEC = decode.Spec(
  image_size=16,
  view='full',
  interpolation='nearest',
  stretch_brightness=False,
  max_pixels=10_000,
  cache='auto',
)


def _with(**changes):
  return dataclasses.replace(SPEC, **changes)


def _encode(image, kind='PNG', **options):
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return buffer.getvalue()


def _picture(height=40, width=60, seed=0):
  return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _table(contents):
  num_rows = len(contents)
  names = np.array([f'{i}.png' for i in range(num_rows)], str)
  return types.Table(
    tuple(contents), names, np.zeros(num_rows, np.int32), names, names, names, names, ('A',), 'made', True
  )


_PNG = _encode(Image.fromarray(_picture()))


@pytest.mark.parametrize('interpolation', ['nearest', 'bilinear', 'bicubic', 'lanczos', 'box'])
def test_pixels_are_those_of_keras_load_img(interpolation, tmp_path):
  keras_utils = pytest.importorskip('keras.utils')
  path = tmp_path / 'a.jpg'
  path.write_bytes(_encode(Image.fromarray(_picture()), 'JPEG'))
  expected = np.asarray(keras_utils.load_img(path, target_size=(24, 24), interpolation=interpolation))
  pixels, notes = decode.image(str(path), _with(image_size=24, interpolation=interpolation))
  np.testing.assert_array_equal(pixels, expected)
  assert notes == ()
  other = 'box' if interpolation == 'nearest' else 'nearest'
  assert (decode.image(str(path), _with(image_size=24, interpolation=other))[0] != expected).any()


def test_bytes_and_path_give_the_same(tmp_path):
  data = _encode(Image.fromarray(_picture()))
  (tmp_path / 'a.png').write_bytes(data)
  np.testing.assert_array_equal(decode.image(data, SPEC)[0], decode.image(str(tmp_path / 'a.png'), SPEC)[0])


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'BMP', 'TIFF', 'WEBP', 'GIF', 'PPM'])
def test_every_kind_of_file_that_is_listed_decodes(kind):
  pixels, _ = decode.image(_encode(Image.new('RGB', (20, 20), (200, 40, 90)), kind), SPEC)
  assert pixels.shape == (16, 16, 3)
  assert pixels.dtype == np.uint8
  assert abs(pixels.astype(int) - [200, 40, 90]).max() < 8


def test_no_warning_of_pillow_gets_out():
  exif = b'Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01'  # cut short: Pillow warns of corrupt EXIF data
  data = _encode(Image.fromarray(_picture()), 'JPEG', exif=exif)
  with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter('always')
    Image.open(io.BytesIO(data)).getexif()
    assert heard, 'the control: without the guard Pillow does warn'
    heard.clear()
    assert decode.image(data, SPEC)[0].shape == (16, 16, 3)
    decode.table(_table([data] * 100), SPEC, '', lambda done, total: None)
    assert not heard


def test_the_stretch_is_that_of_keras_2_array_to_img():
  image = _picture(16, 16) // 2 + 20
  stretched, _ = decode.image(_encode(Image.fromarray(image)), _with(stretch_brightness=True))
  expected = (image / image.max() * 255).astype(np.uint8)
  assert abs(stretched.astype(int) - expected).max() <= 1  # floating point against integers
  assert stretched.max() == 255
  assert stretched.min() > 0  # Keras 3 would take the darkest value off


@pytest.mark.parametrize('value', [0, 255])
def test_the_stretch_leaves_black_and_full_brightness_alone(value):
  data = _encode(Image.new('RGB', (16, 16), (value, value // 2, 0)))
  plain, stretched = (decode.image(data, _with(stretch_brightness=s))[0] for s in (False, True))
  np.testing.assert_array_equal(plain, stretched)


def test_the_nucleus_view_is_a_crop_and_without_nucleus_the_full_image_with_a_note():
  field = np.full((60, 80, 3), 220, np.uint8)
  spec = _with(view='nucleus')
  full, notes = decode.image(_encode(Image.fromarray(field)), spec)
  assert notes == ('no nucleus found, the full image is used',)
  assert (full == 220).all()
  field[10:20, 60:70] = (90, 40, 150)
  cropped, notes = decode.image(_encode(Image.fromarray(field)), dataclasses.replace(spec, image_size=28))
  assert notes == ()
  # 28 = 60 x 224 / 480: not resized, around the centre (14.5, 64.5), moved inside at the right.
  np.testing.assert_array_equal(cropped, field[0:28, 50:78])


# Whole tables.


@pytest.mark.parametrize('cache', ['memory', 'disk', 'auto'])
def test_a_table_is_decoded_row_by_row_wherever_it_lies(tmp_path, cache):
  contents = [_encode(Image.fromarray(_picture(seed=i))) for i in range(70)]
  contents[5], contents[68] = b'broken', b''
  contents[7] = _encode(Image.new('L', (20, 20), 3))
  seen = []
  decoded = decode.table(_table(contents), _with(cache=cache), tmp_path, lambda *counts: seen.append(counts))
  assert decoded.image_NHWC.shape == (70, 16, 16, 3)
  assert isinstance(decoded.image_NHWC, np.memmap) == (cache == 'disk')
  assert np.flatnonzero(~decoded.kept).tolist() == [5, 68]
  assert [p.file for p in decoded.problems] == ['5.png', '68.png']
  assert [(n.file, n.reason) for n in decoded.notes] == [('7.png', 'greyscale converted to RGB')]
  for i in (0, 6, 69):
    np.testing.assert_array_equal(decoded.image_NHWC[i], decode.image(contents[i], SPEC)[0])
  assert not decoded.image_NHWC[[5, 68]].any()
  assert seen[-1] == (70, 70)
  assert not list(tmp_path.iterdir())  # the room on disk goes with the process


def test_auto_goes_to_disk_where_memory_is_short(tmp_path, monkeypatch):
  table = _table([_PNG] * 4)
  num_bytes = 4 * 16 * 16 * 3
  for available, on_disk in ((2 * num_bytes, False), (2 * num_bytes - 2, True)):
    monkeypatch.setattr(memory, 'available', lambda available=available: available)
    decoded = decode.table(table, SPEC, tmp_path, lambda done, total: None)
    assert isinstance(decoded.image_NHWC, np.memmap) == on_disk
    assert decoded.kept.all()


def test_a_full_disk_is_said_before_it_is_written_to(tmp_path):
  huge = dataclasses.replace(SPEC, cache='disk', image_size=40_000_000)
  with pytest.raises(types.UserError, match=r'free some space or lower data\.image_size'):
    decode.table(_table([_PNG]), huge, tmp_path, lambda done, total: None)


def test_an_empty_table_gives_an_empty_array(tmp_path):
  decoded = decode.table(_table([]), _with(cache='disk'), tmp_path, lambda done, total: None)
  assert decoded.image_NHWC.shape == (0, 16, 16, 3)


@pytest.mark.parametrize(
  ('key', 'value'),
  [('image_size', 7), ('view', 'nuclear'), ('interpolation', 'cubic'), ('max_pixels', 0), ('cache', 'ram')],
)
def test_a_wrong_setting_names_its_key(key, value):
  with pytest.raises(types.UserError, match=rf'data\.{key}'):
    _with(**{key: value})


def test_real_copies_are_as_good_as_stretched_already(real_images):
  from bloodcell_jax.data.sources import kaggle

  table, _ = kaggle.table(str(real_images))
  difference = {}
  for split in ('TEST', 'ORIGINALS'):
    rows = np.flatnonzero(table.split == split)
    part = table.take(rows[:: max(1, len(rows) // 70)])
    plain, stretched = (
      decode.table(part, _with(stretch_brightness=s, max_pixels=10**7), '', lambda done, total: None)
      for s in (False, True)
    )
    assert plain.kept.all()
    assert not plain.problems + plain.notes
    difference[split] = np.abs(plain.image_NHWC.astype(int) - stretched.image_NHWC).mean()
  # JPEG's loss leaves a copy's brightest value at 248 to 255; a photograph's lies at 234 to 255.
  assert difference['TEST'] < 1
  assert difference['ORIGINALS'] > 3
