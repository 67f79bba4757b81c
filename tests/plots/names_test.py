"""Names of classes are drawn as they are: dollars in them make no formula."""

import numpy as np
import pytest
from matplotlib import rc_context

from bloodcell_jax.plots import distribution, figure, history

HOSTILE = 'B $\\frac{$ $x_{$'
COUNTS = {'train': {HOSTILE: (7, 5), 'A': (3, 2)}}
COLUMNS = {
  'epoch': [1, 2],
  'step': [5, 10],
  'stage': ['train'] * 2,
  'loss': [1.0, 0.001],
  'val_loss': [1.0, 2e-3],
  'accuracy': [0.5, 0.6],
  'val_accuracy': [0.5, 0.6],
  'learning_rate': [1e-3, 1e-5],
}


def texts(made):
  made.draw_without_rendering()
  return [
    t.get_text()
    for axis in made.axes
    for t in (*axis.get_xticklabels(which='both'), *axis.get_yticklabels(which='both'))
  ]


def test_a_name_with_dollars_is_drawn_and_no_tick_is_a_formula_unread():
  shown = texts(distribution.plot(COUNTS))
  assert any(HOSTILE.split()[0] in text for text in shown)
  shown += texts(history.plot(COLUMNS, 1, True, False))
  assert not [text for text in shown if 'mathdefault' in text], shown


@figure.styled
def _drawn(parse):
  made = figure.figure.Figure()
  with rc_context({'text.parse_math': parse}):
    made.text(0.5, 0.5, HOSTILE)
  made.draw_without_rendering()
  return np.asarray(1)


def test_without_the_setting_the_same_name_would_be_an_error():
  _drawn(False)
  with pytest.raises(ValueError, match='frac'):
    _drawn(True)
