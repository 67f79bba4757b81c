"""The rows of the ablation change what they name and nothing else, and its table says what the runs say."""

import numpy as np
import pytest

from benchmarks import ablation
from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data.division import folds
from bloodcell_jax.storage import predictions_csv, workdir
from bloodcell_jax.system import atomic
from configs import best

QUICK = experiment.flat(best.get_config('quick'))


def test_an_ingredient_left_out_is_one_that_the_recipe_has():
  for ingredient in ablation.INGREDIENTS:
    for key, value in ingredient.without.items():
      assert QUICK[key] != value, f'{ingredient.name}: {key} is {value!r} in the recipe too'
    experiment.from_flat({**QUICK, **ablation.SHARED, 'data.dir': 'images', **ingredient.without})


def test_an_ingredient_alone_is_what_the_row_without_any_lacks_of_it_and_no_more():
  by_name = {row.name: row for row in ablation.rows()}
  nothing = {**QUICK, **by_name['nothing'].keys}
  for ingredient in ablation.INGREDIENTS:
    if ingredient.name == 'convolutions':
      assert 'only_convolutions' not in by_name
      continue
    alone = {**QUICK, **by_name[f'only_{ingredient.name}'].keys}
    assert {key for key in alone if alone[key] != nothing[key]} == set(ingredient.without)


def test_only_rows_that_differ_in_their_evaluation_share_the_networks_of_their_reference():
  shared = [row.name for row in ablation.rows() if ablation.is_evaluation(row)]
  assert shared == ['without_symmetries', 'only_symmetries']
  trained = next(row for row in ablation.rows() if row.name == 'without_blur')
  assert not ablation.is_evaluation(trained)


def test_the_table_has_the_rows_that_are_complete_with_differences_to_their_reference(tmp_path):
  assert len(ablation.table(tmp_path)) == 2
  right_N = np.arange(40) % 4 != 0
  _complete(tmp_path / 'recipe', right_N)
  _complete(tmp_path / 'without_blur', right_N & (np.arange(40) % 4 != 1))
  # Not complete: its folds are not joined yet.
  (tmp_path / 'without_colour').mkdir()
  _, _, recipe, blur = ablation.table(tmp_path)
  assert recipe == '| the recipe | 0.750 | 0.750 | 0.750 |  |'
  assert blur.startswith('| without blur | 0.500 | 0.500 | 0.500 | -0.250 [-0.')
  # Negative control: the difference is paired, so the same predictions have none.
  _complete(tmp_path / 'without_blur', right_N)
  assert ablation.table(tmp_path)[-1].endswith('| +0.000 [+0.000, +0.000] |')


def test_a_row_that_only_evaluates_is_complete_once_it_has_been_scored_itself(tmp_path, monkeypatch):
  row = next(row for row in ablation.rows() if row.name == 'without_symmetries')
  _complete(tmp_path / row.reference, np.ones(40, bool))

  def interrupted(*_, **__):
    raise KeyboardInterrupt

  monkeypatch.setattr(ablation.subprocess, 'run', interrupted)
  with pytest.raises(KeyboardInterrupt):
    ablation.train(row, 'images', tmp_path)
  assert (tmp_path / row.name).is_dir()  # the networks are there
  assert not ablation.is_complete(workdir.Workdir(tmp_path / row.name))
  # Negative control: the row that was copied stays complete.
  assert ablation.is_complete(workdir.Workdir(tmp_path / row.reference))


def _complete(path, right_N):
  """A cross-validation that has been joined; its groups are two images of one class each."""
  folder = workdir.Workdir(path)
  folder.predictions(folds.OUT_OF_FOLD).parent.mkdir(parents=True, exist_ok=True)
  folder.write_config({**QUICK, **ablation.SHARED})
  label_N = (np.arange(40) // 2 % 2).astype(np.int32)
  probs_NK = np.where(np.eye(2)[label_N] == right_N[:, None], 0.9, 0.1)
  name_N = np.arange(40).astype(str)
  predictions = types.Predictions(probs_NK, label_N, (np.arange(40) // 2).astype(str), name_N, ('A', 'B'))
  predictions_csv.write(folder.predictions(folds.OUT_OF_FOLD), predictions, None)
  share = float(right_N.mean())
  atomic.write_json(
    folder.metrics, {folds.OUT_OF_FOLD: {name: {'value': share} for name in ablation.FIGURES}}
  )
  folder.report.write_text('')
