"""A section of a config: which annotations of a spec's fields it can read."""

from __future__ import annotations

import dataclasses

import pytest
from ml_collections import config_dict

from bloodcell_jax.base import types
from bloodcell_jax.config import section

Alias = tuple


@dataclasses.dataclass(frozen=True)
class _Known:
  size: int
  share: float
  name: str
  flag: bool
  names: Alias
  shift: float | tuple


@dataclasses.dataclass(frozen=True)
class _Unknown:
  size: int
  sizes: dict


VALUES = {'size': 3, 'share': 1, 'name': 'a', 'flag': True, 'names': ['b'], 'shift': 2}


def read(kind, **changes):
  return section.Section('data', config_dict.ConfigDict({**VALUES, **changes})).spec(kind)


def test_the_fields_of_a_spec_are_read_by_their_annotations():
  found = read(_Known)
  assert found == _Known(3, 1.0, 'a', True, ('b',), 2)
  # A whole number stays one only where a tuple may stand as well.
  assert (type(found.share), type(found.shift)) == (float, int)
  # Negative control: another type is refused.
  with pytest.raises(types.UserError, match=r'config\.data\.size is 1\.5; it must be of type int'):
    read(_Known, size=1.5)


def test_an_annotation_that_cannot_be_read_is_named():
  with pytest.raises(TypeError, match=r'_Unknown\.sizes is annotated dict; .* bool, int'):
    read(_Unknown, sizes={})
