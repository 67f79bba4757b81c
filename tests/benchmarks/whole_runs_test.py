"""The material of the benchmark of whole runs is what a run reads."""

import numpy as np
import pytest

from benchmarks import whole_runs
from bloodcell_jax.base import types
from bloodcell_jax.data.sources import folders
from bloodcell_jax.weights import pretrained


def test_the_images_are_a_data_set_of_four_classes_no_two_alike_and_written_once(tmp_path):
  whole_runs.write_images(tmp_path, 8)
  table = folders.table(str(tmp_path), '', '')[0]
  assert table.class_names == whole_runs.CLASSES
  assert np.bincount(table.label).tolist() == [2, 2, 2, 2]
  assert len(set(table.digest)) == 8
  before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*.jpeg')}
  whole_runs.write_images(tmp_path, 8)
  assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob('*.jpeg')} == before


def test_the_weights_are_those_of_every_convolution_of_vgg16_and_of_no_other_network(tmp_path):
  path = tmp_path / 'random.safetensors'
  whole_runs.write_weights(path)
  found = pretrained.read(path, 'vgg16').params
  assert len(found) == 2 * 13
  assert found['block5_conv3/kernel'].shape == (3, 3, 512, 512)
  with pytest.raises(types.UserError):
    pretrained.read(path, 'alexnet')
