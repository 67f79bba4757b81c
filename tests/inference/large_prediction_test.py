"""Photographs of too many pixels: `predict` names its flag, and with that they are predicted, and nothing again."""

import json
import re

import numpy as np
import starting
from PIL import Image

from bloodcell_jax.data.images import rgb
from bloodcell_jax.inference import megapixels


def test_with_the_flag_that_is_named_the_photograph_is_predicted_too(tmp_path):
  (folder := tmp_path / 'slides').mkdir()
  for name, side in (('small', 300), ('wide', 1200)):
    Image.fromarray(np.full((side, side, 3), 230, np.uint8)).save(folder / f'{name}.png')
  command = ('predict', folder, f'--to={tmp_path / "out"}', '--cells=one', '--view=full', '--noheat_maps')
  code, out, err = starting.run(*command, '--most_megapixels=1', inside=tmp_path)
  assert code == 0, err
  problem = (
    'wide.png: has 1200x1200 pixels, more than --most_megapixels=1 allows; start predict with --most_megapixels=2, '
    'or make the photograph smaller'
  )
  assert f'left out: {problem}' in out
  assert json.loads((tmp_path / 'out' / 'predict.json').read_text())['problems'] == [problem]
  assert [row['file'] for row in starting.read_rows(tmp_path / 'out' / 'predictions.csv')] == ['small.png']
  advice = re.search(r'start predict with (--most_megapixels=\d+)', out)
  assert advice
  code, out, err = starting.run(*command, advice[1], inside=tmp_path)
  assert code == 0, err
  assert '2 files; 1 cell predicted already' in out, 'the small one is not predicted again'
  rows = starting.read_rows(tmp_path / 'out' / 'predictions.csv')
  assert [row['file'] for row in rows] == ['small.png', 'wide.png']


def test_a_limit_below_0_is_refused(tmp_path):
  code, _, err = starting.run('predict', tmp_path, '--most_megapixels=-1', inside=tmp_path)
  assert (code, err.count('\n')) == (2, 1)
  assert 'most_megapixels is -1; it must be 0 or more' in err


def test_a_photograph_that_no_limit_admits_is_to_be_made_smaller():
  error = rgb.TooLarge('has too many pixels', 'more than data.max_pixels=1 or Pillow allows', 0)
  assert (
    megapixels.refusal(error, 10**8, 'predict')
    == 'has too many pixels to be read; make the photograph smaller'
  )
