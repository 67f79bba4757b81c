"""Many folders judged at once: each gets its own rows, and the work grows with the images, not with folders too."""

from __future__ import annotations

import numpy as np
import pytest

from bloodcell_jax.stats import look_reference, unlike

ASPECTS = ('stain', 'stain', 'scale', 'sharpness')
SPEC = unlike.Spec(0.03)


def looks(num: int, seed: int, shift: float = 0.0) -> np.ndarray:
  return np.random.default_rng(seed).normal(size=(num, 4)) + shift


def reference(seed: int, shift: float = 0.0) -> look_reference.Reference:
  groups = np.arange(200).astype(str)
  return look_reference.fit(looks(200, seed, shift), np.arange(200) % 3, groups, ASPECTS, np.full(4, 0.01), 0)


REFERENCES = (reference(0), reference(1, 3.0))


class Name(str):
  """The name of a folder that counts how often it is compared."""

  num_compared = 0

  def __eq__(self, other: object) -> bool:
    Name.num_compared += 1
    return str.__eq__(self, other)

  __hash__ = str.__hash__


@pytest.mark.parametrize('references', [REFERENCES[:1], REFERENCES])
def test_each_folder_of_many_is_judged_as_it_is_by_itself(references):
  rng = np.random.default_rng(0)
  folder_N = rng.integers(0, 30, 600)
  # Foreign, at home, and of the second reference.
  shift_F = rng.choice([0.0, 3.0, 8.0], 30)
  look_ND, names = looks(600, 1) + shift_F[folder_N][:, None], [f'd{folder}' for folder in folder_N]
  judged = unlike.judge(references, look_ND, names, SPEC, False)
  assert [folder.name for folder in judged.folders] == list(dict.fromkeys(names))
  assert 0 < len(judged.foreign) < len(judged.folders)
  for folder in judged.folders:
    rows = [i for i, name in enumerate(names) if name == folder.name]
    alone = unlike.judge(references, look_ND[rows], [folder.name] * len(rows), SPEC, False)
    assert alone.folders == (folder,)
    assert alone.reason_N == judged.take(rows).reason_N
    np.testing.assert_array_equal(alone.is_unlike_N, judged.is_unlike_N[rows])


@pytest.mark.parametrize('shift', [0.0, 9.0], ids=['like', 'foreign'])
@pytest.mark.parametrize('size', [2, 5])
def test_what_is_compared_grows_with_the_images_alone(shift, size, monkeypatch):
  num_seen = 0

  def isin(values, *rest, **more):
    nonlocal num_seen
    num_seen += np.size(values)
    return real(values, *rest, **more)

  real = np.isin
  monkeypatch.setattr(np, 'isin', isin)

  def work(num_folders: int) -> int:
    nonlocal num_seen
    Name.num_compared = num_seen = 0
    # A new text for every image, as it comes from a path.
    names = [Name(f'd{i % num_folders}') for i in range(size * num_folders)]
    judged = unlike.judge(REFERENCES, looks(len(names), 2, shift), names, SPEC, False)
    assert bool(judged.foreign) == (shift > 0)
    return Name.num_compared + num_seen

  once, twice = work(100), work(200)
  assert once < 20 * size * 100
  assert twice < 2.2 * once + 50
