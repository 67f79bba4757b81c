"""Batches as a pure function of seed and step, in NumPy and through tf.data."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import jax
import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import stream
from bloodcell_jax.data.augmentation import standardize
from bloodcell_jax.data.images import nuclei
from configs import default

ROWS = np.arange(3, 17)
TRANSFORM = experiment.resolve(default.get_config()).transform
rescale = functools.partial(standardize.apply, TRANSFORM.standardize, None)


def arrays() -> stream.Arrays:
  image_NHWC = np.random.default_rng(0).integers(0, 256, (20, 4, 5, 3), np.uint8)
  return stream.Arrays(
    image_NHWC, stream.one_hot(np.arange(20) % 4, 4), np.linspace(0.5, 1.5, 20, dtype=np.float32)
  )


def take(batches, count: int) -> list[types.Batch]:
  return list(itertools.islice(batches, count))


def same(a: list[types.Batch], b: list[types.Batch]) -> bool:
  leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
  return all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in leaves)


def through_numpy(source, rows, batch_size, seed, start):
  return stream.training(source, rows, batch_size, seed, start, rescale)


def through_tf_data(source, rows, batch_size, seed, start):
  from bloodcell_jax.data import pipeline

  found = nuclei.Nuclei(source.image_NHWC)
  return pipeline.training(source, rows, batch_size, seed, start, TRANSFORM, None, found)


@pytest.fixture(params=['numpy', 'tf_data'])
def training(request):
  if request.param == 'numpy':
    return through_numpy
  return through_tf_data


def test_starting_at_step_k_gives_the_batches_of_arriving_there(training):
  whole = take(training(arrays(), ROWS, 4, 0, 0), 9)
  for k in (1, 3, 4, 8):
    assert same(take(training(arrays(), ROWS, 4, 0, k), 9 - k), whole[k:])
  assert not same(take(training(arrays(), ROWS, 4, 0, 2), 7), whole[1:8]), 'another start must be seen'
  assert not same(take(training(arrays(), ROWS, 4, 1, 0), 9), whole), 'another seed must be seen'


def test_tf_data_gives_the_batches_of_numpy_bit_for_bit():
  assert same(
    take(through_numpy(arrays(), ROWS, 5, 3, 2), 8), take(through_tf_data(arrays(), ROWS, 5, 3, 2), 8)
  )


def test_every_row_comes_once_an_epoch_of_the_data():
  rows_at = stream.alike(np.arange(14), 0)
  seen = np.concatenate([rows_at(step, 4) for step in range(7)])
  assert sorted(seen[:14]) == sorted(seen[14:]) == list(range(14))
  assert seen[:14].tolist() != seen[14:].tolist()


def test_images_are_scaled_to_one_and_labels_one_hot_with_their_weights():
  source = arrays()
  batch = take(through_numpy(source, ROWS, 4, 0, 0), 1)[0]
  rows_B = stream.alike(ROWS, 0)(0, 4)
  np.testing.assert_array_equal(
    batch.image_BHWC, source.image_NHWC[rows_B].astype(np.float32) * np.float32(1 / 255)
  )
  np.testing.assert_array_equal(batch.target_BK, source.target_NK[rows_B])
  np.testing.assert_array_equal(batch.weight_B, source.weight_N[rows_B])


@pytest.mark.parametrize('size', [1, 4, 14, 50])
def test_in_order_gives_each_row_once_whatever_the_batch_size(size):
  batches = list(stream.in_order(arrays(), ROWS, size, rescale))
  assert {len(b.weight_B) for b in batches} == {size}
  kept = np.concatenate([b.image_BHWC[b.weight_B > 0] for b in batches])
  np.testing.assert_array_equal(kept, rescale(arrays().image_NHWC[ROWS]))


def test_balanced_weights_give_every_class_the_same_sum():
  label_N = np.array([0] * 8 + [1] * 2, np.int32)
  weight_K = stream.class_weights(label_N, 2, 'balanced')
  assert (np.bincount(label_N) * weight_K).tolist() == [5.0, 5.0]
  assert stream.class_weights(label_N, 2, 'none').tolist() == [1.0, 1.0]
  with pytest.raises(types.UserError, match=r'train\.class_weight'):
    stream.class_weights(label_N, 2, 'heavy')


def test_the_pipeline_can_be_left_at_any_time():

  batches = through_tf_data(arrays(), ROWS, 4, 0, 0)
  next(batches)
  batches.close()
  with pytest.raises(StopIteration):
    next(batches)


def test_laboratories_have_equal_shares_and_classes_within_them_too():
  laboratory_N = np.repeat([0, 1], [300, 20])
  label_N = np.concatenate([np.repeat([0, 1, 2], [200, 90, 10]), np.repeat([0, 1], [16, 4])])
  balanced = stream.by_laboratory(np.arange(320), laboratory_N, label_N, 0)
  drawn = np.concatenate([balanced(step, 12) for step in range(40)])
  shares = {
    (a, k): ((laboratory_N[drawn] == a) & (label_N[drawn] == k)).mean() for a in (0, 1) for k in (0, 1, 2)
  }
  assert [shares[0, k] for k in (0, 1, 2)] == pytest.approx([1 / 6] * 3, abs=0.003)
  assert [shares[1, k] for k in (0, 1, 2)] == pytest.approx([1 / 4, 1 / 4, 0])
  # Drawn alike, the small laboratory has its 20 of 320 images.
  rows_at = stream.alike(np.arange(320), 0)
  alike = np.concatenate([rows_at(step, 12) for step in range(40)])
  assert (laboratory_N[alike] == 1).mean() == pytest.approx(20 / 320, abs=0.03)


def test_a_balanced_batch_depends_on_seed_and_step_alone_and_no_image_waits_long():
  laboratory_N, label_N = np.repeat([0, 1], 10), np.tile([0, 1], 10)

  def balanced(seed: int) -> stream.RowsAt:
    return stream.by_laboratory(np.arange(20), laboratory_N, label_N, seed)

  rows_at = balanced(3)
  one = [rows_at(step, 7) for step in range(9)]
  assert (one[8] == balanced(3)(8, 7)).all()
  assert (one[2] == rows_at(2, 7)).all(), 'a step that lies back is the same too'
  assert (one[8] != balanced(4)(8, 7)).any()
  assert set(np.concatenate(one)[:20].tolist()) == set(range(20))


def test_a_stream_by_laboratories_resumes_at_any_step():
  source = dataclasses.replace(arrays(), laboratory_N=np.arange(len(arrays().weight_N), dtype=np.int32) % 2)
  whole = stream.training(source, ROWS, 4, 0, 0, rescale)
  later = stream.training(source, ROWS, 4, 0, 3, rescale)
  for _ in range(3):
    next(whole)
  assert (next(whole).image_BHWC == next(later).image_BHWC).all()


class Watched:
  """An array that counts how often it is read."""

  def __init__(self, values: np.ndarray):
    self.values, self.reads = values, 0

  def __getitem__(self, key):
    self.reads += 1
    return self.values[key]


@pytest.mark.parametrize('by_laboratory', [False, True])
def test_an_order_is_computed_once_however_many_members_train_side_by_side(by_laboratory, monkeypatch):
  num_members, num_steps, drawn, cells = 9, 14, [], []
  generator, find = stream.rng.generator, stream._cells
  monkeypatch.setattr(stream.rng, 'generator', lambda *key: drawn.append(key) or generator(*key))
  monkeypatch.setattr(stream, '_cells', lambda *key: cells.append(key) or find(*key))
  laboratory_N = Watched(np.arange(20) % 2)
  source = dataclasses.replace(arrays(), laboratory_N=laboratory_N if by_laboratory else None)
  members = [stream.order(source, ROWS, 2, seed, 0) for seed in range(num_members)]
  for _ in range(num_steps):
    for member in members:
      next(member)
  # Of the 14 rows two rounds; of the four cells seven rows each, which are two rounds of 4 rows or three of 3.
  assert len(drawn) == len(set(drawn))
  assert len(drawn) == num_members * (10 if by_laboratory else 2)
  assert (laboratory_N.reads, len(cells)) == ((num_members,) * 2 if by_laboratory else (0, 0))
