"""A built TFDS image data set as a Table; images stay encoded and are decoded later, like files.

Those of TFRecord files are read into memory, those of ArrayRecord files stay there and are read by their number.
"""

from __future__ import annotations

import array
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


class Records:
  """The images of a table in ArrayRecord files; `types.StoredImages`."""

  def __init__(self, sources: list[Any], place_N2: np.ndarray):
    """Notes where the images are.

    Args:
      sources: data sources of TFDS.
      place_N2: int32: which of them holds each image, and the image's number there.
    """
    self._sources, self._place_N2 = sources, place_N2

  def __len__(self) -> int:
    return len(self._place_N2)

  def __getitem__(self, row: int) -> Record:
    which, number = self._place_N2[row].tolist()
    return Record(self._sources[which], number)

  def __iter__(self) -> Iterator[Record]:
    return (self[row] for row in range(len(self)))

  def take(self, rows: np.ndarray) -> Records:
    """These images only, in this order."""
    return Records(self._sources, self._place_N2[rows])


class _Texts:
  """A column of texts as it grows, in one array: an object for each would take as much again."""

  def __init__(self, most: int):
    self._text_N, self._num = np.zeros(most, 'U1'), 0

  def append(self, text: str) -> None:
    if len(text) > self._text_N.itemsize // np.dtype('U1').itemsize:
      wider = np.zeros(len(self._text_N), f'U{len(text)}')
      # What lies beyond the last text is not written to, and needs no memory yet.
      wider[: self._num] = self._text_N[: self._num]
      self._text_N = wider
    self._text_N[self._num] = text
    self._num += 1

  def array(self) -> np.ndarray:
    """[N] str."""
    return self._text_N[: self._num]


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
  new_label = [class_names.index(name) for name in features['label'].names]

  is_stored = builder.info.file_format == tfds.core.FileFormat.ARRAY_RECORD
  sources: list[Any] = []
  encoded: list[bytes] = []
  problems: list[types.Problem] = []
  # Of a million rows: no object for each.
  place, label = array.array('i'), array.array('i')
  names = ('file', 'split', 'digest', *({'source', 'group'} & features.keys()))
  most = sum(split.num_examples for name, split in builder.info.splits.items() if name in SPLITS)
  columns = {column: _Texts(most) for column in names}
  for name, split_info in builder.info.splits.items():
    if name not in SPLITS:
      reason = f'{split_info.num_examples} images of an unknown split; known are {", ".join(SPLITS)}'
      problems.append(types.Problem(name, reason))
      continue
    if is_stored:
      sources.append(builder.as_data_source(name, decoders={'image': tfds.decode.SkipDecoding()}))
    for i, row in enumerate(_stored_rows(sources[-1]) if is_stored else _rows(builder, name)):
      digest = image_files.sha256_16(row['image'])
      file = _text(row, 'filename') or f'{name}/{i}'
      if row['label'] < 0:
        problems.append(types.Problem(file, 'has no label'))
        continue
      if is_stored:
        place.extend((len(sources) - 1, i))
      else:
        encoded.append(row['image'])
      label.append(new_label[row['label']])
      values = {'file': file, 'split': SPLITS[name], 'digest': digest}
      values |= {'source': _text(row, 'source'), 'group': _text(row, 'group') or digest}
      for column, texts in columns.items():
        texts.append(values[column])
  if not label:
    raise types.UserError(f'{folder}: {builder.name} holds no image in a split of {", ".join(SPLITS)}')
  content = Records(sources, np.array(place, np.int32).reshape(-1, 2)) if is_stored else tuple(encoded)
  whole = {column: texts.array() for column, texts in columns.items()}
  whole['file'] = _unambiguous(whole['file'], whole['split'])
  if 'source' in whole:
    whole['source'] = np.where(whole['source'] == '', whole['file'], whole['source'])
  whole = {'source': whole['file'], 'group': whole['digest'], **whole}
  name = f'TFDS {builder.name} {builder.version}'
  return types.Table(
    content, label=np.array(label, np.int32), **whole, class_names=class_names, name=name, synthetic=False
  ), problems


def _unambiguous(file_N: np.ndarray, split_N: np.ndarray) -> np.ndarray:
  """The names, or where one recurs, as `1.png` of every class may, all of them as SPLIT/ROW/NAME."""
  ordered_N = np.sort(file_N)
  if not (ordered_N[1:] == ordered_N[:-1]).any():
    return file_N
  return np.array(
    [f'{split}/{row}/{file}' for row, (split, file) in enumerate(zip(split_N, file_N, strict=True))]
  )


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


def _stored_rows(source: Any) -> Iterator[dict[str, Any]]:
  for start in range(0, len(source), _BLOCK):
    yield from source.__getitems__(list(range(start, min(start + _BLOCK, len(source)))))


def _rows(builder: Any, split: str) -> Iterator[dict[str, Any]]:
  tfds = _tfds()
  # Files in sequence, so that the rows keep the order of the data set.
  config = tfds.ReadConfig(interleave_cycle_length=1)
  decoders = {'image': tfds.decode.SkipDecoding()}
  return iter(tfds.as_numpy(builder.as_dataset(split, decoders=decoders, read_config=config)))


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
