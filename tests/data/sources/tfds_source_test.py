"""A built TFDS data set as a Table."""

import collections
import shutil
import tracemalloc
import types as python_types

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.data import dataset
from bloodcell_jax.data.division import splits
from bloodcell_jax.data.images import decode, image_files
from bloodcell_jax.data.sources import kaggle, remarks, tfds_source

# isort: split
import sharded_images
import tensorflow_datasets as tfds
import tfds_builder_test  # the drawn data set; pytest puts this folder on the path

IMAGE = np.random.default_rng(0).integers(0, 256, (5, 12, 16, 3), np.uint8)


@pytest.fixture(scope='module')
def built(tmp_path_factory):
  """The drawn Kaggle folder, what is known of it, and the folder where TFDS built it."""
  folder = tmp_path_factory.mktemp('data')
  known = tfds_builder_test.draw(folder / 'kaggle')
  tfds_builder_test.prepare(folder / 'kaggle', known, folder / 'built')
  return folder / 'kaggle', known, folder / 'built'


def _write(folder, split_datasets, features):
  """A small data set as another TFDS user would have built it."""
  tfds.dataset_builders.store_as_tfds_dataset(
    name='other', version='1.0.0', features=features, split_datasets=split_datasets, data_dir=str(folder)
  )
  return str(folder)


def _dataset(**columns):
  import tensorflow as tf

  return tf.data.Dataset.from_tensor_slices(columns)


def test_the_table_is_that_of_the_folder_it_was_built_from(built):
  folder, known, data_dir = built
  table, problems = tfds_source.table(str(data_dir))
  expected, _ = kaggle.read(str(folder), known)
  assert not problems
  order, expected_order = np.argsort(table.file), np.argsort(expected.file)
  for column in ('file', 'label', 'source', 'group', 'split', 'digest'):
    got, want = getattr(table, column)[order], getattr(expected, column)[expected_order]
    np.testing.assert_array_equal(got, want)
  assert table.class_names == expected.class_names
  assert table.name == 'TFDS blood_cells 1.0.0'


def test_the_images_are_encoded_and_decode_to_the_same_pixels(built):
  folder, known, data_dir = built
  table, _ = tfds_source.table(str(data_dir))
  expected, _ = kaggle.read(str(folder), known)
  path = dict(zip(expected.file.tolist(), expected.content, strict=True))
  spec = decode.Spec(16, 'full', 'bilinear', True, 10_000, 'memory')
  assert all(isinstance(c, bytes) for c in table.content)
  for i in (0, len(table) - 1):
    one, other = decode.image(table.content[i], spec)[0], decode.image(path[table.file[i]], spec)[0]
    np.testing.assert_array_equal(one, other)


def test_the_rows_come_in_the_same_order_every_time(built):
  first, again = (tfds_source.table(str(built[2]))[0] for _ in range(2))
  assert first.file.tolist() == again.file.tolist()


def test_a_data_set_without_groups_gets_them_by_content_and_class_names_in_order(tmp_path):
  features = tfds.features.FeaturesDict(
    {'image': tfds.features.Image(shape=(12, 16, 3)), 'label': tfds.features.ClassLabel(names=['B', 'A'])}
  )
  twins = IMAGE.copy()
  twins[1] = twins[0]
  splits = {
    'train': _dataset(image=twins, label=[0, 0, 1, 1, -1]),
    'validation': _dataset(image=IMAGE[2:3], label=[1]),
    'extra': _dataset(image=IMAGE[:2], label=[0, 1]),
  }
  table, problems = tfds_source.table(_write(tmp_path, splits, features))
  assert table.class_names == ('A', 'B')
  assert collections.Counter(table.split.tolist()) == {'TRAIN': 4, 'VALIDATION': 1}
  group = table.group.tolist()
  of_train = [g for g, s in zip(group, table.split, strict=True) if s == 'TRAIN']
  assert len(set(of_train)) == 3
  labels = collections.Counter(table.label[table.split == 'TRAIN'].tolist())
  assert labels == {0: 2, 1: 2}
  twin = next(g for g in of_train if of_train.count(g) == 2)
  assert set(table.label[table.group == twin]) == {1}  # TFDS' 0 is B, which comes second here
  reasons = sorted(p.reason for p in problems)
  assert reasons[0].startswith('2 images of an unknown split; known are train')
  assert reasons[1] == 'has no label'


def test_images_of_one_name_are_told_apart_by_split_and_row_and_are_no_copies_of_one_photograph(tmp_path):
  features = tfds.features.FeaturesDict({
    'image': tfds.features.Image(shape=(12, 16, 3)), 'label': tfds.features.ClassLabel(names=['A', 'B']),
    'filename': tfds.features.Text(),
  })  # fmt: skip
  splits = {
    'train': _dataset(image=IMAGE[:2], label=[0, 1], filename=['1.png', '2.png']),
    'validation': _dataset(image=IMAGE[2:3], label=[1], filename=['3.png']),
  }
  apart, _ = tfds_source.table(_write(tmp_path / 'apart', splits, features))
  assert sorted(apart.file) == ['1.png', '2.png', '3.png'], 'names that do not recur stay'
  splits['validation'] = _dataset(image=IMAGE[2:3], label=[1], filename=['1.png'])
  table, _ = tfds_source.table(_write(tmp_path / 'again', splits, features))
  assert {name.rpartition('/')[2] for name in table.file} == {'1.png', '2.png'}
  assert all(name.startswith(f'{split}/') for name, split in zip(table.file, table.split, strict=True))
  assert len(set(table.source)) == 3


def test_a_data_set_without_labels_is_one_line(tmp_path):
  features = tfds.features.FeaturesDict({'image': tfds.features.Image(shape=(12, 16, 3))})
  folder = _write(tmp_path, {'train': _dataset(image=IMAGE)}, features)
  with pytest.raises(types.UserError, match='no features image and label'):
    tfds_source.table(folder)


def test_a_folder_without_a_data_set_or_with_two_is_one_line(tmp_path):
  with pytest.raises(types.UserError, match='no such folder'):
    tfds_source.table(str(tmp_path / 'nowhere'))
  with pytest.raises(types.UserError, match=r'no dataset_info\.json'):
    tfds_source.table(str(tmp_path))
  for name in ('a', 'b'):
    (tmp_path / name).mkdir()
    (tmp_path / name / 'dataset_info.json').write_text('{}')
  with pytest.raises(types.UserError, match='holds 2 data sets'):
    tfds_source.table(str(tmp_path))


def test_of_two_data_sets_the_one_that_the_line_names_is_read(tmp_path):
  features = tfds.features.FeaturesDict(
    {'image': tfds.features.Image(shape=(12, 16, 3)), 'label': tfds.features.ClassLabel(names=['A', 'B'])}
  )
  label = np.array([0, 1, 0, 1, 0])
  for place in ('one', 'two'):
    _write(tmp_path / place, {'train': _dataset(image=IMAGE, label=label)}, features)
  with pytest.raises(types.UserError, match=r'set --config\.data\.dir to one, such as (.*)$') as caught:
    tfds_source.table(str(tmp_path))
  named = str(caught.value).rpartition('such as ')[2]
  assert len(tfds_source.table(named)[0]) == len(IMAGE)


@pytest.fixture(scope='module')
def sharded(tmp_path_factory):
  """The folder of a data set in ArrayRecord files, two rows in each, with its encoded images."""
  folder = tmp_path_factory.mktemp('sharded')
  features = tfds.features.FeaturesDict(
    {
      'image': tfds.features.Image(shape=(12, 16, 3), encoding_format='png'),
      'label': tfds.features.ClassLabel(num_classes=2),
    }
  )
  return sharded_images.write(folder, IMAGE, features), [sharded_images.png(image) for image in IMAGE]


def test_images_in_array_records_are_read_when_they_are_asked_for(sharded):
  folder, encoded = sharded
  table, problems = tfds_source.table(folder)
  assert not problems
  assert not any(isinstance(content, bytes) for content in table.content), 'the images stay where they are'
  assert [image_files.contents(content) for content in table.content] == encoded
  assert table.digest.tolist() == [image_files.sha256_16(data) for data in encoded]
  some = table.take([3, 0])
  assert [image_files.contents(content) for content in some.content] == [encoded[3], encoded[0]]
  assert len(some.content) == 2
  assert some.source is some.file
  assert some.group is some.digest


def test_shards_may_lie_on_other_disks_and_one_that_is_gone_cannot_be_read(sharded, tmp_path):
  copy = shutil.copytree(sharded[0], tmp_path / 'copy')
  (tmp_path / 'other').mkdir()
  for shard in copy.glob('*array_record-00000*'):
    shard.rename(tmp_path / 'other' / shard.name)
    shard.symlink_to(tmp_path / 'other' / shard.name)
  table, _ = tfds_source.table(str(copy))
  content = table.content[0]
  assert content.read() == sharded[1][0]
  lost = tfds_source.Record(content.rows, 10**6)
  with pytest.raises(decode.DecodeError, match='cannot be read'):
    decode.image(lost, decode.Spec(16, 'full', 'bilinear', True, 10_000, 'memory'))


class _Rows:
  """A data source of TFDS with no file behind it."""

  def __init__(self, num, first):
    self._num, self._first = num, first

  def __len__(self):
    return self._num

  def __getitems__(self, numbers):
    return [{'image': b'%09d' % (self._first + number), 'label': number % 2} for number in numbers]


def _peak(num, monkeypatch, use):
  """The most bytes that the table of `num` stored images takes with what is done to it until the first batch."""
  rows_of = {'train': _Rows(num, 0), 'validation': _Rows(num // 10, num), 'test': _Rows(num // 10, 2 * num)}
  infos = {split: python_types.SimpleNamespace(num_examples=len(rows)) for split, rows in rows_of.items()}
  features = {'image': tfds.features.Image(), 'label': tfds.features.ClassLabel(names=['B', 'A'])}
  info = python_types.SimpleNamespace(
    features=features, splits=infos, file_format=tfds.core.FileFormat.ARRAY_RECORD
  )
  builder = python_types.SimpleNamespace(
    info=info, name='noise', version='1.0.0', as_data_source=lambda split, decoders: rows_of[split]
  )
  monkeypatch.setattr(tfds_source, '_version', lambda folder: folder)
  monkeypatch.setattr(tfds, 'builder_from_directory', lambda folder: builder)
  tracemalloc.start()
  try:
    table = use(tfds_source.table('noise')[0])
    assert not remarks.untaught(table)
    table = table.take(np.arange(len(table)))
    none = np.broadcast_to(np.zeros(1, np.uint8), (len(table), 1, 1, 3))
    data = dataset.Dataset(table, none, splits.rows(table, 0.2, 0.0, 0), [], [], ())
    assert data.counts()['train'] == {'A': (num // 2, num // 2), 'B': (num // 2, num // 2)}
    assert not any(data.leaking().counts().values())
    assert data.fingerprint()
    return tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()


def test_an_image_that_stays_in_its_file_takes_at_most_300_bytes(monkeypatch):
  def with_objects(table):
    """The same with an object for each image and a copy of each column."""
    columns = {c: getattr(table, c).copy() for c in ('file', 'source', 'group', 'digest')}
    return types.Table(
      tuple(table.content), label=table.label, split=table.split, **columns,
      class_names=table.class_names, name=table.name, synthetic=False,
    )  # fmt: skip

  def bytes_an_image(use):
    _peak(200, monkeypatch, use)  # what is loaded at the first use
    small, large = (_peak(num, monkeypatch, use) for num in (1_000, 6_000))
    return (large - small) / (1.2 * 5_000)

  assert bytes_an_image(lambda table: table) < 300
  assert bytes_an_image(with_objects) > 400
