"""A sample of rows is spread evenly over all of them."""

import numpy as np
import pytest

from bloodcell_jax.base import evenly_spaced


@pytest.mark.parametrize('num', [2, 17, 400, 401, 9_957])
@pytest.mark.parametrize('most', [2, 16, 400])
def test_as_many_rows_as_asked_for_are_spread_from_the_first_to_the_last(num, most):
  rows = evenly_spaced.rows(num, most)
  assert len(rows) == min(num, most)
  assert rows[0] == 0
  assert rows[-1] == num - 1
  gap = np.diff(rows)
  assert gap.min() >= 1
  assert gap.max() - gap.min() <= 1


def test_of_no_rows_there_is_none():
  assert evenly_spaced.rows(0, 16).tolist() == []
