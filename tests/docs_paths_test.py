"""The files and folders that the docs name exist."""

from __future__ import annotations

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = 'bloodcell_jax'


def missing_paths(text: str) -> list[str]:
  """Paths between back-ticks that do not exist in the project."""
  found = re.findall(r'`([\w./-]+(?:/|\.(?:py|md|txt|toml|csv)))`', text)
  # What a run or a user makes, which is no part of the project.
  made = (
    'runs/',
    'predictions/',
    'predictions.csv',
    'differential.csv',
    'count.csv',
    'corrections.csv',
    'groups/',
    'checkpoints/',
    'config.json',
    'figures/',
    'overlays/',
    'labels.csv',
    'groups.csv',
    'groups_by_folder.csv',
    'pairs.csv',
    'model_card.md',
    'members/',
    'out_of_fold.csv',
    'log.',
    'unlike.npz',
    'digests.csv',
    'thumbnails.npz',
    'adaptation.json',
    'label_next.csv',
    'images/',
    'lists/',
    '1.txt',
  )
  return [
    p for p in found if not p.startswith(made) and not any((ROOT / top / p).exists() for top in ('', PACKAGE))
  ]


DOCS = sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md')])


@pytest.mark.parametrize('path', DOCS, ids=lambda path: path.name)
def test_paths_named_in_the_docs_exist(path):
  assert missing_paths(path.read_text()) == []


def test_a_path_that_does_not_exist_is_seen():
  assert missing_paths('see `bloodcell_jax/nowhere.py` and `README.md`') == ['bloodcell_jax/nowhere.py']
