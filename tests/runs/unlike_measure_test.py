"""Where several laboratories train a network, each has a reference of its own, if it has images enough."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bloodcell_jax.data.images import appearance
from bloodcell_jax.runs import unlike_measure
from bloodcell_jax.storage import box, unlike_file, workdir

NUM = len(appearance.ASPECTS)


@dataclasses.dataclass(frozen=True)
class Images:
  """What of a table is asked for."""

  group: np.ndarray
  label: np.ndarray
  class_names: tuple[str, ...] = ('A', 'B')

  def __len__(self) -> int:
    return len(self.label)


def fitted(num_of_each, num_known=None, content=True):
  """References of laboratories with so many images, of some of which the content is known."""
  laboratory_N = np.repeat(np.arange(len(num_of_each)), num_of_each)
  num = len(laboratory_N)
  table = Images(np.arange(num).astype(str), np.arange(num) % 2)
  look_ND = np.random.default_rng(0).normal(size=(num, NUM + content)) + 4 * laboratory_N[:, None]
  if num_known is not None:
    for number, known in enumerate(num_known):
      look_ND[np.flatnonzero(laboratory_N == number)[known:], -1] = np.nan
  return unlike_measure._references(look_ND, table, laboratory_N, 0)


def test_each_laboratory_has_a_reference_of_its_own():
  references = fitted((60, 90))
  assert len(references) == 2
  assert references[1].centre_D.min() > 3 > 1 > references[0].centre_D.max()
  assert len(fitted((60,))) == 1


@pytest.mark.parametrize(
  ('num_of_each', 'num_known', 'expected'),
  [((60, 9), None, 1), ((60, 90), (30, 9), 1), ((60, 90), (30, 30), 2), ((60, 90, 60), None, 3)],
)
def test_a_laboratory_with_too_few_images_is_taken_together_with_the_others(num_of_each, num_known, expected):
  references = fitted(num_of_each, num_known)
  assert len(references) == expected
  if expected == 1:
    assert len(references[0].held_out_N) == sum(num_of_each)


def test_a_measure_of_an_earlier_version_is_used_with_its_own_numbers():
  measure = unlike_file.read(workdir.Workdir(box.FOLDER))
  image_BHWC = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
  for version, num in appearance.NUM_NUMBERS.items():
    earlier = dataclasses.replace(measure, version=version, classes=None)
    assert unlike_measure.looks(earlier, image_BHWC, None).shape == (2, num)


def test_the_model_in_the_box_knows_its_two_laboratories_apart():
  measure = unlike_file.read(workdir.Workdir(box.FOLDER))
  assert measure is not None
  assert len(measure.references) == 2
