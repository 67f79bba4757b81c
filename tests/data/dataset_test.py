"""A data set from its source to the rows of its splits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.data import dataset, reading
from bloodcell_jax.data.images import decode
from bloodcell_jax.data.sources import embedded

DRAWN = embedded.Spec(num_train=6, num_test=2, num_copies=2, height=48, width=64, seed=0)


def spec(**changes) -> reading.Spec:
  fields = {
    'image_size': 24, 'view': 'full', 'interpolation': 'bilinear', 'stretch_brightness': False,
    'max_pixels': 10**6, 'cache': 'memory',
  }  # fmt: skip
  base = reading.Spec('embedded', '', '', '', 'fail', 0.5, 0.0, False, decode.Spec(**fields), DRAWN)
  return dataclasses.replace(base, **changes)


def build(tmp_path, **changes) -> dataset.Dataset:
  return reading.build(spec(**changes), 0, tmp_path / 'cache', lambda done, total: None)


def write(folder, num=4):
  """A folder of two classes."""
  for name in ('ROUND', 'LOBED'):
    for image in embedded.draw_all(dataclasses.replace(DRAWN, num_train=num, num_copies=1, num_test=0))[:num]:
      path = folder / name / image.file.rsplit('/')[-1]
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(image.png + name.encode())  # behind the end of a PNG anything may stand
  return folder


def test_the_embedded_data_has_its_splits_and_is_marked_synthetic(tmp_path):
  data = build(tmp_path)
  assert data.table.synthetic
  assert {name: len(rows) for name, rows in data.rows.items()} == {
    'train': 24, 'validation': 24, 'test': 16, 'test_originals': 8,
  }  # fmt: skip
  assert data.image_NHWC.shape == (72, 24, 24, 3)
  assert data.image_NHWC.dtype == np.uint8
  assert data.counts()['test']['MONOCYTE'] == (4, 2)


def test_train_and_validation_share_no_group(tmp_path):
  data = build(tmp_path)
  by_split = {name: set(data.table.group[rows]) for name, rows in data.rows.items()}
  assert not by_split['train'] & by_split['validation']
  assert not by_split['train'] & by_split['test']


def test_the_fingerprint_changes_with_a_label_a_group_an_image_or_a_split(tmp_path):
  data = build(tmp_path)
  table = data.table
  label, group, digest = table.label.copy(), table.group.copy(), table.digest.copy()
  label[0], group[0], digest[0] = 3, 'other', 'other'
  others = [
    dataclasses.replace(data, table=dataclasses.replace(table, label=label)),
    dataclasses.replace(data, table=dataclasses.replace(table, group=group)),
    dataclasses.replace(data, table=dataclasses.replace(table, digest=digest)),
    dataclasses.replace(data, rows={**data.rows, 'train': data.rows['train'][1:]}),
  ]
  assert build(tmp_path).fingerprint() == data.fingerprint()
  assert len({d.fingerprint() for d in (data, *others)}) == 5


@pytest.mark.parametrize(
  'content', [b'', b'not an image', b'\x89PNG\r\n\x1a\n cut'], ids=['empty', 'text', 'cut']
)
def test_an_unusable_file_stops_or_is_left_out_as_the_policy_says(content, tmp_path):
  folder = write(tmp_path / 'cells')
  (folder / 'ROUND' / 'bad.png').write_bytes(content)
  settings = {'source': 'folders', 'dir': str(folder)}
  with pytest.raises(types.UserError, match=r'ROUND/bad\.png: .*\n.*on_bad_image=skip'):
    build(tmp_path, **settings)
  data = build(tmp_path, **settings, on_bad_image='skip')
  assert [problem.file for problem in data.skipped] == ['ROUND/bad.png']
  assert len(data.table) == len(data.image_NHWC) == 8


def test_the_rows_without_decoding_are_those_of_the_images_that_were_decoded(tmp_path):
  folder = write(tmp_path / 'cells')
  (folder / 'ROUND' / 'a: b.png').write_bytes(b'cut')
  settings = spec(source='folders', dir=str(folder), on_bad_image='skip')
  data = reading.build(settings, 0, tmp_path / 'cache', lambda done, total: None)
  skipped = [problem.file for problem in data.skipped]
  assert skipped == ['ROUND/a: b.png']
  assert reading.undecoded(settings, 0, skipped).fingerprint() == data.fingerprint()
  assert reading.undecoded(settings, 0, ['ROUND/a']).fingerprint() != data.fingerprint(), (
    'a part of the name is another'
  )


def test_a_folder_is_scored_whole_by_the_classes_of_a_network(tmp_path):
  settings = spec(source='folders', dir=str(write(tmp_path / 'cells')))
  names = ('BAND', 'LOBED', 'ROUND')
  data = reading.whole(settings, 'cells', names, tmp_path / 'cache', lambda done, total: None)
  assert data.rows['cells'].tolist() == list(range(8))
  assert data.table.class_names == names
  assert {names[k] for k in data.table.label} == {'LOBED', 'ROUND'}
  with pytest.raises(types.UserError, match='knows no class ROUND'):
    reading.whole(settings, 'cells', ('BAND', 'LOBED'), tmp_path / 'cache', lambda done, total: None)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'source': 'folders'}, 'needs a folder'),
    ({'source': 'folders', 'dir': '/nowhere'}, '/nowhere: no such folder'),
    ({'source': 'kaggle', 'dir': '/nowhere'}, '/nowhere is not a folder'),
    ({'source': 'tfds', 'dir': ''}, 'needs a folder'),
  ],
)
def test_a_source_without_its_folder_says_what_to_do(changes, message, tmp_path):
  with pytest.raises(types.UserError, match=message):
    build(tmp_path, **changes)
