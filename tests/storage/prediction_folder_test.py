"""Folders of predictions: the same images continue theirs, and no others ever get it."""

import json

import pytest

from bloodcell_jax.storage import prediction_folder
from bloodcell_jax.system import lock


@pytest.fixture(autouse=True)
def released():
  yield
  lock.release()


def test_two_folders_of_one_name_have_predictions_of_their_own(tmp_path):
  a, b, c = ([str(tmp_path / parent / 'cells')] for parent in 'abc')
  parent = tmp_path / 'predict'
  assert prediction_folder.take(parent, a) == parent / 'cells'
  assert prediction_folder.take(parent, b) == parent / 'cells-2'
  assert prediction_folder.take(parent, c) == parent / 'cells-3'
  for paths, name in ((a, 'cells'), (b, 'cells-2'), (c, 'cells-3')):
    assert prediction_folder.take(parent, paths) == parent / name, 'the same paths continue'
    assert json.loads((parent / name / 'predict.json').read_text()) == {'paths': paths}


def test_the_same_folder_is_continued_however_it_is_written(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  parent = tmp_path / 'predict'
  first = prediction_folder.take(parent, ['slides'])
  assert prediction_folder.take(parent, [str(tmp_path / 'slides')]) == first
  assert prediction_folder.take(parent, ['./slides/']) == first
  # Negative control: more images under the same name are another prediction.
  assert prediction_folder.take(parent, ['slides', 'x']) == parent / 'slides_and_1'
  assert prediction_folder.take(parent, ['slides', 'y']) == parent / 'slides_and_1-2'


@pytest.mark.parametrize('content', ['{"model": "abc"}', '{', '[]', None])
def test_a_folder_that_does_not_say_whose_it_is_is_left_alone(tmp_path, content):
  taken = tmp_path / 'cells'
  taken.mkdir()
  (taken / 'predictions.csv').write_text('mine')
  if content is not None:
    (taken / 'predict.json').write_text(content)
  assert prediction_folder.take(tmp_path, ['cells']) == tmp_path / 'cells-2'
  assert (taken / 'predictions.csv').read_text() == 'mine'


def test_what_a_kill_at_the_start_leaves_is_used_again(tmp_path):
  (tmp_path / 'cells').mkdir()
  (tmp_path / 'cells' / '.predict.json.x.tmp').write_text('{')
  assert prediction_folder.take(tmp_path, ['cells']) == tmp_path / 'cells'
