"""Folders of predictions: the same images continue theirs, and no others ever get it."""

import json

import pytest

from bloodcell_jax.base import types
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


def test_names_that_differ_in_case_alone_are_told_apart_on_every_disk(tmp_path):
  a, b = [str(tmp_path / 'x' / 'cells')], [str(tmp_path / 'y' / 'Cells')]
  parent = tmp_path / 'predict'
  assert prediction_folder.take(parent, a) == parent / 'cells'
  assert prediction_folder.take(parent, b) == parent / 'Cells-2'
  assert prediction_folder.take(parent, b) == parent / 'Cells-2'
  # A result of earlier versions is continued where it lies.
  (parent / 'CELLS').mkdir()
  c = [str(tmp_path / 'z' / 'CELLS')]
  assert prediction_folder.take(parent, c) == parent / 'CELLS'


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


def claim(folder, paths, run='run', model='m'):
  lock.release()
  prediction_folder.claim(folder, paths, folder.parent / run, model)
  return json.loads((folder / 'predict.json').read_text())


def test_a_folder_that_the_user_names_keeps_what_is_there_of_others(tmp_path):
  a, b = str(tmp_path / 'monday' / 'images'), str(tmp_path / 'tuesday' / 'images')
  folder = tmp_path / 'results'
  assert claim(folder, [a]) == {'paths': [a], 'run': str(tmp_path / 'run'), 'model': 'm'}
  assert claim(folder, [a])['paths'] == [a], 'the same images again'
  for paths in ([b], []):
    with pytest.raises(
      types.UserError, match=r'results: holds the predictions of .*monday/images; choose another folder'
    ):
      claim(folder, paths)
  assert claim(folder, [a, b])['paths'] == [a, b], 'nothing is lost where more are predicted'
  with pytest.raises(types.UserError, match=r'holds the predictions of .*tuesday/images'):
    claim(folder, [a])


def test_a_folder_that_the_user_names_is_that_of_one_run(tmp_path):
  folder, paths = tmp_path / 'results', [str(tmp_path / 'a')]
  claim(folder, paths)
  with pytest.raises(
    types.UserError, match=r'results: holds predictions by .*/run; choose another folder with --to'
  ):
    claim(folder, paths, run='other', model='n')
  # A run that was moved is the same one.
  (folder / 'predict.json').unlink()
  (folder / 'predict.json').write_text(json.dumps({'paths': paths, 'run': '/before/run', 'model': 'm'}))
  assert claim(folder, paths, run='moved', model='m')['run'] == str(tmp_path / 'moved')


def test_a_named_folder_with_predictions_of_nobody_knows_what_is_refused(tmp_path):
  folder = tmp_path / 'results'
  folder.mkdir()
  (folder / 'predictions.csv').write_text('mine')
  with pytest.raises(types.UserError, match=r'holds a predictions\.csv that does not say of which images'):
    claim(folder, ['a'])
  (folder / 'predict.json').write_text('{')
  with pytest.raises(types.UserError, match=r'predict\.json: damaged'):
    claim(folder, ['a'])
  assert (folder / 'predictions.csv').read_text() == 'mine'


@pytest.mark.parametrize(
  ('paths', 'name'),
  [
    (['day/*'], 'day'),
    (['day/*.jpg'], 'day'),
    (['day/**/*.png'], 'day'),
    (['days/*/images/*'], 'images'),
    (['day/NE_[0-9]*.png'], 'day_NE'),
    (['slides [1]/*.jpg'], 'slides_1'),
    (['slides [1]'], 'slides_1_'),
    (['NUL/*'], 'NUL_'),
    (['aux.png'], 'aux_.png'),
    (['CON', 'x'], 'CON__and_1'),
    (['slides.'], 'slides'),
    (['/*'], 'images'),
    (['\u7d30\u80de/*.png'], '\u7d30\u80de'),
    (['a:b'], 'a_b'),
  ],
)
def test_a_result_is_named_after_its_sources_and_as_every_system_takes_it(paths, name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'slides [1]').mkdir()
  assert prediction_folder.folder_name(paths) == name


def test_a_folder_of_other_things_is_refused_and_one_of_results_or_nothing_is_not(tmp_path):
  (tmp_path / 'results').mkdir()
  (tmp_path / '.hidden').write_text('')
  with pytest.raises(
    types.UserError, match='holds other things, such as results; choose another folder with --to'
  ):
    prediction_folder.refuse_others(tmp_path, ('predict.json',))
  # As it says; hidden files are nothing.
  (tmp_path / 'results' / '.lock').write_text('')
  prediction_folder.refuse_others(tmp_path / 'results', ('predict.json',))
  prediction_folder.refuse_others(tmp_path / 'new', ('predict.json',))
  (tmp_path / 'results' / 'predictions.csv').write_text('')
  with pytest.raises(types.UserError, match=r'such as predictions\.csv'):
    prediction_folder.refuse_others(tmp_path / 'results', ('predict.json',))
  (tmp_path / 'results' / 'predict.json').write_text('{}')
  prediction_folder.refuse_others(tmp_path / 'results', ('predict.json',))
