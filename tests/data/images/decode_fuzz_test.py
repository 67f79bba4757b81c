"""Damaged and hostile images are decoded or refused: no crash, no hang, no memory without end."""

import io

import mutation
import numpy as np
import pytest
import watched
from PIL import Image

from bloodcell_jax.data.images import decode

SPEC = decode.Spec(16, 'full', 'nearest', False, 10_000, 'auto')


def wrong(actual):
  return [(one.case, one.said, round(one.seconds, 1)) for one in actual if one.is_failure]


def test_the_watch_sees_a_crash_a_hang_memory_and_another_exception():
  cases = ['fine', 'crash', 'fine', 'hang', 'memory', 'raise', 'refuse']
  actual = watched.run('watched:misbehave', cases, cases, 5.0, 100)
  message = [one.said.split(':')[0] for one in actual]
  assert message == ['ok', 'crash', 'ok', 'hang', 'memory', 'TypeError', 'refused']
  assert [one.is_failure for one in actual] == [False, True, False, True, True, True, False]


def test_a_few_hundred_damaged_images_are_decoded_or_refused():
  sound = mutation.encoded(mutation.drawn(40, 0))
  generator, names = np.random.default_rng(7), list(sound)
  cases, labels = [], []
  for i in range(200):
    name = names[i % len(names)]
    other = sound[names[int(generator.integers(len(names)))]]
    cases.append((mutation.mutated(sound[name], other, generator), ('full', 'nucleus')[i % 7 == 0]))
    labels.append(f'{name} {i}')
  actual = watched.run('victims:decode_image', cases, labels, 60.0, 1500)
  assert wrong(actual) == []
  # The control: some get as far as pixels and some do not, or nothing was tried.
  assert min(sum(one.said == 'ok' for one in actual), sum(one.said != 'ok' for one in actual)) > 30
  for name, data in sound.items():
    if name != 'tiff frames':  # a stack, which is refused
      decode.image(data, SPEC)


def test_hostile_images_cost_little():
  hostile = mutation.hostile()
  actual = watched.run(
    'victims:decode_image', [(d, 'full') for d in hostile.values()], list(hostile), 60.0, 1500
  )
  assert wrong(actual) == []
  assert max(one.seconds for one in actual) < 10, max(actual, key=lambda one: one.seconds)


def test_of_countless_pages_a_few_are_counted():
  for num, shown in ((3, '3'), (30_000, 'more than 64')):
    with pytest.raises(decode.DecodeError, match=f'is a stack of {shown} images'):
      decode.image(mutation.tiff(num), SPEC)


def test_the_first_page_is_used_whatever_the_others_are():
  buffer = io.BytesIO()
  first, others = Image.new('L', (20, 20), 90), [Image.fromarray(np.full((30, 9), 40_000, np.uint16))] * 3
  first.save(buffer, 'TIFF', save_all=True, append_images=others)
  pixels, notes = decode.image(buffer.getvalue(), SPEC)
  assert (pixels == 90).all()
  assert notes == ('the first of its 4 frames is used', 'greyscale converted to RGB')


def test_a_jpeg_of_countless_scans_is_refused_and_one_of_many_is_not():
  buffer = io.BytesIO()
  mutation.drawn(40, 0).save(buffer, 'JPEG', progressive=True)
  whole = buffer.getvalue()
  scan = whole[whole.rindex(b'\xff\xda') : -2]
  decode.image(whole[:-2] + scan * 50 + whole[-2:], SPEC)
  with pytest.raises(decode.DecodeError, match='more than 100 scans'):
    decode.image(whole[:-2] + scan * 100 + whole[-2:], SPEC)


def test_a_file_larger_than_its_pixels_could_be_is_refused_unread(tmp_path):
  path = tmp_path / 'x.png'
  with open(path, 'wb') as file:
    file.truncate(2**40)  # takes no room on the disk
  with pytest.raises(
    decode.DecodeError, match=r'more than 16,857,216 bytes, the most for data\.max_pixels=10000'
  ):
    decode.image(str(path), SPEC)
