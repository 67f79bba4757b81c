"""The table of a network's layers."""

from __future__ import annotations

import functools

import jax
import pytest

from bloodcell_jax.base import tree
from bloodcell_jax.models import summary, zoo

# Of the study: 150-pixel images, `valid` convolutions of 3x3, poolings of 2x2.
CNN_A = """\
Layer (type)                      Output shape                 Param #
conv2d_1 (Conv2D)                 (None, 148, 148, 32)             896
max_pooling2d_1 (MaxPooling2D)    (None, 74, 74, 32)                 0
conv2d_2 (Conv2D)                 (None, 72, 72, 32)             9,248
max_pooling2d_2 (MaxPooling2D)    (None, 36, 36, 32)                 0
conv2d_3 (Conv2D)                 (None, 34, 34, 64)            18,496
max_pooling2d_3 (MaxPooling2D)    (None, 17, 17, 64)                 0
conv2d_4 (Conv2D)                 (None, 15, 15, 128)           73,856
max_pooling2d_4 (MaxPooling2D)    (None, 7, 7, 128)                  0
flatten_1 (Flatten)               (None, 6272)                       0
dense_1 (Dense)                   (None, 64)                   401,472
dropout_1 (Dropout)               (None, 64)                         0
dense_2 (Dense)                   (None, 4)                        260
Total                                                          504,228"""


@functools.cache
def built(name: str, size: int):
  """A network and the shapes of its parameters: the table needs no more, and nothing is compiled."""
  model = zoo.build(zoo.Spec(name, 0.2, 'flatten', 8, 3, 1, False), 4)
  return model, jax.eval_shape(lambda: zoo.init(model, size, 0))


def test_the_table_of_cnn_a_is_the_study_s():
  model, params = built('cnn_a', 150)
  shown = summary.table(model, params, 150)
  assert [line.split() for line in shown.splitlines()] == [line.split() for line in CNN_A.splitlines()]
  assert len({len(line) for line in shown.splitlines()}) == 1, 'the columns are aligned'


@pytest.mark.parametrize(('name', 'size'), [('cnn_a', 46), ('cnn_b', 94), ('cnn_b', 150)])
def test_the_layers_account_for_every_parameter(name, size):
  model, params = built(name, size)
  rows = summary.layers(model, params, size)
  assert sum(count for *_, count in rows) == tree.count(params)
  assert {layer for layer, *_, count in rows if count} == set(params)
  # A weight that no layer owns would be missing from the rows.
  extra = {**params, 'stray': params['conv2d_1']}
  assert sum(count for *_, count in summary.layers(model, extra, size)) != tree.count(extra)


def test_shapes_follow_from_the_size_of_the_image():
  model, params = built('cnn_b', 94)
  sides = [shape[0] for _, kind, shape, _ in summary.layers(model, params, 94) if len(shape) == 3]
  expected, side = [], 94
  for _ in range(5):
    expected += [side - 2, (side - 2) // 2]
    side = expected[-1]
  assert sides == expected
  assert sides[-1] == 1
