"""A trained run uses its own copies of lists that have changed or gone."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data.sources import label_csv
from bloodcell_jax.runs import data_place, own_lists
from bloodcell_jax.storage import workdir
from configs import default

GROUPS = 'file,group\nA/1.png,1\n'


def of_run(top: pathlib.Path, **lists: str) -> tuple[workdir.Workdir, experiment.Experiment]:
  """A run that is trained with these lists, and has its copies of them; its images lie in `top/images`."""
  folder = workdir.Workdir(top / 'run')
  (top / 'images').mkdir(exist_ok=True)
  changes = {'data.source': 'folders', 'data.dir': str(top / 'images')}
  changes |= {f'data.{name}': value for name, value in lists.items()}
  flat = {**experiment.flat(default.get_config()), **changes}
  folder.write_config(flat)
  exp = experiment.resolve(experiment.nest(flat))
  own_lists.keep(folder, exp)
  return folder, exp


def named(exp: experiment.Experiment, **lists: str) -> experiment.Experiment:
  return dataclasses.replace(exp, data=dataclasses.replace(exp.data, **lists))


@pytest.fixture
def given(tmp_path) -> pathlib.Path:
  path = tmp_path / 'groups.csv'
  path.write_text(GROUPS)
  return path


def test_a_trained_run_uses_its_own_copy_of_a_list_that_has_changed_and_says_so(given, tmp_path):
  folder, exp = of_run(tmp_path, groups_csv=str(given))
  folder.metrics.write_text('{}')
  copy, said = folder.list('groups_csv'), []
  # Negative control: the list is as it was.
  assert data_place.find(folder, exp, '', said.append).data.groups_csv == str(given)
  assert said == []
  given.write_text('file,group\nB/x.png,7\n')
  found = data_place.find(folder, exp, '', said.append)
  assert found.data.groups_csv == str(copy)
  (line,) = said
  assert line.startswith(
    f'{given}: has changed since {folder.path} was trained with it; its copy {copy} is used'
  )
  # The copy stays what the run was trained with, and a list of another name is used as it is.
  own_lists.keep(folder, exp)
  assert copy.read_text() == GROUPS
  other = tmp_path / 'other.csv'
  other.write_text('file,group\nA/1.png,2\n')
  assert data_place.find(folder, named(exp, groups_csv=str(other)), '', said.append).data.groups_csv == str(
    other
  )
  assert len(said) == 1
  # Where the list is gone, too, the copy is used, which needs no line.
  given.unlink()
  assert data_place.find(folder, exp, '', said.append).data.groups_csv == str(copy)
  copy.unlink()
  with pytest.raises(types.UserError, match='is gone'):
    data_place.find(folder, exp, '', said.append)


def test_a_run_that_has_not_trained_yet_uses_the_list_that_it_is_given(given, tmp_path):
  folder, exp = of_run(tmp_path, groups_csv=str(given))
  given.write_text('file,group\nA/1.png,2\n')
  assert data_place.find(folder, exp, '', pytest.fail).data.groups_csv == str(given)
  own_lists.keep(folder, exp)
  assert folder.list('groups_csv').read_text() == 'file,group\nA/1.png,2\n'


def test_each_of_several_lists_has_its_copy(tmp_path):
  paths = [tmp_path / name for name in ('first.csv', 'second.csv')]
  for number, path in enumerate(paths):
    path.write_text(f'file,label\n{number}.png,A\n')
  folder, exp = of_run(tmp_path, labels_csv=','.join(map(str, paths)))
  folder.metrics.write_text('{}')
  # Negative control: both are as they were.
  assert data_place.find(folder, exp, '', pytest.fail).data.labels_csv == exp.data.labels_csv
  paths[0].unlink()
  paths[1].write_text('file,label\n1.png,B\n')
  said = []
  used = data_place.find(folder, exp, '', said.append).data.labels_csv.split(',')
  assert [pathlib.Path(path).read_text() for path in used] == [
    'file,label\n0.png,A\n',
    'file,label\n1.png,A\n',
  ]
  assert len(said) == 1


def test_a_copy_names_files_as_its_list_did_in_its_own_folder(tmp_path):
  inner = tmp_path / 'images' / 'new'
  inner.mkdir(parents=True)
  (inner / 'a.png').write_bytes(b'image')
  path = inner / 'labels.csv'
  path.write_text('file,label\na.png,A\n')
  folder, exp = of_run(tmp_path, labels_csv=str(path))
  folder.metrics.write_text('{}')
  path.write_text('file,label\na.png,B\n')

  def files(place: str) -> list[str]:
    found = data_place.find(folder, exp, place, lambda line: None).data
    assert found.labels_csv == str(folder.list('labels_csv'))
    return [one.file for one in label_csv.read(found.labels_csv, found.dir)]

  assert files('') == ['new/a.png']
  # The list went with its images.
  (tmp_path / 'images').rename(tmp_path / 'moved')
  assert files(str(tmp_path / 'moved')) == ['new/a.png']
  # Negative control: without the place of its list the copy lies where it lies.
  (folder.path / 'lists' / 'labels.csv.place').unlink()
  assert files(str(tmp_path / 'moved')) == ['a.png']


@pytest.mark.parametrize('part', ['members/2', 'folds/2', 'members/1/out_of_fold/folds/3'])
def test_a_part_that_begins_later_keeps_the_lists_that_the_whole_run_began_with(part, given, tmp_path):
  folder, exp = of_run(tmp_path, groups_csv=str(given))
  folder.metrics.write_text('{}')
  given.write_text('file,group\nB/x.png,7\n')
  later = workdir.Workdir(folder.path / part)
  own_lists.keep(later, exp)
  assert later.list('groups_csv').read_text() == GROUPS
  # Negative control: a run of its own beside it.
  beside = workdir.Workdir(tmp_path / 'beside')
  own_lists.keep(beside, exp)
  assert beside.list('groups_csv').read_text() == given.read_text()


def test_a_run_in_a_folder_that_a_user_has_called_members_has_its_own_lists(given, tmp_path):
  (tmp_path / 'members').mkdir()
  folder, exp = of_run(tmp_path / 'members', groups_csv=str(given))
  folder.metrics.write_text('{}')
  given.unlink()
  assert data_place.find(folder, exp, '', pytest.fail).data.groups_csv == str(folder.list('groups_csv'))
