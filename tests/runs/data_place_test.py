"""Where the images of a run are looked for: an adapted run has them in its own folder."""

from __future__ import annotations

import pathlib

import pytest

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.runs import data_place
from bloodcell_jax.storage import workdir
from configs import default


def of_images(place: pathlib.Path) -> experiment.Experiment:
  changes = {'data.source': 'folders', 'data.dir': str(place)}
  return experiment.resolve(experiment.nest({**experiment.flat(default.get_config()), **changes}))


def test_an_adapted_run_that_was_renamed_has_its_images_with_it(tmp_path):
  before, after = tmp_path / 'before', workdir.Workdir(tmp_path / 'after')
  exp = of_images(before / 'images')
  (before / 'images').mkdir(parents=True)
  (before / 'adaptation.json').write_text('{}')
  assert data_place.find(workdir.Workdir(before), exp, '', print).data.dir == str(before / 'images')
  before.rename(after.path)
  assert data_place.find(after, exp, '', print).data.dir == str(after.path / 'images')
  # What is named comes first.
  other = tmp_path / 'other'
  other.mkdir()
  assert data_place.find(after, exp, str(other), print).data.dir == str(other)
  # Negative control: the folder of another run holds none of its images.
  after.adaptation.unlink()
  with pytest.raises(types.UserError, match='are no longer there'):
    data_place.find(after, exp, '', print)
