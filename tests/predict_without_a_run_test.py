"""`predict` and the others without a run of one's own: the model in the box."""

from __future__ import annotations

import json

import numpy as np
import pytest
import recoloured
import starting

from bloodcell_jax.base import tree
from bloodcell_jax.data.sources import embedded
from bloodcell_jax.inference import classifier, differential_count
from bloodcell_jax.storage import box, workdir
from bloodcell_jax.train import signals

SMEARS = embedded.Spec(num_train=3, num_test=0, num_copies=1, height=240, width=320, seed=3)


@pytest.fixture(scope='module')
def smears(tmp_path_factory):
  folder = tmp_path_factory.mktemp('images') / 'drawn'
  folder.mkdir()
  for smear in embedded.draw_all(SMEARS):
    (folder / smear.file.replace('/', '_')).write_bytes(smear.png)
  return folder


def test_predict_without_a_run_uses_the_model_in_the_box_and_withholds_what_is_no_blood(smears, tmp_path):
  code, out, err = starting.run('predict', smears, f'--to={tmp_path / "out"}', '--cells=one', inside=tmp_path)
  assert code == 0, err
  first = out.splitlines()[0]
  assert first.startswith('the model in the box is used: ')
  assert 'Research use only' in first
  rows = starting.read_rows(tmp_path / 'out' / 'predictions.csv')
  assert [row['predicted'] for row in rows] == [differential_count.UNLIKE] * 12
  assert (tmp_path / 'out' / 'log.txt').exists()


def test_results_are_not_written_among_images_where_nobody_would_look_for_them(smears, tmp_path):
  before = sorted(path.name for path in smears.iterdir())
  code, _, err = starting.run('predict', smears, f'--to={smears}', '--cells=one', inside=tmp_path)
  assert (code, err.count('\n')) == (2, 1)
  assert f'{smears}: holds images, such as {before[0]}; choose another folder with --to' in err
  assert sorted(path.name for path in smears.iterdir()) == before
  # As the advice says: a folder inside is another one.
  code, _, err = starting.run('predict', smears, f'--to={smears / "results"}', '--cells=one', inside=tmp_path)
  assert code == 0, err


def test_predict_with_neither_images_nor_a_run_asks_for_images(tmp_path):
  code, _, err = starting.run('predict', inside=tmp_path)
  assert code == 2
  assert 'predict needs images' in err


@pytest.mark.long
def test_the_box_is_adapted_without_its_images_and_the_run_is_one_without_images(tmp_path):
  other, labels, to = tmp_path / 'other', tmp_path / 'labels.csv', tmp_path / 'runs' / 'other'
  recoloured.labels(labels, recoloured.write(other, 8), 5)
  wanted = ('adapt', f'--data_dir={other}', f'--labels_csv={labels}', f'--to={to}')
  code, out, err = starting.run(*wanted, inside=tmp_path)
  assert code == 0, err
  assert (tmp_path / box.COPY).is_dir()
  assert out.startswith('the model in the box is used: ')
  assert not (to / 'images').exists()
  result = json.loads((to / 'adaptation.json').read_text())['result']
  assert result['labels'] == dict.fromkeys(('EOSINOPHIL', 'LYMPHOCYTE', 'MONOCYTE', 'NEUTROPHIL'), 5)
  before, after = (classifier.load(workdir.Workdir(path), signals.Stop()) for path in (box.FOLDER, to))
  pairs = {name: (tree.names(before.params)[name], leaf) for name, leaf in tree.names(after.params).items()}
  changed = {name for name, (one, other) in pairs.items() if not np.array_equal(one, other)}
  layer = after.job.experiment.model.network.output_layer
  assert changed == {f'{layer}/kernel', f'{layer}/bias'}
  # What becomes of the box's own images is said from their features.
  assert result['home']['test']['after']['accuracy']['value'] > 0.7
  # It predicts, and is adapted again; its own labels are not new to it.
  code, _, err = starting.run('predict', other, f'--workdir={to}', '--cells=one', '--heat_maps=false')
  assert code == 0, err
  rows = starting.read_rows(to / 'predict' / 'other' / 'predictions.csv')
  assert np.mean([row['predicted'] == differential_count.UNLIKE for row in rows]) < 0.2
  code, _, err = starting.run(*wanted[:3], f'--workdir={to}', f'--to={tmp_path / "again"}')
  assert (code, 'are images of the run itself' in err) == (2, True), err
  code, _, err = starting.run('evaluate', f'--workdir={to}')
  assert (code, err.count('\n')) == (2, 1)
  assert 'came without the images' in err
