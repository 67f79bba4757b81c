"""The builder under TFDS' own test, on images that are drawn here."""

import io
import pathlib
import shutil
import tempfile
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from bloodcell_jax.base import types
from bloodcell_jax.data.images import image_files
from bloodcell_jax.data.sources import kaggle, tfds_builder

# isort: split
import tensorflow_datasets as tfds

for _module in ('importlib_resources', 'dill'):
  pytest.importorskip(
    _module, reason=f'the builders, or the tests, of TFDS need {_module} without asking for it'
  )

NUM_COPIES = 2  # of each class and split


def draw(folder: pathlib.Path) -> dict[str, kaggle.Origin]:
  """Writes a tiny data set in Kaggle's layout; what a builder is to know of its files."""
  rng = np.random.default_rng(0)
  known = {}

  def write(path: pathlib.Path, origin: kaggle.Origin):
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).save(buffer, 'JPEG')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    known[image_files.sha256_16(buffer.getvalue())] = origin

  for s, split in enumerate(kaggle.SPLITS):
    for k, name in enumerate(kaggle.CLASS_NAMES):
      number = f'{10 * s + k:05d}'
      for i in range(NUM_COPIES):
        inner = f'dataset2-master/dataset2-master/images/{split}/{name}/_{i}_{k}.jpeg'
        write(folder / inner, kaggle.Origin(number, number, '', ''))
  for k, name in enumerate(kaggle.CLASS_NAMES):
    number = f'{10 + k:05d}'
    inner = f'dataset-master/dataset-master/JPEGImages/BloodImage_{number}.jpg'
    write(folder / inner, kaggle.Origin(number, number, name, 'test'))
  return known


def knowing(known: dict[str, kaggle.Origin]):
  """While entered, the builder knows the origins of the drawn files in place of those of the real ones."""
  return mock.patch.object(tfds_builder.BloodCells, '_known', return_value=known)


def prepare(folder: pathlib.Path, known: dict[str, kaggle.Origin], data_dir: pathlib.Path):
  """The builder, after it has built the data set of `folder`."""
  builder = tfds_builder.BloodCells(data_dir=str(data_dir))
  with knowing(known):
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=str(folder)))
  return builder


class BloodCellsTest(tfds.testing.DatasetBuilderTestCase):
  SPLITS = {'train': 8, 'test': 8, 'test_simple': 8, 'originals': 4}  # noqa: RUF012
  DATASET_CLASS = tfds_builder.BloodCells
  SKIP_CHECKSUMS = True  # nothing is downloaded

  @classmethod
  def setUpClass(cls):
    cls.EXAMPLE_DIR = tempfile.mkdtemp()
    cls.addClassCleanup(shutil.rmtree, cls.EXAMPLE_DIR)
    cls.enterClassContext(knowing(draw(pathlib.Path(cls.EXAMPLE_DIR))))
    super().setUpClass()


def test_the_images_are_kept_byte_for_byte(tmp_path):
  known = draw(tmp_path / 'kaggle')
  builder = prepare(tmp_path / 'kaggle', known, tmp_path / 'built')
  dataset = builder.as_dataset('test', decoders={'image': tfds.decode.SkipDecoding()})
  rows = list(tfds.as_numpy(dataset))
  assert len(rows) == 8
  for row in rows:
    origin = known[image_files.sha256_16(row['image'])]
    assert row['source'].decode() == origin.source
    assert row['group'].decode() == origin.group
    assert kaggle.CLASS_NAMES[row['label']] == row['filename'].decode().split('/')[1]


def test_a_folder_with_an_unknown_file_is_not_built(tmp_path):
  known = draw(tmp_path / 'kaggle')
  stranger = next((tmp_path / 'kaggle').rglob('TEST/MONOCYTE/*.jpeg'))
  stranger.write_bytes(stranger.read_bytes() + b'.')
  with pytest.raises(types.UserError, match='1 problems, the first: TEST/MONOCYTE/'):
    prepare(tmp_path / 'kaggle', known, tmp_path / 'built')
  assert not list((tmp_path / 'built').rglob('dataset_info.json'))


def test_the_builder_knows_the_real_files_unless_told_otherwise(tmp_path):
  assert len(tfds_builder.BloodCells(data_dir=str(tmp_path))._known()) > 12_000
