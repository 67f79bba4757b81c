"""A study's config: rows resolve like any config, and what does not is refused with the name of its row."""

from __future__ import annotations

import re

import pytest
from ml_collections import config_dict

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.config import study as study_config
from configs import cnn_b, study

DEFAULT = 'configs/default.py'


def resolve(*rows, **data):
  c = study.get_config()
  for key, value in data.items():
    c.data[key] = value
  c.rows = rows or c.rows
  return study_config.resolve(c)


def row(name='a', config=DEFAULT, overrides=None, **more):
  return study.row('Networks', name, 'title', config, overrides, **more)


def test_every_row_of_the_study_resolves_and_refers_to_rows_that_exist():
  rows = {row.name: row for row in resolve()}
  assert len(rows) >= 15
  assert all(row.title and row.meaning and row.published.images for row in rows.values())
  assert all(row.reference in rows for row in rows.values() if row.reference)
  assert rows['vgg16-crop-sgd'].flat['data.view'] == 'nucleus'
  assert rows['cnn_b-sgd'].flat['optimizer.name'] == 'sgd'


def test_a_row_is_its_config_with_the_keys_of_the_study_and_its_own():
  (got,) = resolve(
    row(config='configs/cnn_b.py:adam', overrides={'model.dropout_rate': 0.1}), source='kaggle', dir='F'
  )
  expected = experiment.flat(cnn_b.get_config('adam'))
  assert got.flat['data.dir'] == 'F'
  assert got.flat['model.dropout_rate'] == 0.1
  own = ('model.', 'optimizer.', 'train.', 'augment.', 'data.image_size', 'data.view', 'data.interpolation')
  differing = {key for key, value in expected.items() if key.startswith(own) and got.flat[key] != value}
  assert differing == {'model.dropout_rate'}


@pytest.mark.parametrize(
  ('wrong', 'message'),
  [
    (row(config='configs/nowhere.py'), r'row a: configs/nowhere\.py: no such config file'),
    (row(config='configs/cnn_b.py:adamm'), r"row a: configs/cnn_b\.py:adamm: no variant 'adamm'"),
    (
      row(overrides={'train.epoch': 3}),
      r'row a: config\.train\.epoch: no such key; did you mean config\.train\.epochs',
    ),
    (row(overrides={'train.epochs': 0}), r'row a: config\.train\.epochs is 0'),
    (row(overrides={'train.steps_per_epoch': 0}), r'row a: train\.steps_per_epoch is 0'),
    (row(overrides={'seed': 3}), r'row a: .*--seeds'),
    (row(overrides={'train.folds': 3}), r'row a: train\.folds'),
    (row(reference='b'), r"row a: reference is 'b'"),
    (row(name='../a'), r"row '\.\./a'"),
    (row(accuracy=91.0), r'row a: accuracy is 91'),
    (row(trees='oak', features_of='a'), r"row a: trees is 'oak'"),
    (row(trees='random_forest', features_of='b'), r"row a: features_of is 'b'"),
    (config_dict.ConfigDict({'name': 'a'}), r'is missing'),
  ],
)
def test_a_row_that_does_not_resolve_is_refused_by_name(wrong, message):
  with pytest.raises(types.UserError, match=message) as caught:
    resolve(wrong)
  assert '\n' not in str(caught.value)
  resolve(row())


def test_two_rows_of_one_name_are_refused():
  with pytest.raises(types.UserError, match=re.escape('row a: there are two')):
    resolve(row(), row())


def test_a_study_without_rows_is_refused():
  c = study.get_config()
  c.rows = ()
  with pytest.raises(types.UserError, match='rows is empty'):
    study_config.resolve(c)
