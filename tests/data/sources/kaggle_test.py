"""The Kaggle layout, and the photograph behind each file."""

import collections
import io
import shutil
import subprocess
import sys
import types as pytypes

import numpy as np
import pytest
from PIL import Image

from bloodcell_jax.base import types
from bloodcell_jax.data.images import image_files
from bloodcell_jax.data.sources import folders, kaggle

COPIES = 'dataset2-master/dataset2-master/images'
PHOTOGRAPHS = 'dataset-master/dataset-master/JPEGImages'


def _jpeg(shade):
  buffer = io.BytesIO()
  Image.new('RGB', (16, 12), (shade % 256, shade // 256, 0)).save(buffer, 'JPEG', quality=95)
  return buffer.getvalue()


@pytest.fixture
def archive(tmp_path):
  """Two copies a class and split, four test photographs, one of TRAIN; and what is known of them."""
  known, shade = {}, 0
  for split in kaggle.SPLITS:
    for k, name in enumerate(kaggle.CLASS_NAMES):
      folder = tmp_path / COPIES / split / name
      folder.mkdir(parents=True)
      for i in range(2):
        shade += 7
        data = _jpeg(shade)
        (folder / f'_{i}_{shade}.jpeg').write_bytes(data)
        known[image_files.sha256_16(data)] = kaggle.Origin(f'{k:05d}', f'{k:05d}', '', '')
  (tmp_path / PHOTOGRAPHS).mkdir(parents=True)
  for k, (label, split) in enumerate([*((c, 'test') for c in kaggle.CLASS_NAMES), ('MONOCYTE', 'train')]):
    data = _jpeg(30_000 + 900 * k)
    (tmp_path / PHOTOGRAPHS / f'BloodImage_{k:05d}.jpg').write_bytes(data)
    known[image_files.sha256_16(data)] = kaggle.Origin(f'{k:05d}', f'{k:05d}', label, split)
  assert len(known) == 29
  return tmp_path, known


def test_the_layout_is_read_with_every_split(archive):
  folder, known = archive
  table, problems = kaggle.read(str(folder), known)
  assert not problems
  assert collections.Counter(table.split.tolist()) == {
    'TRAIN': 8,
    'TEST': 8,
    'TEST_SIMPLE': 8,
    'ORIGINALS': 4,
  }
  names = np.array(table.class_names)[table.label]
  copies = table.split != 'ORIGINALS'
  assert all(file.split('/')[1] == name for file, name in zip(table.file[copies], names[copies], strict=True))
  # The photographs carry no class in their path: it comes from the package's table.
  assert names[~copies].tolist() == list(kaggle.CLASS_NAMES)
  assert (table.source == table.group).all()


@pytest.mark.parametrize('inner', ['dataset2-master', 'dataset2-master/dataset2-master', COPIES])
def test_an_inner_folder_gives_the_same_table(archive, inner):
  folder, known = archive
  whole, _ = kaggle.read(str(folder), known)
  table, problems = kaggle.read(str(folder / inner), known)
  assert not problems
  assert table.file.tolist() == whole.file.tolist()


def test_source_follows_the_bytes_and_not_the_name(archive):
  folder, known = archive
  train = folder / COPIES / 'TRAIN'
  a, b = (next((train / c).iterdir()) for c in ('MONOCYTE', 'NEUTROPHIL'))
  before, _ = kaggle.read(str(folder), known)
  data_a, data_b = a.read_bytes(), b.read_bytes()
  a.write_bytes(data_b)
  b.write_bytes(data_a)
  after, _ = kaggle.read(str(folder), known)
  assert before.file.tolist() == after.file.tolist()
  moved = {f for f, s, t in zip(before.file, before.source, after.source, strict=True) if s != t}
  assert moved == {f'TRAIN/MONOCYTE/{a.name}', f'TRAIN/NEUTROPHIL/{b.name}'}


def test_unknown_bytes_are_left_out_with_a_problem(archive):
  folder, known = archive
  (folder / COPIES / 'TEST' / 'MONOCYTE' / '_0_1.jpeg').write_bytes(b'something else')
  table, problems = kaggle.read(str(folder), known)
  assert [p.file for p in problems] == ['TEST/MONOCYTE/_0_1.jpeg']
  assert 'TEST/MONOCYTE/_0_1.jpeg' not in table.file


def test_missing_and_empty_class_folders_and_strangers_are_problems(archive):
  folder, known = archive
  for path in (folder / COPIES / 'TRAIN' / 'MONOCYTE').iterdir():
    path.unlink()
  (folder / COPIES / 'TEST' / 'MONOCYTE').rename(folder / COPIES / 'TEST' / 'MONO')
  _, problems = kaggle.read(str(folder), known)
  assert {p.file: p.reason for p in problems} == {
    'TRAIN/MONOCYTE': 'holds no image',
    'TEST/MONOCYTE': 'no such folder',
    'TEST/MONO': 'not a class of the data set',
  }


def test_without_photographs_the_rest_is_read_and_it_is_said(archive):
  folder, known = archive
  (folder / PHOTOGRAPHS).rename(folder / 'gone')
  table, problems = kaggle.read(str(folder), known)
  assert 'ORIGINALS' not in table.split
  assert [p.file for p in problems] == ['JPEGImages']


@pytest.mark.parametrize(
  ('make', 'says'),
  [
    ((), 'images/TRAIN'),
    (('TRAIN/MONOCYTE',), 'images/TEST'),
    (('TRAIN/MONOCYTE', 'TEST/MONOCYTE'), 'source=folders'),
  ],
)
def test_a_folder_without_the_layout_is_one_line_that_says_what_is_missing(tmp_path, make, says):
  for inner in make:
    (tmp_path / COPIES / inner).mkdir(parents=True)
  with pytest.raises(types.UserError, match=says) as caught:
    kaggle.table(str(tmp_path))
  assert str(tmp_path) in str(caught.value)
  assert '\n' not in str(caught.value)


def test_no_such_folder_says_how_to_get_the_images(tmp_path):
  with pytest.raises(types.UserError, match=r'unpack it and pass --config\.data\.dir=FOLDER'):
    kaggle.table(str(tmp_path / 'nowhere'))


def test_without_a_folder_and_kagglehub_one_line_says_how_to_get_the_images(monkeypatch):
  monkeypatch.setitem(sys.modules, 'kagglehub', None)  # makes the import fail
  with pytest.raises(types.UserError, match='pip install kagglehub') as caught:
    kaggle.table('')
  assert '\n' not in str(caught.value)


def _kagglehub(monkeypatch, download):
  monkeypatch.setitem(sys.modules, 'kagglehub', pytypes.SimpleNamespace(dataset_download=download))


def test_without_a_folder_kagglehub_fetches_the_data_set(monkeypatch, archive):
  folder, known = archive
  asked = []
  _kagglehub(monkeypatch, lambda handle: asked.append(handle) or folder)
  monkeypatch.setattr(kaggle, 'origins', lambda: known)
  table, _ = kaggle.table('')
  assert asked == ['paultimothymooney/blood-cells']
  assert len(table) == 28


def test_a_fetched_data_set_without_photographs_is_named_by_its_folder(monkeypatch, archive):
  folder, _ = archive
  shutil.rmtree(folder / 'dataset-master')
  monkeypatch.setattr(kaggle, 'fetch', lambda: str(folder))
  for given in ('', str(folder)):
    with pytest.raises(types.UserError) as caught:
      kaggle.photographs(given)
    assert str(caught.value).startswith(f'{folder}: holds none of the original training photographs')


def test_a_failed_download_is_one_line(monkeypatch):
  def fail(handle):
    raise ConnectionError('no network\nat all')

  _kagglehub(monkeypatch, fail)
  with pytest.raises(types.UserError, match=r'no network at all.*pass --config.data.dir') as caught:
    kaggle.table('')
  assert '\n' not in str(caught.value)


def test_reading_images_does_not_load_tensorflow():
  modules = (
    'images.decode, images.image_files, sources.folders, sources.kaggle, images.locate, division.splits'
  )
  imports = ''.join(f'import bloodcell_jax.data.{name}; ' for name in modules.split(', '))
  code = f'import sys; {imports}sys.exit("tensorflow" in sys.modules)'
  assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0
  code = 'import sys; sys.modules["tensorflow"] = sys; sys.exit("tensorflow" in sys.modules)'  # the control
  assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 1


def test_the_tables_of_the_package_agree_with_the_published_counts():
  origins = kaggle.origins()
  copies = [o for o in origins.values() if not o.split]
  photographs = [o for o in origins.values() if o.split and o.label in kaggle.CLASS_NAMES]
  # 12,515 files, of which two are byte-identical to others.
  assert len(copies) == 12_513
  assert collections.Counter(o.split for o in photographs) == {'train': 277, 'test': 71}
  assert {o.source for o in copies} == {o.source for o in photographs}
  group = {o.source: o.group for o in photographs}
  assert all(group[o.source] == o.group for o in copies)
  # The four TEST photographs of a cell that TRAIN shows too.
  split = {o.source: o.split for o in photographs}
  for test, train in (('00257', '00230'), ('00204', '00277'), ('00264', '00224'), ('00377', '00400')):
    assert (split[test], split[train]) == ('test', 'train')
    assert group[test] == group[train]


def test_the_real_folder_is_read_whole(real_images):
  table, problems = kaggle.table(str(real_images))
  assert not problems
  counts = collections.Counter(table.split.tolist())
  assert counts == {'TRAIN': 9957, 'TEST': 2487, 'TEST_SIMPLE': 71, 'ORIGINALS': 71}
  # All copies of a photograph have its label.
  label = {}
  assert all(label.setdefault(s, k) == k for s, k in zip(table.source, table.label, strict=True))
  # The number in the file's name is no photograph: grouped by it, labels mix.
  by_name = {}
  assert not all(
    by_name.setdefault(f.split('_')[-2], k) == k for f, k in zip(table.file[:9957], table.label, strict=False)
  )


def test_the_whole_data_set_unpacked_or_another_source_is_read_as_the_lines_say(archive, tmp_path):
  folder, known = archive
  packed = shutil.make_archive(str(tmp_path / 'packed'), 'zip', folder)
  shutil.rmtree(folder / COPIES / 'TEST')
  with pytest.raises(types.UserError, match='no images/TEST; unpack the whole Kaggle data set'):
    kaggle.read(str(folder), known)
  shutil.unpack_archive(packed, tmp_path / 'whole')
  assert len(kaggle.read(str(tmp_path / 'whole'), known)[0]) == 28
  with pytest.raises(types.UserError, match=r'for images of your own use --config\.data\.source=folders'):
    kaggle.read(str(tmp_path / 'whole'), {})
  assert len(folders.read(str(tmp_path / 'whole' / COPIES / 'TRAIN'), '', '').table) == 8
