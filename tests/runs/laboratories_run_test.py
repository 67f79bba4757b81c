"""A run of two laboratories says what it is worth in each."""

import folder_of_cells
import numpy as np
import pytest
import starting

from bloodcell_jax.storage import predictions_csv, workdir


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
