"""A built TFDS image data set as a Table; images stay encoded and are decoded later, like files.

Those of TFRecord files are read into memory, those of ArrayRecord files stay there and are read by their number.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data import tensorflow_cpu
from bloodcell_jax.data.images import image_files
from bloodcell_jax.data.sources import source

# Rows of an ArrayRecord file that are read at once.
_BLOCK = 256
# Splits by their TFDS names; others are skipped with a Problem.
SPLITS = {
  'train': 'TRAIN',
  'validation': 'VALIDATION',
  'val': 'VALIDATION',
  'test': 'TEST',
  'test_simple': 'TEST_SIMPLE',
  'originals': 'ORIGINALS',
}


class Record(NamedTuple):
  """An image in an ArrayRecord file."""

  rows: Any  # the data source of TFDS that holds it
  number: int

  def read(self) -> bytes:
    """The encoded image. Raises OSError where the file cannot be read."""
    try:
      return self.rows[self.number]['image']
    # The reader of ArrayRecord raises what its C++ says.
    except (RuntimeError, ValueError, IndexError) as error:
      raise OSError(f'{self.rows.dataset_info.full_name}: {error}') from None


def table(folder: str) -> tuple[types.Table, list[types.Problem]]:
  """The rows of the data set built in `folder`, and the rows and splits that are skipped.

  The data set needs the features `image` and `label`. `group`, `source` and `filename` are used if they exist; without
  `group` identical images are one group and every other image is a group of its own.

  Args:
    folder: of one version (`.../blood_cells/1.0.0`), or a folder above that contains only one version.

  Raises:
    UserError: the folder has no built data set, several, or one without images and labels.
  """
  tfds = _tfds()
  builder = tfds.builder_from_directory(_version(folder))
  # Some data sets have features that are not a dict.
  features = dict(getattr(builder.info.features, 'items', dict)())
  if not (
    isinstance(features.get('image'), tfds.features.Image)
    and isinstance(features.get('label'), tfds.features.ClassLabel)
  ):
    raise types.UserError(
      f'{folder}: {builder.name} has no features image and label; choose an image data set'
    )
  # Table has class names in alphabetical order; TFDS in any.
  class_names = tuple(sorted(features['label'].names))
  new_label = np.array([class_names.index(name) for name in features['label'].names], np.int32)

  problems: list[types.Problem] = []
  content: list[types.Content] = []
  columns: dict[str, list] = {c: [] for c in ('file', 'label', 'source', 'group', 'split', 'digest')}
  for name, split_info in builder.info.splits.items():
    if name not in SPLITS:
      reason = f'{split_info.num_examples} images of an unknown split; known are {", ".join(SPLITS)}'
      problems.append(types.Problem(name, reason))
      continue
    for i, (row, image) in enumerate(_rows(builder, name)):
      digest = image_files.sha256_16(row['image'])
      file = _text(row, 'filename') or f'{name}/{i}'
      if row['label'] < 0:
        problems.append(types.Problem(file, 'has no label'))
        continue
      content.append(image)
      columns['file'].append(file)
      columns['label'].append(new_label[row['label']])
      columns['source'].append(_text(row, 'source') or file)
      columns['group'].append(_text(row, 'group') or digest)
      columns['split'].append(SPLITS[name])
      columns['digest'].append(digest)
  if not content:
    raise types.UserError(f'{folder}: {builder.name} holds no image in a split of {", ".join(SPLITS)}')
  label = np.array(columns.pop('label'), np.int32)
  texts = {column: np.array(values, str) for column, values in columns.items()}
  name = f'TFDS {builder.name} {builder.version}'
  return types.Table(
    tuple(content), label=label, **texts, class_names=class_names, name=name, synthetic=False
  ), problems


def _tfds() -> Any:
  """TFDS, which takes seconds to load; TensorFlow first, so that it sees no accelerator."""
  tensorflow_cpu.load()
  import tensorflow_datasets

  return tensorflow_datasets


def _version(folder: str) -> str:
  """The only folder with a `dataset_info.json` at or below `folder`."""
  if not os.path.isdir(folder):
    raise types.UserError(f'{folder}: no such folder; set --config.data.dir to a data set built by TFDS')
  found = sorted(top for top, _, names in os.walk(folder) if 'dataset_info.json' in names)
  if not found:
    raise types.UserError(f'{folder}: holds no data set built by TFDS (no dataset_info.json)')
  if len(found) > 1:
    raise types.UserError(
      f'{folder}: holds {len(found)} data sets; set --config.data.dir to one, such as {found[0]}'
    )
  return found[0]


def _rows(builder: Any, split: str) -> Iterator[tuple[dict[str, Any], types.Content]]:
  """Each row with its image, or the place of it."""
  tfds = _tfds()
  decoders = {'image': tfds.decode.SkipDecoding()}
  if builder.info.file_format == tfds.core.FileFormat.ARRAY_RECORD:
    source = builder.as_data_source(split, decoders=decoders)
    for start in range(0, len(source), _BLOCK):
      numbers = range(start, min(start + _BLOCK, len(source)))
      for number, row in zip(numbers, source.__getitems__(list(numbers)), strict=True):
        yield row, Record(source, number)
    return
  # Files in sequence, so that the rows keep the order of the data set.
  config = tfds.ReadConfig(interleave_cycle_length=1)
  for row in tfds.as_numpy(builder.as_dataset(split, decoders=decoders, read_config=config)):
    yield row, row['image']


def _text(row: dict, key: str) -> str:
  value = row.get(key, b'')
  return value.decode() if isinstance(value, bytes) else str(value)


def _read(settings: source.Settings) -> source.Reading:
  return source.Reading(*table(settings.dir), ())


SOURCE = source.Source(
  title='a data set built by TensorFlow Datasets',
  is_synthetic=False,
  needs_dir=True,
  reads_lists=False,
  splits='Its own splits; those that it lacks are held out by groups of images.',
  licence='the images: as their owner says',
  read=_read,
  photographs=source.one_of_each_photograph(_read),
)
