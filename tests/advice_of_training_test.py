"""Lines about training that cannot go on, and about files of results: what they advise is done here, and leads on."""

from __future__ import annotations

import collections
import pathlib
import re

import numpy as np
import pytest
import starting

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data.division import bagging
from bloodcell_jax.data.images import image_buffer
from bloodcell_jax.ensemble_runs import dry_run
from bloodcell_jax.ensembles import combination
from bloodcell_jax.models import zoo
from bloodcell_jax.runs import training
from bloodcell_jax.storage import adaptation_file, box, config_keys, label_next_csv, workdir
from bloodcell_jax.system import memory
from bloodcell_jax.train import history, progress, signals
from configs import default


def line(call, *arguments, error: type[Exception] = types.UserError) -> str:
  with pytest.raises(error) as caught:
    call(*arguments)
  assert '\n' not in str(caught.value)
  return str(caught.value)


@pytest.mark.long
def test_a_training_that_diverges_ends_well_with_a_lower_rate_or_a_clipped_gradient(tmp_path):
  steep = ('--config.optimizer.name=sgd', '--config.optimizer.learning_rate=1e4')
  code, _, err = starting.run(*starting.TINY, *steep, f'--workdir={tmp_path / "run"}')
  assert code == 1
  said = err.splitlines()[-1]
  lower, clip = re.search(
    r'lower (optimizer\.\w+) or set (optimizer\.\w+), and train in another', said
  ).groups()
  for name, remedy in (('lower', f'--config.{lower}=0.01'), ('clipped', f'--config.{clip}=1e-6')):
    code, _, err = starting.run(*starting.TINY, *steep, remedy, f'--workdir={tmp_path / name}')
    assert code == 0, err


def test_images_that_memory_or_the_disk_has_no_room_for_are_kept_where_the_line_says(tmp_path, monkeypatch):
  shape, smaller = (4, 64, 64, 3), (4, 8, 8, 3)
  monkeypatch.setattr(memory, 'obtainable', lambda: 1000)
  said = line(image_buffer.make, shape, 'memory', tmp_path, error=types.RunError)
  assert 'set data.cache=disk or lower data.image_size' in said
  assert image_buffer.make(shape, re.search('data.cache=(\\w+)', said)[1], tmp_path).shape == shape
  assert image_buffer.make(smaller, 'memory', tmp_path).shape == smaller
  usage = collections.namedtuple('usage', 'total used free')
  monkeypatch.setattr(image_buffer.shutil, 'disk_usage', lambda place: usage(9, 0, 1000))
  assert 'free some space or lower data.image_size' in line(image_buffer.make, shape, 'disk', tmp_path)
  assert image_buffer.make(smaller, 'disk', tmp_path).shape == smaller
  # A key of the place is free: the run goes on with it in its own folder.
  assert 'data.cache' in config_keys.FREE_KEYS


@pytest.mark.parametrize(('network', 'size'), [('cnn_a', 32), ('alexnet', 30), ('vgg16', 1)])
def test_images_that_are_too_small_for_a_network_are_large_enough_at_the_size_named_and_at_no_smaller(
  network, size
):
  flat = {**experiment.flat(default.get_config()), 'model.name': network}
  spec = experiment.from_flat(flat).model
  said = line(zoo.check_size, spec, size)
  assert said.startswith(f'data.image_size is {size}: ')
  least = int(re.search(r'; set it to (\d+) or more$', said)[1])
  zoo.check_size(spec, least)
  assert f'set it to {least} or more' in line(zoo.check_size, spec, least - 1)


def test_images_that_are_too_small_are_refused_before_any_is_read(tmp_path):
  flat = {**experiment.flat(default.get_config()), 'data.image_size': 32}

  def read(*given):
    raise AssertionError('the images are read')

  ends = signals.Stop(), progress.Progress()
  folder = workdir.Workdir(tmp_path / 'run')
  assert 'set it to ' in line(training.run, flat, folder, *ends, read)
  assert not folder.config.exists()
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(dry_run, '_divided', read)
    assert 'set it to ' in line(dry_run.run, flat, folder, *ends)
  with pytest.raises(AssertionError, match='are read'):
    training.run({**flat, 'data.image_size': 64}, folder, *ends, read)


def test_too_few_groups_for_bagging_are_enough_for_the_method_that_the_line_names():
  column = np.array(['a', 'b'])
  columns = dict.fromkeys(('file', 'source', 'group', 'split', 'digest'), column)
  table = types.Table(
    ('a', 'b'),
    label=np.arange(2, dtype=np.int32),
    class_names=('A', 'B'),
    name='n',
    synthetic=False,
    **columns,
  )
  said = line(bagging.divide, table, {'train': np.arange(2)}, 0, 'bag')
  key, value = re.search(r'use (ensemble\.method)=(\w+)', said).groups()
  assert experiment.from_flat({**experiment.flat(default.get_config()), key: value})


def test_a_damaged_history_is_removed_as_the_line_says(tmp_path):
  path = tmp_path / 'history.jsonl'
  path.write_text('{"epoch": 1}\n')
  assert 'line 1 is not a record of an epoch; remove the file and train the run again' in line(
    history.read, path
  )
  path.write_text('')
  assert history.read(path) == []


def test_a_damaged_list_of_images_to_label_is_removed_and_the_run_has_none(tmp_path):
  folder = workdir.Workdir(tmp_path)
  folder.next_labels.write_text('x\ny\n')
  assert 'remove it, and `adapt` without labels writes it anew' in line(label_next_csv.read, folder)
  folder.next_labels.unlink()
  assert label_next_csv.read(folder) == []


def test_a_damaged_adaptation_is_restored_or_made_in_another_folder(tmp_path):
  folder, request = workdir.Workdir(tmp_path / 'run'), {'data': 'x'}
  folder.path.mkdir()
  adaptation_file.claim(folder, request)
  good = folder.adaptation.read_bytes()
  folder.adaptation.write_text('{')
  said = line(adaptation_file.claim, folder, request)
  assert 'restore it from a copy, or adapt the run again into another folder with --to' in said
  assert 'remove' not in said
  other = workdir.Workdir(tmp_path / 'other')
  other.path.mkdir()
  assert not adaptation_file.claim(other, request)
  folder.adaptation.write_bytes(good)
  assert not adaptation_file.claim(folder, request)


def test_a_damaged_combination_is_one_line_and_a_new_one_is_read(tmp_path):
  path = tmp_path / 'ensemble.npz'
  assert 'repeat the command that combined the members' in line(combination.read, path)
  path.write_bytes(b'x')
  assert 'repeat the command that combined the members' in line(combination.read, path)
  combination.write(path, combination.mean(2))
  assert combination.read(path).kind == combination.mean(2).kind


def test_another_folder_in_the_place_of_the_box_is_renamed_and_the_box_written_anew(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  box.COPY.mkdir(parents=True)
  (box.COPY / 'notes.txt').write_text('mine')
  assert 'rename it, and it is written anew' in line(box.copy)
  box.COPY.rename(pathlib.Path('runs') / 'mine')
  assert (box.copy() / box.CARD).is_file()
  assert (tmp_path / 'runs' / 'mine' / 'notes.txt').read_text() == 'mine'
