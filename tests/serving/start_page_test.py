"""The page that `serve` opens: the key beside each class is the one to press."""

import types

from bloodcell_jax.inference import review_page
from bloodcell_jax.serving import limits, start_page

LIMITS = limits.Limits(500, 10**7, 10**9, 10**8, 60, 20)


def palette(num_classes: int) -> str:
  names = tuple(f'CLASS_{k}' for k in range(num_classes))
  analysis = types.SimpleNamespace(class_names=names, name='run', confidence=0.95, notes=[])
  return start_page.render(analysis, LIMITS, 'token').split('id="palette"')[1]


def test_a_key_that_needs_shift_is_shown_with_shift():
  key = review_page.keys([f'CLASS_{k}' for k in range(40)])[39]
  assert key.isupper()
  assert f'<kbd>Shift {key.lower()}</kbd> CLASS_39<' in palette(40)


def test_no_other_key_is_shown_with_shift():
  shown = palette(12)
  assert 'Shift' not in shown
  assert '<kbd>1</kbd> CLASS_0<' in shown
  assert '<kbd>Enter</kbd> Agree<' in shown
