"""Which photographs and views there are, and that they depend on the seed alone."""

import collections
import dataclasses
import io

import drawn_once
import numpy as np
import pytest
from PIL import Image

from bloodcell_jax.base import types
from bloodcell_jax.data.sources import embedded

SPEC = embedded.Spec(num_train=3, num_test=2, num_copies=3, height=48, width=64, seed=0)


@pytest.fixture(scope='module', autouse=True)
def drawn_anew():
  """Each call draws, as it does outside of tests."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(embedded, 'draw_all', drawn_once.drawn_anew)
    yield


@pytest.fixture(scope='module')
def images():
  return embedded.draw_all(SPEC)


def _splits_of_sources(images):
  actual = collections.defaultdict(set)
  for image in images:
    actual[image.source].add('TRAIN' if image.split == 'TRAIN' else 'TEST')
  return actual


def test_each_split_has_its_number_of_images_of_each_class(images):
  counts = collections.Counter((image.split, image.class_name) for image in images)
  for name in embedded.CLASS_NAMES:
    assert counts['TRAIN', name] == 3 * 3
    assert counts['TEST', name] == 2 * 3
    assert counts['ORIGINALS', name] == 2
  assert {split for split, _ in counts} == set(embedded.SPLITS)


def test_label_name_and_file_agree(images):
  for image in images:
    assert embedded.CLASS_NAMES[image.label] == image.class_name
    assert image.file.startswith(f'{image.split}/{image.class_name}/{image.source}')
  assert len({image.file for image in images}) == len(images)


def test_no_photograph_is_both_trained_and_tested_on(images):
  assert all(len(splits) == 1 for splits in _splits_of_sources(images).values())
  broken = [dataclasses.replace(images[0], split='TEST'), *images[1:]]
  assert any(len(splits) == 2 for splits in _splits_of_sources(broken).values())


def test_all_views_of_a_photograph_carry_its_name(images):
  counts = collections.Counter(image.source for image in images if image.split == 'TRAIN')
  assert set(counts.values()) == {SPEC.num_copies}
  assert len(counts) == 4 * SPEC.num_train


def test_the_pngs_decode_to_the_size_and_no_two_are_equal(images):
  for image in images:
    with Image.open(io.BytesIO(image.png)) as opened:
      assert (opened.format, opened.mode, opened.size) == ('PNG', 'RGB', (64, 48))
  assert len({image.png for image in images}) == len(images)


def test_a_larger_data_set_holds_the_smaller_one_bit_for_bit(images):
  larger = dataclasses.replace(SPEC, num_train=4, num_test=3, num_copies=4)
  actual = {image.file: image for image in embedded.draw_all(larger)}
  assert all(actual[image.file] == image for image in images)
  assert len(actual) > len(images)
  other = {image.file: image for image in embedded.draw_all(dataclasses.replace(SPEC, seed=1))}
  assert not any(other[image.file].png == image.png for image in images)


def test_views_have_black_corners_and_full_brightness_and_originals_no_corners(images):
  def black(image):
    array = np.asarray(Image.open(io.BytesIO(image.png)))
    return (array.max(axis=-1) == 0).mean(), array.max()

  for image in images:
    share, brightest = black(image)
    if image.split == 'ORIGINALS':
      assert share == 0
    else:
      assert share < 0.5
      assert brightest >= 254  # 255 up to rounding
  assert np.mean([black(image)[0] for image in images if image.split == 'TRAIN']) > 0.03


@pytest.mark.parametrize(
  ('name', 'value'), [('num_train', 0), ('num_test', -1), ('num_copies', 0), ('height', 31), ('width', 0)]
)
def test_a_spec_that_cannot_be_drawn_is_refused_by_name(name, value):
  with pytest.raises(types.UserError, match=f'data.embedded.{name} is {value}'):
    dataclasses.replace(SPEC, **{name: value})
  assert dataclasses.replace(SPEC, num_test=0).num_test == 0


def test_what_tests_share_is_what_is_drawn(images, monkeypatch, tmp_path):
  monkeypatch.setenv(drawn_once.FOLDER, str(tmp_path))
  drawn_once.draw_all.cache_clear()
  assert drawn_once.draw_all(SPEC) == images
  drawn_once.draw_all.cache_clear()
  assert drawn_once.draw_all(SPEC) == images, 'as it is read again'
  assert drawn_once.draw_all(dataclasses.replace(SPEC, seed=1)) != images
