"""A caller who follows the steps of `unlike.json` finds the images that the run finds."""

from __future__ import annotations

import json
import types

import numpy as np
import pytest

from bloodcell_jax.data.images import appearance
from bloodcell_jax.export import unlike_json
from bloodcell_jax.stats import content, look_reference, unlike

NUM = len(appearance.NAMES)
SHARE = 0.05


@pytest.fixture(scope='module')
def reference():
  rng = np.random.default_rng(0)
  look_ND, groups = rng.normal(size=(200, NUM)), np.arange(200).astype(str)
  return tuple(
    look_reference.fit(
      look_ND + shift, np.arange(200) % 2, groups, appearance.ASPECTS, np.array(appearance.LEAST_SPREAD), 0
    )
    for shift in (0, 6)
  )


def loaded(reference, classes=None):
  about = {'version': appearance.VERSION, 'references': reference, 'classes': classes}
  measure = None if reference is None else types.SimpleNamespace(**about)
  made = types.SimpleNamespace(experiment=types.SimpleNamespace(unlike=unlike.Spec(SHARE)))
  return types.SimpleNamespace(measure=measure, job=made)


def follow(known, look_ND):
  """The steps, as a caller without this package takes them: which images are unlike, and the folder's distances."""
  each = [with_one(known, one, look_ND) for one in known['references']]
  largest_RN = np.stack([largest_N for largest_N, _ in each])
  nearest_N = largest_RN.argmin(0)
  share_N = np.array(
    [
      (np.array(known['references'][at]['held_out']) < largest_RN[at, i]).mean()
      for i, at in enumerate(nearest_N)
    ]
  )
  return share_N > 1 - known['unlike_share'], [distance for _, distance in each]


def with_one(known, one, look_ND):
  z_ND = (look_ND - np.array(one['centre'])) / np.array(one['spread'])
  z_ND = np.clip(z_ND, -8, 8) - np.array(one['mean'])
  covariance_DD = np.array(one['covariance'])
  columns = []
  for aspect, ordinary in one['ordinary'].items():
    at = [i for i, each in enumerate(known['aspects']) if each == aspect]
    inverse = np.linalg.inv(covariance_DD[np.ix_(at, at)])
    columns.append([np.sqrt(z[at] @ inverse @ z[at] / len(at)) / ordinary for z in z_ND])
  mean_D, num = z_ND.mean(0), len(known['numbers'])
  square = mean_D @ np.linalg.inv(covariance_DD) @ mean_D - 1.5 * num / len(look_ND)
  return np.max(columns, 0), np.sqrt(max(0, square))


def test_the_steps_give_what_the_run_says(reference):
  known = json.loads(json.dumps(unlike_json.values(loaded(reference))))
  assert '-8 to 8' in ' '.join(known['steps'])
  assert len(known['references']) == 2
  limits = [one['folder_limit'] for one in known['references']]
  # The second laboratory lies at 6.
  for shift, expected in ((0, False), (6, False), (1.5, True), (3, True)):
    look_ND = np.random.default_rng(1).normal(size=(60, NUM)) + shift
    judged = unlike.judge(reference, look_ND, ['x'] * 60, unlike.Spec(SHARE), False)
    is_unlike_N, distances = follow(known, look_ND)
    assert min(distances) == pytest.approx(judged.folders[0].distance)
    assert all(d > limit for d, limit in zip(distances, limits, strict=True)) == expected
    assert bool(judged.foreign) == expected
    alone_N = judged.unlike_N > 1 - SHARE
    # The run counts the image itself among the held out ones.
    assert (is_unlike_N != alone_N).mean() < 0.03


def test_what_is_not_carried_is_said(reference):
  assert 'content' not in unlike_json.sentence(loaded(reference))
  classes = content.fit(np.random.default_rng(0).normal(size=(40, 4)), np.arange(40) % 2)
  assert 'content from the classes' in unlike_json.sentence(loaded(reference, classes))
  assert unlike_json.values(loaded(None)) is None
  assert 'has no measure of unlike images; evaluate it' in unlike_json.sentence(loaded(None))
