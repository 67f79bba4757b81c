"""A figure of merit is one row of one table: added there it appears everywhere, and older runs still open."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np
import pytest

from benchmarks import results
from bloodcell_jax import commands
from bloodcell_jax.base import types
from bloodcell_jax.commands import train
from bloodcell_jax.config import experiment
from bloodcell_jax.export import card, contract, program
from bloodcell_jax.inference import classifier
from bloodcell_jax.reports import report
from bloodcell_jax.runs import comparison, cross_validation
from bloodcell_jax.stats import bootstrap, intervals, metrics, spread
from bloodcell_jax.storage import ensemble_file, workdir
from bloodcell_jax.system import atomic
from bloodcell_jax.train import signals
from configs import default

pytestmark = pytest.mark.usefixtures('blank_figures')

CHANGES = {
  'data.embedded.num_train': 8, 'data.embedded.num_test': 3, 'data.embedded.num_copies': 2,
  'data.embedded.height': 48, 'data.embedded.width': 64, 'data.image_size': 32, 'data.pipeline': 'numpy',
  'data.cache': 'memory', 'data.validation_fraction': 0.5, 'model.name': 'cnn_svr', 'train.batch_size': 8,
  'train.epochs': 1, 'train.steps_per_epoch': 2, 'train.num_devices': 1, 'ensemble.method': 'average',
  'ensemble.members': 2, 'evaluate.splits': ('test',), 'evaluate.num_resamples': 100,
}  # fmt: skip


def kappa(s: metrics.Sums) -> np.ndarray:
  """Cohen's kappa of labels and predictions: 1 where they agree, 0 by chance, down to -1."""
  total = s.actual_K.sum(-1)
  agreed = s.right_K.sum(-1) / total
  chance = (s.actual_K * s.predicted_K).sum(-1) / total**2
  with np.errstate(invalid='ignore', divide='ignore'):
    return (agreed - chance) / (1 - chance)


KAPPA = metrics.Figure('kappa', 'Cohen kappa', -1, 1, True, True, True, kappa)


def trained_ensemble(path: pathlib.Path) -> workdir.Workdir:
  flat = {**experiment.flat(default.get_config()), **CHANGES}
  train.run(commands.Request(experiment.nest(flat), 'test', str(path), ()), signals.Stop())
  return workdir.Workdir(path)


@pytest.fixture(scope='module')
def plain(blank_figures, tmp_path_factory) -> workdir.Workdir:
  """An ensemble scored by a version that has no kappa."""
  return trained_ensemble(tmp_path_factory.mktemp('plain'))


def table(page: str, caption: str) -> str:
  start = page.index(f'<caption>{caption}</caption>')
  return page[start : page.index('</table>', start)]


def test_a_registered_figure_appears_everywhere(plain, tmp_path, monkeypatch, capsys):
  before = plain.report.read_text()
  assert 'kappa' not in table(before, 'figures of each split').lower(), 'negative control'
  monkeypatch.setattr(metrics, 'FIGURES', (*metrics.FIGURES, KAPPA))
  folder = trained_ensemble(tmp_path / 'run')
  one, two = (workdir.Workdir(ensemble_file.member(folder, k)) for k in (1, 2))
  assert 'kappa ' in capsys.readouterr().out
  assert set(folder.read_metrics()['test']['kappa']) == {'value', 'low', 'high'}
  assert 'kappa' in json.loads(folder.ensemble.read_text())['figures']['test'][0]
  page = folder.report.read_text()
  for caption in ('figures of each split', 'members on test'):
    assert 'kappa' in table(page, caption), caption
  exp = experiment.resolve(experiment.nest({**experiment.flat(default.get_config()), **CHANGES}))
  compared = comparison.write(one, two, exp)['test']
  assert set(compared['kappa']) == set(compared['accuracy'])
  assert 'kappa' in comparison.line('test', compared)
  folds = {name: spread.summarize([0.5, 0.75]) for name in metrics.names()}
  assert 'kappa 0.625' in cross_validation.line('test', folds)
  assert 'Cohen kappa' in results.section('configs/default.py', one)
  loaded = classifier.load(one, signals.Stop())
  built = contract.build(loaded, program.build(loaded), 'validation')
  values = card.values(one, loaded, built, {}, {})
  assert values['figures']['test']['kappa'] == one.read_metrics()['test']['kappa']
  assert 'Cohen kappa' in card.text(values, loaded, [])


def test_runs_that_lack_a_figure_open_everywhere(plain, monkeypatch):
  monkeypatch.setattr(metrics, 'FIGURES', (*metrics.FIGURES, KAPPA))
  report.write(plain)
  page = plain.report.read_text()
  assert 'Cohen kappa' in table(page, 'figures of each split')
  assert 'n/a' in table(page, 'figures of each split')
  one = workdir.Workdir(ensemble_file.member(plain, 1))
  assert '| n/a |' in results.section('configs/default.py', one)
  loaded = classifier.load(one, signals.Stop())
  built = contract.build(loaded, program.build(loaded), 'validation')
  assert '| n/a |' in card.text(card.values(one, loaded, built, {}, {}), loaded, [])


def test_a_run_of_which_a_known_figure_is_missing_opens(plain):
  entries = plain.read_metrics()
  for entry in entries.values():
    del entry['brier']
    for figures in entry['per_class'].values():
      del figures['roc_auc']
  atomic.write_json(plain.metrics, entries)
  report.write(plain)
  assert 'Brier score' in table(plain.report.read_text(), 'figures of each split')


def test_the_interval_of_a_figure_keeps_its_own_range(monkeypatch):
  generator = np.random.default_rng(0)
  label_N = np.arange(48, dtype=np.int32) % 4
  # Six groups, too few for resamples; most images are called by the class after their label.
  group_N = (np.arange(48) // 8).astype(str)
  called_N = (label_N + (generator.uniform(size=48) < 0.8)) % 4
  found = types.Predictions(np.eye(4)[called_N], label_N, group_N, np.arange(48).astype(str), tuple('ABCD'))
  spec = intervals.Spec(100, 0.95, 'bca', ())
  monkeypatch.setattr(metrics, 'FIGURES', (*metrics.FIGURES, KAPPA))
  entry = bootstrap.summary(found, spec, 0)['kappa']
  assert -1 <= entry['low'] < entry['value'] < 0
  # Negative control: with a range that begins at 0 the interval ends at the value.
  narrow = dataclasses.replace(KAPPA, low=0)
  monkeypatch.setattr(metrics, 'FIGURES', (*metrics.FIGURES[:-1], narrow))
  assert bootstrap.summary(found, spec, 0)['kappa']['low'] == entry['value']


def test_the_table_says_in_which_direction_each_figure_is_better():
  assert {f.name for f in metrics.FIGURES if not f.is_higher_better} == {'log_loss', 'brier', 'ece'}
  assert all(f.low < f.high for f in (*metrics.FIGURES, *metrics.PER_CLASS))
  assert len({f.name for f in metrics.FIGURES}) == len(metrics.FIGURES)
