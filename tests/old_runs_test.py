"""Runs made by an earlier version evaluate, predict, export and continue; tests/soak/old_runs.py compares bits."""

from __future__ import annotations

import json
import pathlib
import shutil
import zipfile

import numpy as np
import pytest
import starting
from golden import make_old_runs
from soak import old_runs

# Largest difference of a probability: processors round differently, and training steps amplify it.
PREDICTED, TRAINED = 1e-5, 1e-3
# Run in this order; {flags} are those that the run was started with.
COMMANDS = {
  'softmax': (
    ('train', '{flags}'),
    ('predict', '{images}'),
    ('export', '--format=safetensors'),
    ('evaluate',),
  ),
  'svr': (('predict', '{images}'), ('evaluate',)),
  'unfinished': (('train', '{flags}'),),
  'bagging': (('predict', '{images}'),),
}


@pytest.fixture(scope='module')
def archive(tmp_path_factory) -> pathlib.Path:
  """The content of the archive, never written to."""
  folder = tmp_path_factory.mktemp('archive')
  with zipfile.ZipFile(make_old_runs.ARCHIVE) as file:
    file.extractall(folder)
  return folder


@pytest.fixture(scope='module')
def used(archive, tmp_path_factory) -> tuple[pathlib.Path, dict[str, list[str]]]:
  """A copy of the runs after all commands, and by run what each command printed."""
  folder = tmp_path_factory.mktemp('used')
  with zipfile.ZipFile(make_old_runs.ARCHIVE) as file:
    file.extractall(folder)

  def use(name: str) -> list[str]:
    words = {
      '{flags}': make_old_runs.in_todays_words(make_old_runs.FLAGS[name]),
      '{images}': (folder / 'images',),
    }
    printed = []
    for command in COMMANDS[name]:
      arguments = [each for word in command for each in words.get(word, (word,))]
      code, out, err = starting.run(*arguments, f'--workdir={folder / name}', draws=name == 'softmax')
      assert code == 0, f'{name}, {command[0]}: {err}'
      printed.append(out)
    return printed

  return folder, {name: use(name) for name in COMMANDS}


def difference(expected: pathlib.Path, actual: pathlib.Path) -> float:
  """The largest difference of a probability; both files must list the same images in the same order."""
  rows = [starting.read_rows(path) for path in (expected, actual)]
  assert [row['file'] for row in rows[0]] == [row['file'] for row in rows[1]]
  assert rows[0]
  probs = [
    np.array([[float(row[key]) for key in row if key.startswith('prob_')] for row in each]) for each in rows
  ]
  assert probs[0].shape == (len(rows[0]), 4)
  return float(np.abs(probs[0] - probs[1]).max())


def history(path: pathlib.Path) -> np.ndarray:
  """Each epoch's number, step, losses, accuracies and rate."""
  keys = ('epoch', 'step', 'loss', 'accuracy', 'val_loss', 'val_accuracy', 'learning_rate')
  return np.array([[json.loads(line)[key] for key in keys] for line in path.read_text().splitlines()])


def test_a_finished_old_run_is_complete_and_its_checkpoints_stay(used, archive):
  folder, printed = used
  assert 'softmax: complete' in printed['softmax'][0]
  newest = sorted(path.name for path in (archive / 'softmax/checkpoints').iterdir())
  assert sorted(path.name for path in (folder / 'softmax/checkpoints').iterdir()) == newest
  # Negative control: an unfinished run is not called complete.
  assert 'complete' not in printed['unfinished'][0]


def test_a_finished_old_run_keeps_the_versions_and_the_date_of_its_training(used, archive):
  def read(root: pathlib.Path, name: str) -> dict:
    record = json.loads((root / name / 'environment.json').read_text())
    return {key: record[key] for key in ('date', 'packages', 'network')}

  assert read(used[0], 'softmax') == read(archive, 'softmax')
  # Negative control: a run that is trained further has those of the machine that ends it.
  assert read(used[0], 'unfinished')['date'] != read(archive, 'unfinished')['date']


@pytest.mark.parametrize('name', ['softmax', 'svr'])
def test_evaluating_an_old_run_gives_the_same_probabilities(used, archive, name):
  scored = used[0] / name / 'predictions/test.csv'
  assert difference(archive / name / 'predictions/test.csv', scored) < PREDICTED
  # Negative control: another network's.
  other = {'softmax': 'svr', 'svr': 'softmax'}[name]
  assert difference(archive / other / 'predictions/test.csv', scored) > 0.1


@pytest.mark.parametrize(('name', 'other'), [('softmax', 'svr'), ('svr', 'softmax'), ('bagging', 'softmax')])
def test_an_old_run_predicts_the_same_probabilities_for_images(used, archive, name, other):
  predicted = used[0] / name / 'predict/images/predictions.csv'
  assert difference(archive / 'expected' / name / 'predictions.csv', predicted) < PREDICTED
  # Negative control: another network's.
  assert difference(archive / 'expected' / other / 'predictions.csv', predicted) > 0.01


def test_an_old_run_is_exported_with_its_parity_check(used):
  folder, printed = used
  # The command compares the export with the run on the run's images, and writes nothing where they differ.
  assert 'top-1 agreement 100.0%' in printed['softmax'][2]
  assert (folder / 'softmax/export/model.safetensors').stat().st_size > 4 * 3000


def test_an_old_run_stopped_in_mid_epoch_continues_there_to_the_same_end(used, archive):
  folder, printed = used[0] / 'unfinished', used[1]['unfinished'][0]
  expected = archive / 'expected/unfinished'
  assert 'continuing after step 111 of 120' in printed
  assert difference(expected / 'predictions/test.csv', folder / 'predictions/test.csv') < TRAINED
  records = history(folder / 'history.jsonl')
  np.testing.assert_allclose(records, history(expected / 'history.jsonl'), atol=TRAINED)
  # Negative control: the last two epochs differ.
  assert np.abs(records[-1] - records[-2])[2:].max() > 0.01


@pytest.mark.slow
def test_an_old_ensemble_is_complete_and_evaluated_to_the_same_probabilities(archive, tmp_path):
  folder = shutil.copytree(archive / 'bagging', tmp_path / 'bagging')
  flags = make_old_runs.in_todays_words(make_old_runs.FLAGS['bagging'])
  for command in (('train', *flags), ('evaluate',)):
    for path in folder.glob('predictions/*.csv'):
      path.unlink()
    code, out, err = starting.run(*command, f'--workdir={folder}')
    assert code == 0, err
    assert ('complete' in out) == (command[0] == 'train')
    scored = folder / 'predictions/test.csv'
    assert difference(archive / 'bagging/predictions/test.csv', scored) < PREDICTED
    # Negative control: one member's.
    assert difference(archive / 'bagging/members/1/predictions/test.csv', scored) > 0.01


def test_the_comparison_of_bits_allows_another_temperature_and_no_other_network():
  old = [['a', 0.7, 0.2, 0.1], ['b', 0.05, 0.9, 0.05]]

  def powered(exponents):
    tempered_NK = np.array([row[1:] for row in old]) ** np.array(exponents)[:, None]
    return [
      [row[0], *new_K]
      for row, new_K in zip(old, tempered_NK / tempered_NK.sum(1, keepdims=True), strict=True)
    ]

  assert old_runs.is_equal(old, powered([1.3, 1.3]), True)
  # Negative controls.
  assert not old_runs.is_equal(old, powered([1.3, 1.3]), False)
  assert not old_runs.is_equal(old, powered([1.3, 1.31]), True)
  assert not old_runs.is_equal(old, [old[0], ['c', *old[1][1:]]], True)
