"""The features of a run that came without its images: written, read, and refused where they do not belong to it."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.storage import home_features, workdir

CLASSES = ('EOSINOPHIL', 'NEUTROPHIL')


def table(num: int) -> types.Table:
  names = np.array([f'cell {i}.png' for i in range(num)])
  label = np.arange(num, dtype=np.int32) % 2
  return types.Table(('',) * num, names, label, names, names, names, names, CLASSES, '', False)


def features(network: str = 'one') -> home_features.HomeFeatures:
  values_ND = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
  parts = [
    home_features.of_table(network, 'mirrors_logits', 'train', table(6), values_ND),
    home_features.of_table(network, 'mirrors_logits', 'test', table(2), values_ND[:2], 'other '),
  ]
  return home_features.joined(parts)


def test_what_was_written_is_read_and_the_same_features_give_the_same_bytes(tmp_path):
  folder, written = workdir.Workdir(tmp_path), features()
  assert not home_features.is_here(folder)
  home_features.write(folder, written)
  assert home_features.is_here(folder)
  read = home_features.read(folder, 'one')
  for field in dataclasses.fields(read):
    assert np.array_equal(getattr(read, field.name), getattr(written, field.name)), field.name
  assert (tmp_path / home_features.FILE).read_bytes() == home_features.packed(features())
  assert home_features.packed(features('two')) != home_features.packed(features())


def test_features_of_before_there_were_copies_are_those_of_the_image_as_it_is(tmp_path):
  folder, known = workdir.Workdir(tmp_path), features()
  with np.load(io.BytesIO(home_features.packed(known))) as archive:
    np.savez_compressed(tmp_path / home_features.FILE, **{k: archive[k] for k in archive.files if k != 'tta'})
  assert home_features.read(folder, 'one').tta == 'none'
  home_features.write(folder, known)
  assert home_features.read(folder, 'one').tta == 'mirrors_logits'


def test_each_split_and_more_classes(tmp_path):
  known = features()
  assert known.splits() == ['test', 'train']
  assert len(known.of_split('train')) == 6
  assert known.of_split('test').file_N.tolist() == ['other cell 0.png', 'other cell 1.png']
  grown = known.with_classes(('BASOPHIL', *CLASSES))
  assert grown.label_N.tolist() == [1, 2] * 4
  assert not len(known.of_split('validation'))


def test_those_of_another_network_and_damaged_ones_are_refused(tmp_path):
  folder = workdir.Workdir(tmp_path)
  home_features.write(folder, features())
  with pytest.raises(types.UserError, match='of another network'):
    home_features.read(folder, 'two')
  path = tmp_path / home_features.FILE
  data = path.read_bytes()
  path.write_bytes(data[: len(data) // 2])
  with pytest.raises(types.UserError, match=r'home\.npz: damaged'):
    home_features.read(folder, 'one')
