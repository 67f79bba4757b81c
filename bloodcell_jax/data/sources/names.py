"""Names of splits, classes and files, compared as a person reads them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

# Split words, as `key` gives them, and the split each stands for.
SPLITS = {
  'train': 'TRAIN',
  'training': 'TRAIN',
  'trn': 'TRAIN',
  'val': 'VALIDATION',
  'valid': 'VALIDATION',
  'validate': 'VALIDATION',
  'validation': 'VALIDATION',
  'dev': 'VALIDATION',
  'development': 'VALIDATION',
  'test': 'TEST',
  'tests': 'TEST',
  'testing': 'TEST',
  'tst': 'TEST',
  'holdout': 'TEST',
  'hold out': 'TEST',
  'test simple': 'TEST_SIMPLE',
  'originals': 'ORIGINALS',
}
# Words that may follow or precede a split word and mean nothing: `Training set`, `test_images`.
_FILLERS = ('set', 'data', 'dataset', 'images', 'imgs', 'split', 'cells', 'samples')
# Parts of the names of blood cells, which tell class folders from folders of patients or days.
_CELLS = (
  'neutro', 'eosin', 'baso', 'lympho', 'mono', 'granulo', 'blast', 'myelo', 'erythro', 'platelet', 'thrombo', 'smudge',
  'reticulo', 'plasma', 'band', 'segment',
)  # fmt: skip


def key(name: str) -> str:
  """The name without what a reader overlooks: Unicode form, case, blanks, `_` and `-`.

  Example:
    >>> key(' Test_Simple') == key('TEST-SIMPLE') == key('test  simple')
    True
  """
  folded = unicodedata.normalize('NFKC', unicodedata.normalize('NFKC', name).casefold())
  for joint in '_-\u2010\u2011\u2012\u2013\u2014\u2212':
    folded = folded.replace(joint, ' ')
  return ' '.join(folded.split())


def split(name: str) -> str:
  """The split that a folder of this name holds; '' for any other name.

  Example:
    >>> [split(name) for name in ('Training_Set', 'TEST-images', 'dev', 'trainset', '01_test', 'train_2')]
    ['TRAIN', 'TEST', 'VALIDATION', 'TRAIN', 'TEST', '']
  """
  folded = key(name)
  if folded in SPLITS:
    return SPLITS[folded]
  words = [word for word in folded.split() if word not in _FILLERS]
  # `01_train`, `1. Training`: numbered so that they are listed in order.
  if len(words) > 1 and words[0].rstrip('.)').isdecimal():
    words = words[1:]
  folded = ' '.join(words)
  for filler in _FILLERS:
    if folded not in SPLITS and len(words) == 1:
      folded = folded.removesuffix(filler) or folded
  return SPLITS.get(folded, '')


def is_cell(name: str) -> bool:
  """Whether the name is that of a kind of blood cell."""
  folded = key(name)
  return any(part in folded for part in _CELLS)


def spelled(name: str) -> str:
  """The name so that blanks at its ends and letters that look alike are seen.

  Example:
    >>> spelled('EOSINOPHIL '), spelled('MONOCYTE'), spelled('E\u0301')
    ("'EOSINOPHIL '", 'MONOCYTE', "'E\\\\u0301'")
  """
  is_plain = name == name.strip() and '  ' not in name and unicodedata.normalize('NFC', name) == name
  return name if is_plain else ascii(name)


def alike(names: Iterable[str]) -> tuple[str, str] | None:
  """The first two names that differ but read the same; None if there are none."""
  first: dict[str, str] = {}
  for name in names:
    other = first.setdefault(key(name), name)
    if other != name:
      return other, name
  return None


def match(name: str, others: Iterable[str]) -> str:
  """The only one of the others that reads like the name; '' if none or several do."""
  found = [other for other in others if key(other) == key(name)]
  return found[0] if len(found) == 1 else ''
