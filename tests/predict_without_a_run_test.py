"""`predict` and the others without a run of one's own: the model in the box."""

from __future__ import annotations

import pytest
import starting

from bloodcell_jax.data.sources import embedded
from bloodcell_jax.inference import differential_count

SMEARS = embedded.Spec(num_train=3, num_test=0, num_copies=1, height=240, width=320, seed=3)


@pytest.fixture(scope='module')
def smears(tmp_path_factory):
  folder = tmp_path_factory.mktemp('images') / 'drawn'
  folder.mkdir()
  for smear in embedded.draw_all(SMEARS):
    (folder / smear.file.replace('/', '_')).write_bytes(smear.png)
  return folder


def test_predict_without_a_run_uses_the_model_in_the_box_and_withholds_what_is_no_blood(smears, tmp_path):
  code, out, err = starting.run('predict', smears, f'--to={tmp_path / "out"}', '--cells=one')
  assert code == 0, err
  first = out.splitlines()[0]
  assert first.startswith('the model in the box is used: ')
  assert 'Research use only' in first
  rows = starting.read_rows(tmp_path / 'out' / 'predictions.csv')
  assert [row['predicted'] for row in rows] == [differential_count.UNLIKE] * 12
  assert (tmp_path / 'out' / 'log.txt').exists()


def test_predict_with_neither_images_nor_a_run_asks_for_images():
  code, _, err = starting.run('predict')
  assert code == 2
  assert 'predict needs images' in err
