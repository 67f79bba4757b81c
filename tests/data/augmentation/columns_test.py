"""Operands are written and read by name: a field that is added or moved shifts no other."""

from __future__ import annotations

import dataclasses
import itertools

import jax
import numpy as np
import pytest

from bloodcell_jax.config import experiment
from bloodcell_jax.data import stream
from bloodcell_jax.data.augmentation import augment, columns, photometric, transform
from bloodcell_jax.data.images import nuclei
from bloodcell_jax.data.resident import recipe
from configs import default

NUM = 6
GEOMETRY = {'rotation_range': 20.0, 'horizontal_flip': True, 'vertical_flip': True, 'channel_shift_range': 30.0,
            'brightness_range': (0.5, 1.5)}  # fmt: skip
LEVELS = {'quarter_turns': True, 'mirrors': True, 'hue_range': 0.1, 'saturation_range': (0.5, 1.5),
          'stain_range': 0.3, 'blur_range': 2.0, 'noise_range': 10.0, 'jpeg_quality_range': (20, 60),
          'erasing_probability': 0.7}  # fmt: skip
RECORDS = {'Drawn': photometric, 'Operands': augment}


@dataclasses.dataclass(frozen=True)
class Pair:
  """Two arrays, of one column and of three."""

  one_B: np.ndarray
  some_B3: np.ndarray


def with_a_new_field(record: type) -> type:
  """The record with its fields the other way round, after a new one of two columns."""
  new = ('new_B2', np.ndarray, dataclasses.field(default_factory=lambda: np.full((NUM, 2), 77.0)))
  fields = [(field.name, field.type) for field in dataclasses.fields(record)]
  return dataclasses.make_dataclass('Other', [new, *fields[::-1]], kw_only=True, frozen=True)


def spec(**values) -> transform.Spec:
  config = default.get_config()
  config.augment.update(values)
  return experiment.resolve(config).transform


def images() -> np.ndarray:
  return np.random.default_rng(0).integers(0, 256, (NUM, 9, 9, 3), np.uint8)


def changed(own: transform.Spec) -> tuple[np.ndarray, np.ndarray]:
  """The operands of the first images of the stream, and their pixels."""
  image_NHWC, numbers = images(), np.arange(NUM)
  operand_BD = transform.make_operands(own, 3, nuclei.Nuclei(image_NHWC), numbers)(numbers, numbers)
  return operand_BD, transform.make_changes(own, image_NHWC.shape[1:])(image_NHWC, operand_BD).numpy()


def recipes() -> list[recipe.Recipe]:
  source = stream.Arrays(images(), stream.one_hot(np.arange(NUM) % 2, 2), np.ones(NUM, np.float32))
  own = spec(**GEOMETRY, quarter_turns=True, mirrors=True, erasing_probability=0.7)
  return list(itertools.islice(recipe.training(source, NUM, 5, 0, own), 3))


def move(name: str, monkeypatch) -> None:
  module = RECORDS[name]
  other = with_a_new_field(getattr(module, name))
  monkeypatch.setattr(module, name, other)
  monkeypatch.setattr(module, 'NUM_OPERANDS', columns.count(other))
  end = transform.CROP.stop + augment.NUM_OPERANDS
  monkeypatch.setattr(transform, 'AUGMENT', slice(transform.CROP.stop, end))
  monkeypatch.setattr(transform, 'PHOTOMETRIC', slice(end, end + photometric.NUM_OPERANDS))
  monkeypatch.setattr(transform, 'NUM_OPERANDS', end + photometric.NUM_OPERANDS)


@pytest.mark.parametrize(('name', 'values'), [('Drawn', LEVELS), ('Operands', GEOMETRY)])
def test_an_added_and_a_moved_field_leave_every_pixel(name, values, monkeypatch):
  operand_BD, before = changed(spec(**values))
  move(name, monkeypatch)
  moved_BD, after = changed(spec(**values))
  np.testing.assert_array_equal(after, before)
  assert moved_BD.shape == (NUM, operand_BD.shape[1] + 2)
  assert not np.array_equal(moved_BD[:, : operand_BD.shape[1]], operand_BD, equal_nan=True), 'they must move'


@pytest.mark.parametrize('name', RECORDS)
def test_an_added_and_a_moved_field_leave_what_the_device_is_told(name, monkeypatch):
  before = recipes()
  move(name, monkeypatch)
  for one, other in zip(jax.tree.leaves(recipes()), jax.tree.leaves(before), strict=True):
    np.testing.assert_array_equal(one, other)


def test_operands_of_all_changes_lie_side_by_side():
  ends = [part.stop for part in (transform.CROP, transform.AUGMENT, transform.PHOTOMETRIC)]
  assert (columns.count(augment.Operands), columns.count(photometric.Drawn)) == (10, 15)
  assert [transform.CROP.start, transform.AUGMENT.start, transform.PHOTOMETRIC.start] == [0, *ends[:2]]
  assert ends == [4, 14, transform.NUM_OPERANDS] == [4, 14, 29]


def test_a_record_is_joined_and_split_without_loss():
  pair = Pair(np.arange(4) > 1, np.arange(12).reshape(4, 3))
  matrix_BD = columns.join(pair)
  assert (matrix_BD.dtype, matrix_BD.shape) == (np.float64, (4, columns.count(Pair)))
  again, row = columns.split(Pair, matrix_BD), columns.split(Pair, matrix_BD[2])
  np.testing.assert_array_equal(again.one_B, pair.one_B)
  np.testing.assert_array_equal(again.some_B3, pair.some_B3)
  assert (row.one_B, row.some_B3.tolist()) == (1, [6, 7, 8])


def test_an_array_of_another_width_than_its_name_says_is_caught():
  with pytest.raises(AssertionError, match=r'some_B3 has the shape \(4, 2\)'):
    columns.join(Pair(np.arange(4), np.zeros((4, 2))))
  with pytest.raises(AssertionError, match=r'one_B has the shape \(4, 1, 2\)'):
    columns.join(Pair(np.zeros((4, 2)), np.zeros((4, 3))))
