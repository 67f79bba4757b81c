"""Where the images of a run are looked for: an adapted run has them in its own folder."""

from __future__ import annotations

import dataclasses
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


def of_lists(top: pathlib.Path) -> tuple[workdir.Workdir, experiment.Experiment, pathlib.Path]:
  """A run with its copy of the list of groups that its config names; not trained yet."""
  folder, given = workdir.Workdir(top / 'run'), top / 'groups.csv'
  given.write_text('file,group\nA/1.png,1\n')
  (top / 'images').mkdir()
  exp = of_images(top / 'images')
  exp = dataclasses.replace(exp, data=dataclasses.replace(exp.data, groups_csv=str(given)))
  changes = {'data.source': 'folders', 'data.dir': exp.data.dir, 'data.groups_csv': str(given)}
  folder.write_config({**experiment.flat(default.get_config()), **changes})
  data_place.keep_lists(folder, exp)
  return folder, exp, given


def test_a_trained_run_uses_its_own_copy_of_a_list_that_has_changed_and_says_so(tmp_path):
  folder, exp, given = of_lists(tmp_path)
  folder.metrics.write_text('{}')
  copy, said = folder.list('groups_csv'), []
  # Negative control: the list is as it was.
  assert data_place.find(folder, exp, '', said.append).data.groups_csv == str(given)
  assert said == []
  given.write_text('file,group\nB/x.png,7\n')
  found = data_place.find(folder, exp, '', said.append)
  assert found.data.groups_csv == str(copy)
  assert said == [f'{given}: has changed since {folder.path} was trained with it; its copy {copy} is used']
  # The copy stays what the run was trained with, and a list of another name is used as it is.
  data_place.keep_lists(folder, exp)
  assert copy.read_text() == 'file,group\nA/1.png,1\n'
  other = tmp_path / 'other.csv'
  other.write_text('file,group\nA/1.png,2\n')
  named = dataclasses.replace(exp, data=dataclasses.replace(exp.data, groups_csv=str(other)))
  assert data_place.find(folder, named, '', said.append).data.groups_csv == str(other)
  assert len(said) == 1
  # Where the list is gone, too, the copy is used, which needs no line.
  given.unlink()
  assert data_place.find(folder, exp, '', said.append).data.groups_csv == str(copy)


def test_a_run_that_has_not_trained_yet_uses_the_list_that_it_is_given(tmp_path):
  folder, exp, given = of_lists(tmp_path)
  given.write_text('file,group\nA/1.png,2\n')
  assert data_place.find(folder, exp, '', pytest.fail).data.groups_csv == str(given)
  data_place.keep_lists(folder, exp)
  assert folder.list('groups_csv').read_text() == 'file,group\nA/1.png,2\n'
