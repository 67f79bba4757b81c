"""`home.npz` of a run that came without its images: what its network makes of some of them, for an adaptation."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic

FILE = 'home.npz'
_DAMAGE = (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, OSError)
_COLUMNS = ('split_N', 'label_N', 'group_N', 'file_N')


@dataclasses.dataclass(frozen=True)
class HomeFeatures:
  """Images of a run as its output layer gets them."""

  network: str  # the fingerprint of the network
  tta: str  # the test-time augmentation whose copies the embeddings are the mean over
  class_names: tuple[str, ...]
  embedding_ND: np.ndarray  # float32, of float16 precision: halves are kept
  split_N: np.ndarray  # str: train, validation, test
  label_N: np.ndarray  # int, of class_names
  group_N: np.ndarray  # str
  file_N: np.ndarray  # str

  def __len__(self) -> int:
    return len(self.label_N)

  def splits(self) -> list[str]:
    """Those that there are images of."""
    return np.unique(self.split_N).tolist()

  def of_split(self, split: str) -> HomeFeatures:
    """The images of one split."""
    return self._take(self.split_N == split)

  def with_classes(self, class_names: Sequence[str]) -> HomeFeatures:
    """The same images with labels in other classes, among which all of theirs are."""
    place_K = np.array([class_names.index(name) for name in self.class_names])
    return dataclasses.replace(self, class_names=tuple(class_names), label_N=place_K[self.label_N])

  def _take(self, chosen_N: np.ndarray) -> HomeFeatures:
    columns = {name: getattr(self, name)[chosen_N] for name in (*_COLUMNS, 'embedding_ND')}
    return dataclasses.replace(self, **columns)


def of_table(
  network: str, tta: str, split: str, table: types.Table, embedding_ND: np.ndarray, prefix: str = ''
) -> HomeFeatures:
  """The features of the images of a table, all of one split; `prefix` goes before their groups and names."""
  group_N, file_N = (
    np.array([prefix + name for name in column.tolist()], np.str_) for column in (table.group, table.file)
  )
  split_N = np.full(len(table), split)
  return HomeFeatures(
    network, tta, table.class_names, _halved(embedding_ND), split_N, table.label, group_N, file_N
  )


def joined(parts: Sequence[HomeFeatures]) -> HomeFeatures:
  """All of them, with the network and the classes of the last."""
  columns: dict[str, Any] = {
    name: np.concatenate([getattr(one, name) for one in parts]) for name in (*_COLUMNS, 'embedding_ND')
  }
  return dataclasses.replace(parts[-1], **columns)


def is_here(folder: workdir.Workdir) -> bool:
  """Whether the run's folder has the file."""
  return (folder.path / FILE).is_file()


def write(folder: workdir.Workdir, features: HomeFeatures) -> None:
  """Writes the file."""
  atomic.write_bytes(folder.path / FILE, packed(features))


def packed(features: HomeFeatures) -> bytes:
  """The contents of the file; the same features give the same bytes."""
  buffer = io.BytesIO()
  np.savez_compressed(
    buffer,
    network=np.array(features.network),
    tta=np.array(features.tta),
    class_names=np.array(features.class_names),
    embedding_ND=features.embedding_ND.astype(np.float16),
    **{name: getattr(features, name) for name in _COLUMNS},
  )
  return buffer.getvalue()


def read(folder: workdir.Workdir, network: str) -> HomeFeatures:
  """The features of a run. Runs no code from the file.

  Args:
    folder: of the run.
    network: the fingerprint of its network.

  Raises:
    UserError: the file is damaged, or of another network.
  """
  path = folder.path / FILE
  try:
    with np.load(io.BytesIO(atomic.read_bytes(path)), allow_pickle=False) as archive:
      features = HomeFeatures(
        str(archive['network']),
        # Written before there were copies.
        str(archive['tta']) if 'tta' in archive.files else 'none',
        tuple(archive['class_names'].tolist()),
        archive['embedding_ND'].astype(np.float32),
        **{name: archive[name] for name in _COLUMNS},
      )
    if any(len(getattr(features, name)) != len(features.embedding_ND) for name in _COLUMNS):
      raise ValueError('columns of unequal length')
  except _DAMAGE as error:
    raise types.UserError(f'{path}: damaged ({atomic.damage(error)}); {atomic.restoring(path)}') from None
  if features.network != network:
    raise types.UserError(
      f'{path}: is of another network than the one in this folder; {atomic.restoring(path)}'
    )
  return features


def _halved(embedding_ND: np.ndarray) -> np.ndarray:
  return embedding_ND.astype(np.float16).astype(np.float32)
