"""The report's section about an adaptation."""

from bloodcell_jax.reports import adaptation_section
from bloodcell_jax.runs import comparison


def test_no_change_has_no_minus_sign():
  # A difference of means that are equal but for rounding.
  nothing = {'difference': -1e-17, 'low': -0.2, 'high': -1e-9}
  assert adaptation_section._change(nothing) == '+0.000 [-0.200, +0.000]'
  assert adaptation_section._change({**nothing, 'difference': -0.001}) == '-0.001 [-0.200, +0.000]'
  entry = {**nothing, 'first': 0.9, 'second': 0.9, 'p_value': 1.0}
  said = comparison.line('test', {'accuracy': entry, 'num_groups': 9})
  assert said == 'test: accuracy 0.900 to 0.900: +0.000 [-0.200, +0.000], p 1.000 (9 groups)'
