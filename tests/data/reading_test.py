"""What is told of a data set: its reading, conversions and sizes; and what evaluation takes a class for."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image

from bloodcell_jax.base import types
from bloodcell_jax.data import reading
from bloodcell_jax.data.images import conversions, decode, sizes
from bloodcell_jax.data.sources import embedded, smear

SPEC = reading.Spec(
  'folders', '', '', '', 'fail', 0.5, 0.0, False,
  decode.Spec(16, 'full', 'bilinear', False, 10**6, 'memory'), embedded.Spec(1, 1, 1, 48, 64, 0),
)  # fmt: skip


def draw(seed: int) -> np.ndarray:
  return smear.draw('MONOCYTE', np.random.default_rng(seed), 48, 64)


def fill(folder: pathlib.Path, classes=('A', 'B'), num: int = 2) -> reading.Spec:
  for number, name in enumerate(classes):
    (folder / name).mkdir(parents=True)
    for i in range(num):
      Image.fromarray(draw(10 * number + i)).save(folder / name / f'{number}{i}.png')
  return dataclasses.replace(SPEC, dir=str(folder))


def build(spec: reading.Spec, tmp_path):
  return reading.build(spec, 0, tmp_path / 'cache', lambda done, total: None)


def whole(spec: reading.Spec, names: tuple[str, ...], tmp_path):
  return reading.whole(spec, 'new', names, tmp_path / 'cache', lambda done, total: None)


def test_a_network_of_one_class_is_never_trained_and_scored_all_the_same(tmp_path):
  spec = fill(tmp_path / 'd', ('A',))
  with pytest.raises(types.UserError, match='has one class to train on, A'):
    build(spec, tmp_path)
  assert len(whole(spec, ('A', 'B'), tmp_path).table) == 2


def test_the_reading_is_kept_with_the_data(tmp_path):
  data = build(fill(tmp_path / 'd'), tmp_path)
  assert data.remarks[0] == 'd: 4 images, 2 classes; no split folders'
  assert '  images: A 2, B 2' in data.remarks


@pytest.mark.parametrize('written', ['NEUTROPHIL', 'neutrophil', 'Neutrophil ', 'NEUTROPHIL_', 'Neutrophils'])
def test_a_class_that_reads_like_one_of_the_run_is_that_one_and_told(tmp_path, written):
  names = ('MONOCYTE', 'NEUTROPHIL')
  data = whole(fill(tmp_path / 'd', (written,)), names, tmp_path)
  assert data.table.class_names == names
  assert set(data.table.label.tolist()) == {1}
  assert ('is taken for NEUTROPHIL of the run' in '\n'.join(data.remarks)) == (written != 'NEUTROPHIL')
  assert '  no image of MONOCYTE: no recall can be given for them' in data.remarks
  with pytest.raises(types.UserError, match='the run knows no class BASOPHIL'):
    whole(fill(tmp_path / 'e', ('BASOPHIL',)), names, tmp_path)


def unknown(tmp_path, *classes) -> str:
  """What is said of a folder of these classes by a run of three others; what it advises is done, and it is gone."""
  names = ('EOSINOPHIL', 'LYMPHOCYTE', 'NEUTROPHIL')
  folder = tmp_path / '-'.join(classes)
  spec = fill(folder, (*classes, 'NEUTROPHIL'))
  with pytest.raises(types.UserError) as caught:
    whole(spec, names, tmp_path)
  assert len(whole(spec, (*names, *classes), tmp_path).table) == 2 * len(classes) + 2, 'a run that has it'
  for name in classes:
    shutil.rmtree(folder / name)
  assert len(whole(spec, names, tmp_path).table) == 2, 'left out'
  return str(caught.value)


def test_images_of_an_unknown_class_are_never_said_to_be_of_a_known_one(tmp_path):
  said = unknown(tmp_path, 'BASOPHIL')
  assert (
    'knows no class BASOPHIL, only EOSINOPHIL, LYMPHOCYTE, NEUTROPHIL; leave the images of that class out'
    in said
  )
  assert 'or train a run that has it too' in said
  assert not re.search('rename|did you mean|correct', said)
  several = unknown(tmp_path, 'BAND', 'BASOPHIL', 'LYMPHOBLAST')
  assert 'knows no class BAND, BASOPHIL, LYMPHOBLAST, only' in several
  assert 'did you mean' not in several
  # Negative control: a slip of the hand is one.
  for written, meant in (
    ('EOSINOFIL', 'EOSINOPHIL'),
    ('Lymphocites', 'LYMPHOCYTE'),
    ('NUETROPHIL', 'NEUTROPHIL'),
  ):
    said = unknown(tmp_path, written)
    assert f'{written} (did you mean {meant}?)' in said
    assert 'correct a misspelt folder or label, leave' in said


def test_conversions_are_counted_by_images_and_splits(tmp_path):
  spec = fill(tmp_path / 'd')
  for i in range(3):
    tifffile.imwrite(
      tmp_path / 'd' / 'A' / f'w{i}.tif', draw(50 + i).astype(np.uint16) * 16, photometric='rgb'
    )
  Image.fromarray(draw(60)[..., 0]).save(tmp_path / 'd' / 'B' / 'grey.png')
  data = build(spec, tmp_path)
  twelve = '12 bits a channel, in samples of 16, scaled to 8'
  assert data.conversions(None) == {'images': 4, twelve: 3, 'greyscale converted to RGB': 1}
  by_split = [data.conversions(split) for split in data.rows]
  assert sum(each.get('images', 0) for each in by_split) == 4
  assert data.conversions_of(data.table.file) == data.conversions(None)
  # Only images whose pixels differ from those of earlier versions have other keys of what was computed of them.
  digests, every = data.decoded_digests(np.arange(len(data.table))), data.table.digest.tolist()
  assert [a == b for a, b in zip(digests, every, strict=True)] == [
    not file.endswith('.tif') for file in data.table.file.tolist()
  ]
  line = conversions.line(data.conversions(None))
  assert line == f'4 images were converted: {twelve} (3), greyscale converted to RGB (1)'


def test_several_conversions_of_one_image_are_one_image():
  notes = [types.Problem('a', 'x'), types.Problem('a', 'y'), types.Problem('b', 'x')]
  assert conversions.count(notes) == {'images': 2, 'x': 2, 'y': 1}
  assert conversions.count([]) == {}
  assert conversions.line({}) == ''


def test_images_of_quite_another_size_are_told_and_near_ones_are_not(tmp_path):
  data = build(fill(tmp_path / 'd'), tmp_path)
  trained = sizes.summary(data.size_N2)
  assert trained == {'smallest': [64, 48], 'median': [64, 48], 'largest': [64, 48]}
  for size, is_told in (([640, 480], True), ([20, 15], True), ([80, 60], False), ([48, 64], False)):
    assert bool(sizes.warning([size, [64, 48]], trained)) == is_told
  assert '1 of 2 images is of a very different size' in sizes.warning([[64, 48], [640, 480]], trained)
  assert sizes.warning([[640, 480]], {}) == '', 'an earlier run does not record it'
