"""Grouping images by their names, as is often done, and what it parts."""

from __future__ import annotations

import posixpath
import re

import numpy as np

# By the words that people see.
RULES = {
  'the name without its last number': lambda stem: re.sub(r'[0-9]+(?=[^0-9]*$)', '', stem, count=1),
  'the first number in the name': lambda stem: (re.findall(r'[0-9]+', stem) or [stem])[0],
}


def keys(file_N: np.ndarray, rule: str) -> np.ndarray:
  """[N] str: what the rule makes of each file's name, without folders and extension.

  Example:
    >>> keys(np.array(['TRAIN/A/_12_2599.jpeg']), 'the name without its last number').tolist()
    ['_12_']
  """
  stems = (posixpath.splitext(posixpath.basename(file))[0] for file in file_N.tolist())
  return np.array([RULES[rule](stem) for stem in stems], str)
