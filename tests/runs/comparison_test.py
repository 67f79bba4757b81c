"""Two runs are compared on the splits whose images both have; the others are named with the reason."""

import json

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.runs import comparison
from bloodcell_jax.storage import predictions_csv, workdir
from configs import default

EXP = experiment.from_flat({**experiment.flat(default.get_config()), 'evaluate.num_resamples': 100})


def predictions(prefix: str, seed: int) -> types.Predictions:
  names = np.array([f'{prefix}{i}' for i in range(12)])
  probs_NK = np.random.default_rng(seed).dirichlet(np.ones(2), 12)
  return types.Predictions(probs_NK, np.arange(12, dtype=np.int32) % 2, names, names, ('A', 'B'))


def run(path, seed: int, **splits: str) -> workdir.Workdir:
  """A folder with predictions of images whose names begin with the given text, by split."""
  folder = workdir.Workdir(path)
  for split, prefix in splits.items():
    predictions_csv.write(folder.predictions(split), predictions(prefix, seed), None)
  return folder


def test_the_splits_that_match_are_compared_and_the_others_named(tmp_path):
  one = run(tmp_path / 'one', 1, validation='v', test='t', mine='m')
  two = run(tmp_path / 'two', 2, validation='v', test='other', test_clean='c')
  compared = comparison.compare(one, two, EXP)
  assert set(compared.entries) == {'validation'}
  assert set(compared.others) == {'test', 'mine', 'test_clean'}
  assert 'predicted by one model and not by the other' in compared.others['test']
  assert compared.others['mine'] == f'only {one.path} has predictions for it'
  assert compared.others['test_clean'] == f'only {two.path} has predictions for it'
  about = json.loads(comparison.save(one, two, compared).read_text())['about']
  assert about == {'first': str(one.path), 'second': str(two.path), 'not_compared': compared.others}


def test_runs_without_a_split_that_matches_are_refused_with_the_reason(tmp_path):
  one, two = run(tmp_path / 'one', 1, test='a'), run(tmp_path / 'two', 2, test='b')
  with pytest.raises(types.UserError, match='predicted by one model and not by the other'):
    comparison.compare(one, two, EXP)
  with pytest.raises(types.UserError, match='evaluate both runs first'):
    comparison.compare(one, run(tmp_path / 'three', 3, mine='a'), EXP)


def test_two_runs_of_one_name_have_comparisons_of_their_own(tmp_path):
  one = run(tmp_path / 'one', 1, test='t')
  names = [
    comparison.save(one, other, comparison.compare(one, other, EXP)).name
    for other in (
      run(tmp_path / parent / 'best', seed, test='t') for parent, seed in (('x', 2), ('y', 3), ('x', 2))
    )
  ]
  assert names == ['comparison_best.json', 'comparison_best-2.json', 'comparison_best.json']
