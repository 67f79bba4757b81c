"""A run of another host names the images where this host has them, and nothing else of it changes."""

from __future__ import annotations

import json

import pytest

from bloodcell_jax.runs import adopted
from bloodcell_jax.system import atomic


def test_configs_of_a_run_and_its_folds_get_the_places_of_this_host(tmp_path):
  theirs = {'data.dir': '/mnt/theirs', 'data.groups_csv': '', 'seed': 3}
  paths = [tmp_path / 'config.json', tmp_path / 'out_of_fold' / 'folds' / '1' / 'config.json']
  for path in paths:
    atomic.write_json(path, theirs)
  adopted.put_places(tmp_path, {'data.dir': 'ours', 'data.groups_csv': '', 'seed': 4, 'data.labels_csv': 'x'})
  for path in paths:
    assert json.loads(atomic.read_text(path)) == {**theirs, 'data.dir': 'ours'}


def test_a_damaged_config_is_refused(tmp_path):
  (tmp_path / 'config.json').write_text('{')
  with pytest.raises(ValueError, match='property name'):
    adopted.put_places(tmp_path, {})
