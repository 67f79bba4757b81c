"""Two hosts divide the runs of a study: each is trained once, trees on host 0, and a run that fails is known there."""

from __future__ import annotations

import json
import pathlib

import pytest
import tiny

from bloodcell_jax.base import types
from bloodcell_jax.data import dataset
from bloodcell_jax.study import budget, divided, images, run_folder, running
from bloodcell_jax.system import atomic
from bloodcell_jax.train import agreed_stop, progress, signals, work_queue
from tests.train import apart

SEEDS = (0, 1, 2)


@pytest.fixture
def trained(monkeypatch) -> list[str]:
  """The runs that are trained, by a stand-in that writes what a complete run has; that of one seed fails."""
  names: list[str] = []

  def train(one, length, cache, *given):
    names.append(f'{cache.name}: {one}, {length}')
    if one.row.name == 'a-adam' and one.seed == 1:
      raise types.RunError('the loss is not finite')
    if one.row.trees:
      assert one.network.report.exists(), 'fitted on a network that another host may have trained'
      atomic.write_text(one.folder.path / 'trees.json', '{}')
      atomic.write_json(one.folder.metrics, {})
    else:
      tiny.complete(one, {'test': 20})

  monkeypatch.setattr(running, '_train', train)
  monkeypatch.setattr(images.Images, 'read', lambda *given: dataset_of(0))
  return names


def dataset_of(number: int) -> dataset.Dataset:
  class Data:
    def fingerprint(self) -> str:
      return f'of {number}'

  return Data()


def divide(top: pathlib.Path, *places: str) -> list:
  """The study by two hosts, each in its place; what each returns or raises."""
  rows, results = tiny.rows(), [None, None]

  def run(group, place: pathlib.Path) -> None:
    runs = run_folder.runs(rows, SEEDS, place)
    stop = agreed_stop.shared(signals.Stop(), group)
    try:
      with group.together():
        if group.is_first:
          place.mkdir(exist_ok=True)
        queue = work_queue.Queue(group, place, lambda new: None)
        results[group.index] = divided.run(
          runs, budget.parse('0.5'), queue, stop, progress.Progress(False), lambda: None, False
        )
        group.from_first('end', lambda: None)
    except Exception as error:
      results[group.index] = error

  with apart.pair() as both:
    apart.run(both, lambda index: run(both[index], top / places[index]))
  return results


@pytest.mark.parametrize('second', ['common', 'other'])
def test_each_run_is_trained_once_and_all_are_on_host_0(tmp_path, trained, second):
  assert divide(tmp_path, 'common', second) == [1, 1], 'one run failed, on whichever host'
  runs = run_folder.runs(tiny.rows(), SEEDS, tmp_path / 'common')
  states = {str(one): one.state() for one in runs}
  assert states.pop('a-adam, seed 1') == run_folder.FAILED
  assert set(states.values()) == {run_folder.COMPLETE}
  assert runs[4].reason() == 'the loss is not finite'
  assert len(trained) == len(runs)
  assert {line.split(': ')[1] for line in trained if line.startswith('cache: forest')} == {
    f'forest, seed {seed}, None' for seed in SEEDS
  }
  assert any(line.endswith('a, seed 0, 3 x 2') for line in trained), 'half of the length'
  # Again: only what failed, and the trees are left as they are.
  trained.clear()
  divide(tmp_path, 'common', second)
  assert [line.split(': ')[1].split(', 3')[0] for line in trained] == ['a-adam, seed 1']


def test_hosts_with_other_images_are_refused_before_anything_is_trained(tmp_path, trained, monkeypatch):
  numbers = iter((1, 2))
  monkeypatch.setattr(images.Images, 'read', lambda *given: dataset_of(next(numbers)))
  results = divide(tmp_path, 'common', 'common')
  for result in results:
    assert str(result).startswith('the images of hosts 0 and 1 differ: fingerprint is')
  assert trained == []


def test_the_settings_of_all_hosts_are_compared_but_for_the_places_of_the_images():
  rows = tiny.rows()
  settings = divided.settings(rows)
  assert settings['seed of row a'] == 0
  assert not [key for key in settings if key.startswith('data.dir ')]
  assert set(divided.places(rows)) == {'data.dir', 'data.groups_csv', 'data.labels_csv'}
  json.dumps(settings)
