"""Data sources: each is a record, and a new one is a function and a line."""

from __future__ import annotations

import csv
import dataclasses

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.data import reading
from bloodcell_jax.data.images import decode, image_files
from bloodcell_jax.data.sources import embedded, registry, source
from bloodcell_jax.export import card

DRAWN = embedded.Spec(num_train=4, num_test=1, num_copies=2, height=48, width=64, seed=0)
DECODED = {
  'image_size': 24, 'view': 'full', 'interpolation': 'bilinear', 'stretch_brightness': False,
  'max_pixels': 10**6, 'cache': 'memory',
}  # fmt: skip


def spec(name: str, **changes) -> reading.Spec:
  base = reading.Spec(name, '', '', '', 'fail', 0.5, 0.0, False, decode.Spec(**DECODED), DRAWN)
  return dataclasses.replace(base, **changes)


def read_csv(settings: source.Settings) -> source.Reading:
  """The rows of a CSV of paths and labels: what somebody's own source would be."""
  with open(settings.dir, encoding='utf-8', newline='') as file:
    rows = list(csv.DictReader(file))
  content = tuple(row['path'] for row in rows)
  digests = image_files.digests(content)
  names = tuple(sorted({row['label'] for row in rows}))
  table = types.Table(
    content,
    file=np.array([row['path'] for row in rows]),
    label=np.array([names.index(row['label']) for row in rows], np.int32),
    source=np.array([row['photograph'] for row in rows]),
    group=np.array([row['photograph'] for row in rows]),
    split=np.full(len(rows), 'TRAIN'),
    digest=np.array(digests),
    class_names=names,
    name='a CSV of paths',
    synthetic=False,
  )
  return source.Reading(table, [], ())


CSV = source.Source(
  title='a CSV of paths and labels',
  is_synthetic=False,
  needs_dir=True,
  reads_lists=False,
  splits='None of its own; all are held out by photograph.',
  licence='the images: CC0',
  read=read_csv,
  photographs=source.one_of_each_photograph(read_csv),
)


@pytest.fixture
def listed(monkeypatch, tmp_path) -> str:
  """The CSV of some drawn images, and its source registered."""
  path = tmp_path / 'paths.csv'
  rows = ['path,label,photograph']
  for image in embedded.draw_all(DRAWN):
    if image.split == 'TRAIN':
      file = tmp_path / image.file.rsplit('/')[-1]
      file.write_bytes(image.png)
      rows.append(f'{file},{image.class_name},{image.source}')
  path.write_text('\n'.join(rows))
  monkeypatch.setitem(registry.SOURCES, 'csv', CSV)
  return str(path)


def test_a_registered_source_is_read_divided_and_rebuilt_from_like_the_others(listed, tmp_path):
  own = spec('csv', dir=listed, test_fraction=0.25)
  data = reading.build(own, 0, tmp_path, lambda done, total: None)
  assert data.image_NHWC.shape == (32, 24, 24, 3)
  assert set(data.rows) == {'train', 'validation', 'test'}
  assert len(reading.photographs(own)) == 16 == len(set(data.table.source))
  assert card.licences('', 'cnn_a', 'csv')[-1] == 'the images: CC0'
  with pytest.raises(types.UserError, match=r"data\.source='csv' needs a folder"):
    reading.read_table(spec('csv'))


def test_a_source_that_is_not_registered_is_refused_with_the_names_of_the_others():
  names = r'embedded \(synthetic .*\), kaggle \(.*\), folders \(.*\), tfds \('
  with pytest.raises(types.UserError, match=rf"data\.source is 'csv'; choose one of {names}"):
    spec('csv')


def test_the_table_of_a_source_is_synthetic_where_its_record_says_so(listed):
  for name, settings in (('embedded', spec('embedded')), ('csv', spec('csv', dir=listed))):
    assert reading.read_table(settings)[0].synthetic == registry.SOURCES[name].is_synthetic


@pytest.mark.parametrize('name', registry.SOURCES)
def test_every_source_describes_itself(name):
  known = registry.SOURCES[name]
  assert known.title
  assert known.splits.endswith('.')
  assert known.licence
