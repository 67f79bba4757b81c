"""Outputs of rows: each row once through the network, whichever split asks, and the embedding with it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from job_test import build

from bloodcell_jax.base import types
from bloodcell_jax.runs import row_outputs
from bloodcell_jax.train import signals


@pytest.fixture(scope='module')
def made():
  """A job with a split that lies within another, and a record of the batches that were computed."""
  job = build('cnn_a')
  whole = job.data.rows['test']
  job.data = dataclasses.replace(job.data, rows={**job.data.rows, 'test_clean': whole[1::2]})
  return job


@pytest.fixture
def sizes(made, monkeypatch):
  """The number of images of each batch that went through the network."""
  found, apply = [], made.apply_with_embedding

  def counted(params, batch):
    found.append(int((np.asarray(batch.weight_B) > 0).sum()))
    return apply(params, batch)

  monkeypatch.setattr(made, 'apply_with_embedding', counted)
  return found


def test_a_row_goes_through_the_network_once_whoever_asks(made, sizes):
  outputs, num = row_outputs.RowOutputs(made, made.params), len(made.data.rows['test'])
  whole = outputs.predictions('test')
  assert sum(sizes) == num
  part = outputs.predictions('test_clean')
  embedding_ND = outputs.embedding(made.data.rows['test'][::-1])
  assert sum(sizes) == num, 'nothing was computed again'
  outputs.predictions('validation')
  assert sum(sizes) == num + len(made.data.rows['validation']), 'other rows are'
  for column in ('file_N', 'label_N', 'group_N', 'probs_NK'):
    np.testing.assert_array_equal(getattr(part, column), getattr(whole, column)[1::2])
  assert len(embedding_ND) == num


def test_outputs_are_those_of_the_network_for_each_split_alone(made):
  outputs = row_outputs.RowOutputs(made, made.params)
  outputs.embedding(made.data.rows['test'][2:3])  # another order, other batches
  for split in ('test', 'validation'):
    alone = made.predict(made.params, split)
    answered = outputs.predictions(split)
    np.testing.assert_array_equal(answered.file_N, alone.file_N)
    np.testing.assert_allclose(answered.probs_NK, alone.probs_NK, atol=1e-6)
    assert not np.allclose(answered.probs_NK[::-1], alone.probs_NK, atol=1e-6), 'another order is seen'
  batch = next(iter(made.in_order(made.data.rows['test'][:3])))
  expected = made.apply_with_embedding(made.params, batch)[:3, made.num_classes :]
  np.testing.assert_allclose(outputs.embedding(made.data.rows['test'][:3]), expected, atol=1e-5)


def test_no_rows_have_no_outputs(made, sizes):
  outputs = row_outputs.RowOutputs(made, made.params)
  assert len(outputs.embedding(np.zeros(0, np.int64))) == 0
  assert sizes == []


def test_an_output_that_is_not_finite_is_refused_with_its_image(made, monkeypatch):
  apply = made.apply_with_embedding

  def broken(params, batch):
    output_BX = np.array(apply(params, batch))
    output_BX[1, 0] = np.nan
    return output_BX

  monkeypatch.setattr(made, 'apply_with_embedding', broken)
  with pytest.raises(types.RunError, match=made.data.table.file[made.data.rows['test'][1]]):
    row_outputs.RowOutputs(made, made.params).predictions('test')


def test_outputs_stop_when_asked(made):
  made.stop.requested = True
  with pytest.raises(signals.Stopped):
    row_outputs.RowOutputs(made, made.params).predictions('test')
  made.stop.requested = False
