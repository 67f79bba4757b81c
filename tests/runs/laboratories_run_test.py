"""A run of two laboratories says what it is worth in each."""

import shutil

import folder_of_cells
import numpy as np
import pytest
import starting

from bloodcell_jax.reports import report
from bloodcell_jax.storage import predictions_csv, workdir
from bloodcell_jax.system import atomic


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  top = tmp_path_factory.mktemp('laboratories')
  for seed, name in enumerate(('Bari', 'Lund')):
    folder_of_cells.write(top / 'images' / name, seed)
  code, _, err = starting.run(
    *folder_of_cells.flags(top / 'images', top / 'run'),
    '--config.data.source=laboratories',
    '--config.data.groups_csv=',
    '--config.train.draw=laboratories',
  )
  assert code == 0, err
  return workdir.Workdir(top / 'run')


def test_each_laboratory_has_its_figures(run):
  found = predictions_csv.read(run.predictions('test'))
  entries = run.read_metrics()['test']['by_laboratory']
  assert list(entries) == ['Bari', 'Lund']
  right_N = found.probs_NK.argmax(1) == found.label_N
  for name, entry in entries.items():
    inside_N = np.char.startswith(found.group_N, f'{name}/')
    assert entry['num_images'] == inside_N.sum() > 0
    assert entry['accuracy']['value'] == pytest.approx(right_N[inside_N].mean())
    assert entry['accuracy']['low'] <= entry['accuracy']['value'] <= entry['accuracy']['high']
    assert 0 <= entry['named']['value'] <= 1
  assert sum(entry['num_images'] for entry in entries.values()) == len(found)


def test_the_report_has_a_row_for_each(run):
  text = run.report.read_text()
  table = text[text.index('figures of each laboratory on test') :]
  table = table[: table.index('</table>')]
  assert '>Bari<' in table
  assert '>Lund<' in table
  # Negative control: no such rows in the table of the classes.
  classes = text[text.index('figures of each class on test') :]
  assert '>Bari<' not in classes[: classes.index('</table>')]


def test_pages_of_its_predictions_say_how_it_does_in_each(run):
  accuracy = {name: each['accuracy'] for name, each in run.read_metrics()['test']['by_laboratory'].items()}
  line = report.performance(run)
  for name, figure in accuracy.items():
    assert f'{name} {figure["value"]:.3f} [{figure["low"]:.3f}, {figure["high"]:.3f}] of ' in line
  # Negative control: a run of one laboratory has no such words.
  metrics = run.read_metrics()
  del metrics['test']['by_laboratory']
  assert 'by laboratory' in line
  other = workdir.Workdir(run.path.with_name('other'))
  shutil.copytree(run.path, other.path)
  atomic.write_json(other.metrics, metrics)
  assert 'by laboratory' not in report.performance(other)
