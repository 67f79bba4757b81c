"""The names of the pictures with boxes: each its own, found without a look at all earlier ones."""

from __future__ import annotations

import sys
from typing import Any

from bloodcell_jax.inference import overlays


def test_no_two_pictures_have_one_name_even_where_capitals_are_small_letters():
  files = ['A.png', 'a.tif', 'b/a.png', 'a_2f.png', 'x' * 200 + '.png', '*.png']
  digests = [f'{i}f' for i in range(len(files))]
  names = overlays.file_names(files, digests)
  assert names[:4] == ['A.jpg', 'a_1f.jpg', 'b_a.jpg', 'a_2f.jpg']
  assert names[5] == '_5f.jpg'
  assert len({name.lower() for name in names}) == len(names)


def test_each_name_is_lowered_a_few_times_however_many_there_are():
  num_lowered = 0

  def count(frame: Any, event: str, called: Any) -> None:
    nonlocal num_lowered
    num_lowered += event == 'c_call' and called.__name__ == 'lower'

  files = [f'{i:04}.png' for i in range(300)]
  before = sys.getprofile()
  sys.setprofile(count)
  try:
    names = overlays.file_names(files, ['0f'] * 300)
  finally:
    sys.setprofile(before)
  assert names == [f'{i:04}.jpg' for i in range(300)]
  assert 300 <= num_lowered <= 900
