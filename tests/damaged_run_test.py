"""A run's files cut short, emptied, flipped in one bit or removed: read as they were, written anew, or named."""

from __future__ import annotations

import errno
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import damaging
import jax
import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data.augmentation import standardize
from bloodcell_jax.data.images import feature_cache
from bloodcell_jax.ensembles import combination
from bloodcell_jax.reports import review_images
from bloodcell_jax.runs import scoring
from bloodcell_jax.stats import calibration, conformal
from bloodcell_jax.storage import calibration_file, ensemble_file, journal, predictions_csv, workdir
from bloodcell_jax.system import atomic
from bloodcell_jax.train import history
from configs import default

CLASSES = ('A', 'B', 'C')
MAPS = np.random.default_rng(0).standard_normal((6, 2, 2, 8)).astype(np.float32)


def made() -> types.Predictions:
  probs_NK = np.random.default_rng(0).dirichlet([0.5] * 3, 40)
  names = np.array([f'{i}.png' for i in range(40)])
  return types.Predictions(probs_NK, np.arange(40, dtype=np.int32) % 3, names, names, CLASSES)


def maps(folder: pathlib.Path) -> np.ndarray:
  return np.array(
    feature_cache.read_or_build(
      folder / 'cache', 'block1', MAPS.shape, 'float32', lambda rows: MAPS[rows], lambda done, total: None
    )
  )


def known(folder: pathlib.Path) -> dict[str, list[float]]:
  found = journal.Journal(folder / 'journal.jsonl', 'net', CLASSES).known
  return {name: probs_K.tolist() for name, probs_K in found.items()}


# What is read of each file, as something that can be compared.
READERS: dict[str, Callable[[pathlib.Path], Any]] = {
  'config.json': lambda folder: workdir.Workdir(folder).read_config(),
  'environment.json': lambda folder: workdir.Workdir(folder).read_environment(),
  'metrics.json': lambda folder: workdir.Workdir(folder).read_metrics(),
  'history.jsonl': lambda folder: history.read(folder / 'history.jsonl'),
  'calibration.json': lambda folder: calibration_file.read(workdir.Workdir(folder)),
  'statistics.npz': lambda folder: standardize.read(folder / 'statistics.npz').mean_C.tolist(),
  'predictions/test.csv': lambda folder: predictions_csv.read(
    folder / 'predictions' / 'test.csv'
  ).probs_NK.tolist(),
  'review/test.json': lambda folder: review_images.read(folder / 'review' / 'test.json'),
  'ensemble.json': lambda folder: ensemble_file.read(workdir.Workdir(folder)),
  'combination.npz': lambda folder: (
    ensemble_file.read_combination(workdir.Workdir(folder)).arrays['weight_M'].tolist()
  ),
  'journal.jsonl': known,
  'cache/block1.npy': lambda folder: maps(folder).tolist(),
  'cache/block1.json': lambda folder: maps(folder).tolist(),
}
# Read as nothing where they are removed, which whoever reads them tells or makes again.
MAY_BE_MISSING = {'metrics.json': {}, 'review/test.json': [], 'journal.jsonl': {}, 'history.jsonl': None}


def _refuse(*given: object, **more: object) -> None:
  raise OSError(errno.ENOTSUP, 'no attributes')


@pytest.fixture(scope='module', params=['attributes', 'no attributes'])
def whole(request, tmp_path_factory) -> Iterator[pathlib.Path]:
  """A run, on a file system that keeps attributes of files and on one that does not."""
  with pytest.MonkeyPatch.context() as patch:
    if request.param == 'no attributes':
      patch.setattr(os, 'setxattr', _refuse, raising=False)
      patch.setattr(os, 'getxattr', _refuse, raising=False)
    yield made_run(tmp_path_factory)


def made_run(tmp_path_factory) -> pathlib.Path:
  folder = workdir.Workdir(tmp_path_factory.mktemp('whole') / 'run')
  folder.write_config(experiment.flat(default.get_config()))
  folder.write_environment(jax.devices()[:1], {'fingerprint': 'abc', 'class_names': CLASSES}, {})
  atomic.write_json(folder.metrics, {'test': {'accuracy': {'value': 0.5125}, 'checkpoint': {'epochs': 3}}})
  history.write(folder.history, [history.Record(1, 5, 'train', 1.5, 0.5, 1.25, 0.5, 0.1, 1.0, 1.0, 0.0)])
  rule = calibration.Calibration(1.25, 0.05, 0.625, conformal.Conformal('lac', 0.1, 0.875), 10, 5)
  calibration_file.write(folder, rule, None)
  statistics = standardize.Statistics(1.0, np.array([0.25, 0.5, 0.75]), np.ones(3), None)
  standardize.write(folder.statistics, statistics)
  predictions_csv.write(folder.predictions('test'), made(), None)
  item = review_images.Item(review_images.MISTAKE, 'a.png', 'a', 'A', 'B', 0.75, 'anBlZw==')
  review_images.write(folder.review('test'), [item, item])
  ensemble_file.write(
    folder, {'members': ['1', '2'], 'combine': 'weighted'}, combination.weighted(np.array([0.25, 0.75]))
  )
  journal.Journal(folder.path / 'journal.jsonl', 'net', CLASSES).add(
    [f'{i:016x}' for i in range(40)], made().probs_NK, None
  )
  maps(folder.path)
  return folder.path


def attempt(read: Callable[[pathlib.Path], Any], folder: pathlib.Path) -> tuple[Any, str | None]:
  """What was read, or else what was said."""
  try:
    return read(folder), None
  except (types.UserError, FileNotFoundError) as error:
    return None, str(error)


@pytest.mark.parametrize('kind', damaging.KINDS)
@pytest.mark.parametrize('name', READERS)
def test_a_damaged_file_is_read_as_it_was_made_anew_or_named(name, kind, whole, tmp_path):
  folder = tmp_path / 'run'
  shutil.copytree(whole, folder)
  before = READERS[name](folder)
  damaging.KINDS[kind](folder / name)
  after, said = attempt(READERS[name], folder)
  if said is not None:
    assert pathlib.Path(name).name in said
    assert '\n' not in said
    return
  if name == 'journal.jsonl':
    # What is lost is predicted again; what is there is what was predicted.
    assert after.items() <= before.items()
  elif kind == 'removed' and name in MAY_BE_MISSING:
    assert after == MAY_BE_MISSING[name]
  else:
    assert after == before


def test_the_comparison_would_see_a_digit_that_nobody_guards(whole, tmp_path):
  shutil.copytree(whole, tmp_path / 'run')
  path = tmp_path / 'run' / 'metrics.json'
  text = path.read_text().replace('0.5125', '0.5135')
  # A new file, which no sum goes with.
  path.unlink()
  path.with_name('.metrics.json.sha256').unlink(missing_ok=True)
  path.write_text(text)
  folder = workdir.Workdir(tmp_path / 'run')
  assert folder.read_metrics() != workdir.Workdir(whole).read_metrics()


def test_a_split_with_a_missing_or_damaged_file_is_scored_again(whole, tmp_path):
  folder = workdir.Workdir(tmp_path / 'run')
  shutil.copytree(whole, folder.path)
  assert scoring.origins(folder) == {}, 'no groups/test.csv yet'
  atomic.write_text(folder.groups('test'), 'group\n')
  assert scoring.origins(folder)['test']['checkpoint'] == {'epochs': 3}
  damaging.cut(folder.calibration)
  assert scoring.origins(folder) == {}


def test_a_kill_between_a_file_and_its_sum_leaves_it_sound(tmp_path, monkeypatch):
  for name in ('setxattr', 'getxattr'):
    monkeypatch.setattr(os, name, _refuse, raising=False)
  path = tmp_path / 'a.json'
  atomic.write_text(path, 'first')
  replace = os.replace

  def killed(source: str, to: pathlib.Path) -> None:
    if pathlib.Path(to) == path:
      raise KeyboardInterrupt
    replace(source, to)

  for new in ('second', 'third'):
    monkeypatch.setattr(os, 'replace', killed)
    with pytest.raises(KeyboardInterrupt):
      atomic.write_text(path, new)
    assert atomic.read_text(path) == 'first'
  monkeypatch.setattr(os, 'replace', replace)
  atomic.write_text(path, 'fourth')
  assert atomic.read_text(path) == 'fourth'
  path.write_text('fifth')
  with pytest.raises(ValueError, match='changed since it was written'):
    atomic.read_text(path)


def test_a_damaged_config_is_restored_as_the_message_says(whole, tmp_path):
  folder = workdir.Workdir(tmp_path / 'run')
  shutil.copytree(whole, folder.path)
  copy = tmp_path / 'copy.json'
  copy.write_text(folder.config.read_text().replace('"seed": 0', '"seed": 7'))
  damaging.cut(folder.config)
  with pytest.raises(types.UserError, match=r'move it.* away, then restore it from a copy') as raised:
    folder.read_config()
  # Copied onto the damaged file, as `cp` does, the copy keeps the sum of what was there: hence the first step.
  folder.config.write_bytes(copy.read_bytes())
  with pytest.raises(types.UserError, match='changed since it was written'):
    folder.read_config()
  named = atomic.sum_file(folder.config)
  assert named.exists() == (named.name in str(raised.value))
  for path in (folder.config, named):
    path.unlink(missing_ok=True)
  folder.config.write_bytes(copy.read_bytes())
  assert folder.read_config()['seed'] == 7
