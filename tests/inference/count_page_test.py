"""What `count.html` says of the photographs that were named: all of them, though nothing was counted in some."""

from __future__ import annotations

import types as builtin_types
from typing import Any

import numpy as np
import pytest

from bloodcell_jax.base import cell, types
from bloodcell_jax.inference import (
  count_page,
  differential_count,
  file_predictions,
  laboratory_count,
)
from bloodcell_jax.storage import prediction_folder, workdir

NAMES = ('A', 'B')
CELLS = tuple(cell.Cell(f'{i}.png', f'{i:016d}', 1, cell.Box(0, 0, 9, 9)) for i in range(5))
PROBS_NK = np.tile([0.9, 0.1], (len(CELLS), 1))


def numbers(empty: int, broken: int, no_images: int) -> dict[str, int]:
  """Of a prediction with the five cells, and so many photographs without one and files of two kinds."""
  problems = [types.Problem(f'empty {i}.png', file_predictions.NO_CELL) for i in range(empty)]
  problems += [types.Problem(f'broken {i}.png', 'is cut short') for i in range(broken)]
  found = file_predictions.CellPredictions(CELLS, ('',) * len(CELLS), PROBS_NK, None, problems)
  return count_page.photographs(found, [types.Problem('notes.txt', 'not an image')] * no_images)


@pytest.mark.parametrize(
  ('given', 'said'),
  [
    (
      (4, 1, 1),
      '9 photographs searched, 4 of them without a white cell; 2 files could not be used, named in',
    ),
    ((4, 0, 0), '9 photographs searched, 4 of them without a white cell.'),
    ((0, 0, 1), '1 file could not be used, named in predict.json.'),
  ],
)
def test_photographs_without_a_cell_and_files_that_cannot_be_used_are_counted(given, said):
  assert count_page.without_cells(numbers(*given)).startswith(said)
  # Negative control: nothing is said where each photograph has a cell.
  assert numbers(0, 0, 0) == {'read': 5, 'no_cell': 0, 'unusable': 0}
  assert count_page.without_cells(numbers(0, 0, 0)) == ''


@pytest.mark.parametrize(('num_paths', 'end'), [(12, '/slides/4 and 7 more<'), (5, '/slides/4<')])
def test_the_page_says_how_many_paths_it_does_not_name_and_what_was_not_counted(tmp_path, num_paths, end):
  classified = differential_count.classify(CELLS, PROBS_NK, NAMES, None, None)
  settings = builtin_types.SimpleNamespace(
    intervals=builtin_types.SimpleNamespace(confidence=0.95),
    seed=0,
    data=builtin_types.SimpleNamespace(source='folders'),
  )
  loaded: Any = builtin_types.SimpleNamespace(
    job=builtin_types.SimpleNamespace(experiment=settings), class_names=NAMES, rule=None, note=''
  )
  about = {
    prediction_folder.PATHS: [f'/slides/{i}' for i in range(num_paths)],
    prediction_folder.MODEL: 'ab',
    'differential': differential_count.count(classified, 0.95),
    'photographs': numbers(4, 2, 0),
  }
  counted = count_page.write(
    tmp_path, workdir.Workdir(tmp_path / 'run'), loaded, classified, about, laboratory_count.Wanted(0, None)
  )
  assert counted.num_photographs == len(CELLS)
  text = (tmp_path / 'count.html').read_text()
  assert end in text
  assert '/slides/5' not in text
  assert '9 photographs searched, 4 of them without a white cell; 2 files could not be used' in text
