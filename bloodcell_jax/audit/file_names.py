"""Common rules that group images by their file names."""

from __future__ import annotations

import posixpath
import re

import numpy as np

# By their description, which is shown to people.
RULES = {
  'the name without its last number': lambda stem: re.sub(r'[0-9]+(?=[^0-9]*$)', '', stem, count=1),
  'the first number in the name': lambda stem: (re.findall(r'[0-9]+', stem) or [stem])[0],
}


def keys(file_N: np.ndarray, rule: str) -> np.ndarray:
  """[N] str: the key of each file by the rule, from its name without folders and extension.

  Example:
    >>> keys(np.array(['TRAIN/A/_12_2599.jpeg']), 'the name without its last number').tolist()
    ['_12_']
  """
  stems = (posixpath.splitext(posixpath.basename(file))[0] for file in file_N.tolist())
  return np.array([RULES[rule](stem) for stem in stems], str)
