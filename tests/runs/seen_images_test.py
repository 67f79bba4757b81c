"""Images to be scored are compared with those that a run has seen: by bytes, by pixels, and through initial weights."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from bloodcell_jax.base import types
from bloodcell_jax.data import dataset
from bloodcell_jax.data.division import leaks
from bloodcell_jax.data.images import near_copies
from bloodcell_jax.runs import seen_images, traced_weights
from bloodcell_jax.storage import thumbnails_file, workdir
from bloodcell_jax.system import atomic
from bloodcell_jax.weights import own, published


def thumbnail(letter: str) -> np.ndarray:
  """What a photograph of this name looks like; each of another name looks otherwise."""
  coarse_HW = np.random.default_rng(ord(letter)).integers(40, 216, (6, 6), np.uint8)
  return near_copies.thumbnail(Image.fromarray(coarse_HW).resize((120, 90), Image.Resampling.BICUBIC))


def images(names: str, rows: dict[str, list[int]], pixels: str = '', looks: str = '') -> dataset.Dataset:
  """An image a letter: `names` decide the bytes, `pixels` what they show, `looks` what that looks like."""
  letters = np.array(list(names), np.str_)
  table = types.Table(
    content=tuple(names), file=np.array([f'{name}.png' for name in names]), label=np.zeros(len(names), np.int32),
    source=letters, group=letters, split=letters, digest=np.array([f'{ord(name):016x}' for name in names]),
    class_names=('A',), name='x', synthetic=False,
  )  # fmt: skip
  image_NHWC = np.stack([np.full((2, 2, 3), ord(name), np.uint8) for name in pixels or names])
  thumbnail_NHW = np.stack([thumbnail(name) for name in looks or pixels or names])
  by_split = {k: np.array(v) for k, v in rows.items()}
  return dataset.Dataset(table, image_NHWC, by_split, [], [], (), None, thumbnail_NHW)


def others(names: str, pixels: str = '', looks: str = '') -> dataset.Dataset:
  return images(names, {'other': list(range(len(names)))}, pixels, looks)


@pytest.fixture
def run(tmp_path):
  folder = workdir.Workdir(tmp_path / 'run')
  seen_images.write(folder, images('abcde', {'train': [0, 1, 2], 'validation': [3], 'test': [4]}), '')
  return folder


@pytest.mark.parametrize(
  ('names', 'pixels', 'trained', 'chosen'),
  [
    ('abc', '', 3, 0),
    ('abxy', '', 2, 0),
    ('dx', '', 0, 1),
    ('ad', '', 1, 1),
    ('XYZ', 'axd', 1, 1),  # saved again: other bytes, the same pixels
    ('e', '', 0, 0),  # its own test split
    ('xyz', '', 0, 0),
  ],
)
def test_an_image_is_seen_by_its_bytes_or_its_pixels(run, names, pixels, trained, chosen):
  seen = seen_images.compare(run, others(names, pixels), 'other')
  assert (seen.num_images, seen.trained, seen.chosen, seen.unknown) == (len(names), trained, chosen, '')
  assert ('are not a test' in seen.sentence()) == bool(trained + chosen)


@pytest.mark.parametrize(
  ('looks', 'trained', 'chosen', 'words'),
  [
    (
      'abdx',
      2,
      1,
      '2 are copies of images that were trained on and 1 is a copy of an image that chose the epoch and the '
      'calibration (saved again, resized or cropped): these figures are not a test',
    ),
    (
      'axyz',
      1,
      0,
      'of 4 images, 1 is a copy of an image that was trained on (saved again, resized or cropped): these',
    ),
    ('exyz', 0, 0, 'none of the 4 images was trained or chosen on'),  # e is of its own test split
  ],
)
def test_an_image_that_looks_like_one_that_was_seen_is_a_copy(run, looks, trained, chosen, words):
  seen = seen_images.compare(run, others('wxyz', looks=looks), 'other')
  assert (seen.trained, seen.copies_trained, seen.chosen, seen.copies_chosen) == (0, trained, 0, chosen)
  assert seen.num_seen == trained + chosen
  assert words in seen.sentence()
  assert ('are not a test' in seen.sentence()) == bool(trained + chosen)
  assert seen_images.entry(seen)['seen'] == {
    'num_images': 4, 'trained': 0, 'chosen': 0, 'copies_trained': trained, 'copies_chosen': chosen,
  }  # fmt: skip


def test_an_image_is_counted_once_though_it_is_its_own_copy(run):
  seen = seen_images.compare(run, others('abdx'), 'other')
  assert (seen.trained, seen.chosen, seen.copies_trained, seen.copies_chosen) == (2, 1, 0, 0)


def test_a_run_without_thumbnails_says_that_copies_are_not_known(run, tmp_path):
  run.thumbnails.unlink()
  seen = seen_images.compare(run, others('axyz'), 'other')
  assert (seen.trained, seen.copies_trained, seen.num_seen) == (1, None, 1)
  assert seen.sentence().endswith('are not known: the run kept no thumbnails')
  # Begun with by another, it is named there.
  later = workdir.Workdir(tmp_path / 'later')
  seen_images.write(later, images('vw', {'train': [0], 'validation': [1]}), str(run.path))
  sentence = seen_images.compare(later, others('xy'), 'other').sentence()
  assert sentence.endswith(f'; copies of the images of {run.path.resolve()} are not known')


def test_the_sentence_has_the_numbers(run):
  sentence = seen_images.compare(run, others('abdx'), 'other').sentence()
  assert sentence == (
    'of 4 images, 2 were trained on and 1 chose the epoch and the calibration: these figures are not a test'
  )
  assert seen_images.compare(run, others('xy'), 'other').sentence() == (
    'none of the 2 images was trained or chosen on'
  )


def test_what_the_initial_weights_have_seen_is_seen(run, tmp_path):
  second = workdir.Workdir(tmp_path / 'second')
  seen_images.write(second, images('vw', {'train': [0], 'validation': [1]}), str(run.path))
  third = workdir.Workdir(tmp_path / 'third')
  seen_images.write(third, images('z', {'train': [0]}), str(second.path))
  for folder in (second, third):
    seen = seen_images.compare(folder, others('avdx'), 'other')
    assert (seen.trained, seen.chosen) == (2, 1)
    seen = seen_images.compare(folder, others('mnop', looks='avdx'), 'other')
    assert (seen.copies_trained, seen.copies_chosen) == (2, 1)
  # Negative control: fresh weights have seen nothing.
  fresh = workdir.Workdir(tmp_path / 'fresh')
  seen_images.write(fresh, images('vw', {'train': [0], 'validation': [1]}), '')
  assert seen_images.compare(fresh, others('avdx'), 'other').trained == 1


def test_what_a_run_before_has_seen_is_not_known_and_that_is_said(tmp_path):
  old = workdir.Workdir(tmp_path / 'old')
  old.path.mkdir()
  old.config.write_text('{}')
  assert seen_images.compare(old, others('a'), 'other') is None
  later = workdir.Workdir(tmp_path / 'later')
  seen_images.write(later, images('a', {'train': [0]}), str(old.path))
  sentence = seen_images.compare(later, others('bc'), 'other').sentence()
  assert f'whether it is in the data of {old.path.resolve()}, which it began with, is not known' in sentence


def test_a_continued_run_keeps_its_digests_and_damaged_ones_are_refused(run):
  before = run.digests.read_bytes()
  seen_images.write(run, images('q', {'train': [0]}), '')
  assert run.digests.read_bytes() == before
  run.digests.unlink()
  run.digests.write_bytes(before)
  assert seen_images.compare(run, others('a'), 'other').trained == 1
  with open(run.digests, 'a') as file:
    file.write('trained,x\n')
  with pytest.raises(types.UserError, match=r'digests\.csv: damaged'):
    seen_images.compare(run, others('a'), 'other')


def test_a_name_with_a_line_separator_is_one_row(tmp_path):
  run = workdir.Workdir(tmp_path)
  rows = [('train', 'a\u2028b\x0bc.png', 'sha256:1', '2')]
  atomic.write_csv(run.digests, [seen_images.COLUMNS, *rows])
  assert seen_images._read(run) == rows


def test_the_rows_of_the_split_alone_are_counted(run):
  data = dataclasses.replace(others('abx'), rows={'other': np.array([1, 2])})
  seen = seen_images.compare(run, data, 'other')
  assert (seen.num_images, seen.trained) == (2, 1)


def test_weights_that_were_trained_on_images_of_validation_or_test_are_refused(run, tmp_path):
  fresh, held = (
    workdir.Workdir(tmp_path / 'new'),
    {'train': [0], 'validation': [1], 'test': [2, 3], 'test_clean': [3]},
  )
  leaking = images('vbxc', held)
  words = (
    r"weights\.path is '.*run', weights that were trained on 2 of the validation and test images \(b\.png"
  )
  with pytest.raises(types.UserError, match=words):
    seen_images.in_initial_weights(fresh, leaking, str(run.path), False)
  # What the line advises: with a leak that is allowed, without these images, and with other weights.
  found = seen_images.in_initial_weights(fresh, leaking, str(run.path), True)
  assert leaks.note({**leaks.NONE, **found}) == (
    'Leak: the initial weights were trained on 2 validation or test images. The figures are too good.'
  )
  assert seen_images.in_initial_weights(fresh, images('vwxy', held), str(run.path), False) == {}
  assert seen_images.in_initial_weights(fresh, leaking, '', False) == {}
  # Trained on again, and on what only chose the epoch of the weights.
  assert seen_images.in_initial_weights(fresh, images('adxy', held), str(run.path), False) == {}


def test_a_run_that_has_begun_with_such_weights_goes_on_and_is_marked(run, tmp_path):
  leaking = images('vb', {'train': [0], 'validation': [1]})
  begun = workdir.Workdir(tmp_path / 'begun')
  seen_images.write(begun, leaking, str(run.path))
  assert seen_images.in_initial_weights(begun, leaking, str(run.path), False) == {leaks.SEEN_BY_WEIGHTS: 1}


def weights_file(path) -> str:
  """A file as `export` writes it."""
  path.parent.mkdir(parents=True, exist_ok=True)
  own.write(path, {'conv2d_1/bias': np.zeros(1, np.float32)}, own.About({}, ('A',)))
  return str(path)


@pytest.mark.parametrize(
  'where', ['folder', 'file', 'other name', 'link', 'in the run', 'in the run, of before']
)
def test_weights_given_as_an_export_are_traced_to_the_images_of_their_run(run, tmp_path, where):
  export = tmp_path / 'portable' if where in ('folder', 'file', 'other name', 'link') else run.path / 'export'
  file = weights_file(export / ('w.safetensors' if where == 'other name' else own.FILE))
  if where != 'in the run, of before':
    seen_images.export(run, workdir.Workdir(export))
  path = file if where in ('file', 'other name') else str(export)
  if where == 'link':
    path = str(tmp_path / 'linked.safetensors')
    (tmp_path / 'linked.safetensors').symlink_to(file)
  leaking = images('vbxc', {'train': [0], 'validation': [1], 'test': [2, 3]})
  fresh = workdir.Workdir(tmp_path / 'new')
  with pytest.raises(types.UserError, match='trained on 2 of the validation and test images'):
    seen_images.in_initial_weights(fresh, leaking, path, False)
  assert seen_images.in_initial_weights(fresh, leaking, path, True) == {leaks.SEEN_BY_WEIGHTS: 2}
  assert traced_weights.note(path) == ''
  # Scored on, they are known as through the run's own folder, copies too.
  seen_images.write(fresh, images('vw', {'train': [0], 'validation': [1]}), path)
  found = seen_images.compare(fresh, others('avdx', looks='avdx'), 'other')
  assert (found.trained, found.chosen, found.unknown, found.unknown_copies) == (2, 1, '', ())
  assert seen_images.compare(fresh, others('mnop', looks='avdx'), 'other').copies_trained == 2


@pytest.mark.parametrize('where', ['folder', 'file'])
def test_weights_that_cannot_be_traced_are_unknown_and_that_is_said(run, tmp_path, where):
  file = weights_file(tmp_path / 'portable' / own.FILE)
  path = file if where == 'file' else str(tmp_path / 'portable')
  leaking = images('vb', {'train': [0], 'validation': [1]})
  later = workdir.Workdir(tmp_path / 'later')
  assert seen_images.in_initial_weights(later, leaking, path, False) == {}
  note = traced_weights.note(path)
  assert f'weights.path: {path} has no digests.csv' in note
  assert '\n' not in note
  seen_images.write(later, leaking, path)
  sentence = seen_images.compare(later, others('xy'), 'other').sentence()
  assert f'whether it is in the data of {path}, which it began with, is not known' in sentence
  # What the line advises.
  seen_images.export(run, workdir.Workdir(tmp_path / 'portable'))
  assert traced_weights.note(path) == ''


def test_weights_of_others_and_fresh_ones_are_no_runs(tmp_path):
  import safetensors.numpy

  (tmp_path / 'vgg16.h5').write_bytes(b'x')
  safetensors.numpy.save_file({'a': np.zeros(1)}, tmp_path / 'theirs.safetensors')
  (tmp_path / 'damaged.safetensors').write_bytes(b'x')
  for path in ('', published.AUTO, tmp_path / 'vgg16.h5', tmp_path / 'theirs.safetensors',
               tmp_path / 'damaged.safetensors', tmp_path / 'nowhere.safetensors'):  # fmt: skip
    assert traced_weights.find(str(path)) is None
    assert traced_weights.note(str(path)) == ''
  assert traced_weights.find(published.PBC).folder.digests.exists()
  # Negative control.
  assert traced_weights.find(weights_file(tmp_path / 'ours.safetensors')).folder is None


def test_an_export_names_neither_images_nor_places(run, tmp_path):
  old = workdir.Workdir(tmp_path / 'old')
  old.path.mkdir()
  later, target = workdir.Workdir(tmp_path / 'later'), workdir.Workdir(tmp_path / 'portable')
  seen_images.write(later, images('ab', {'train': [0], 'validation': [1]}), str(old.path))
  target.path.mkdir()
  seen_images.export(later, target)
  assert 'a.png' in later.digests.read_text()
  assert str(tmp_path) in later.digests.read_text()
  said = target.digests.read_text()
  assert 'a.png' not in said
  assert str(tmp_path) not in said
  assert (seen_images.UNKNOWN, 'old', '', '') in seen_images._read(target)
  assert thumbnails_file.read(target).unknown == ('old',)
  assert thumbnails_file.read(later).unknown == (str(old.path),)
