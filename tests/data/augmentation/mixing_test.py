"""Mixup and cutmix: images, labels and weights go together."""

from __future__ import annotations

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.data.augmentation import mixing

NUM, CLASSES, SHAPE = 16, 4, (10, 14, 3)
MIXUP, CUTMIX = mixing.Spec(0.4, 0.0), mixing.Spec(0.0, 1.0)


def batch(seed: int = 0) -> types.Batch:
  rng = np.random.default_rng(seed)
  return types.Batch(
    rng.random((NUM, *SHAPE), np.float32),
    np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, NUM)],
    rng.uniform(0.5, 2, NUM).astype(np.float32),
    np.arange(NUM, dtype=np.int32),
  )


def loss(probs_BK: np.ndarray, original: types.Batch) -> np.ndarray:
  return -original.weight_B * (original.target_BK * np.log(probs_BK)).sum(1)


@pytest.mark.parametrize('spec', [MIXUP, CUTMIX], ids=['mixup', 'cutmix'])
def test_a_mixture_depends_on_seed_and_step_alone(spec):
  def mixed(seed, step):
    return mixing.apply(mixing.draw(spec, seed, step, NUM, SHAPE), batch())

  again = mixed(3, 7)
  for name in ('image_BHWC', 'target_BK', 'weight_B', 'position_B'):
    np.testing.assert_array_equal(getattr(mixed(3, 7), name), getattr(again, name))
    assert getattr(again, name).dtype == getattr(batch(), name).dtype
  assert (mixed(3, 8).image_BHWC != again.image_BHWC).any()
  assert (mixed(4, 7).image_BHWC != again.image_BHWC).any()
  assert (again.image_BHWC != batch().image_BHWC).any()


@pytest.mark.parametrize('spec', [MIXUP, CUTMIX], ids=['mixup', 'cutmix'])
def test_the_loss_of_a_mixed_row_is_the_mixture_of_both_losses(spec):
  original = batch()
  drawn = mixing.draw(spec, 0, 1, NUM, SHAPE)
  mixed = mixing.apply(drawn, original)
  probs_BK = np.random.default_rng(1).dirichlet(np.ones(CLASSES), NUM)
  first = loss(probs_BK, original)
  second = loss(
    probs_BK,
    types.Batch(
      original.image_BHWC,
      original.target_BK[drawn.partner_B],
      original.weight_B[drawn.partner_B],
      original.position_B,
    ),
  )
  np.testing.assert_allclose(
    loss(probs_BK, mixed), drawn.share_B * first + (1 - drawn.share_B) * second, rtol=1e-5
  )
  np.testing.assert_allclose(mixed.target_BK.sum(1), 1, rtol=1e-5)
  assert np.abs(loss(probs_BK, mixed) - first).max() > 1e-2


def test_mixup_is_the_weighted_mean_of_two_images():
  original, drawn = batch(), mixing.draw(MIXUP, 0, 1, NUM, SHAPE)
  share = drawn.share_B[:, None, None, None]
  expected = share * original.image_BHWC + (1 - share) * original.image_BHWC[drawn.partner_B]
  np.testing.assert_allclose(mixing.apply(drawn, original).image_BHWC, expected, atol=1e-6)
  assert sorted(drawn.partner_B) == list(range(NUM))


def test_cutmix_shows_the_second_image_on_just_its_share():
  original, drawn = batch(), mixing.draw(CUTMIX, 0, 1, NUM, SHAPE)
  mixed = mixing.apply(drawn, original).image_BHWC
  for i in range(NUM):
    other = original.image_BHWC[drawn.partner_B[i]]
    from_first = (mixed[i] == original.image_BHWC[i]).all(-1)
    from_second = (mixed[i] == other).all(-1)
    assert (from_first | from_second).all()
    if drawn.partner_B[i] != i:
      assert from_second.mean() == pytest.approx(1 - drawn.share_B[i], abs=1e-6)
      top, left, bottom, right = drawn.box_B4[i]
      assert from_second[top:bottom, left:right].all()


def test_with_both_a_batch_gets_one_of_them():
  spec = mixing.Spec(0.4, 1.0)
  cut = np.array([mixing.draw(spec, 0, step, NUM, SHAPE).box_B4 is not None for step in range(400)])
  assert abs(cut.mean() - 0.5) < 5 * 0.5 / np.sqrt(400)


def test_rows_without_weight_stay_without():
  original = batch()
  original.weight_B[:] = 0
  mixed = mixing.apply(mixing.draw(MIXUP, 0, 0, NUM, SHAPE), original)
  assert (mixed.weight_B == 0).all()
  np.testing.assert_array_equal(mixed.target_BK, original.target_BK)


def test_switched_off_it_gives_the_batch():
  off = mixing.Spec(0.0, 0.0)
  assert not off.is_active
  assert MIXUP.is_active
  assert CUTMIX.is_active
  mixed = mixing.apply(mixing.draw(off, 0, 0, NUM, SHAPE), batch())
  np.testing.assert_array_equal(mixed.image_BHWC, batch().image_BHWC)
  np.testing.assert_array_equal(mixed.target_BK, batch().target_BK)


@pytest.mark.parametrize('name', ['mixup_alpha', 'cutmix_alpha'])
@pytest.mark.parametrize('value', [-0.1, float('nan'), float('inf')])
def test_a_bad_setting_gets_one_line_with_its_key(name, value):
  with pytest.raises(types.UserError, match=rf'^augment\.{name} is [^\n]+$'):
    mixing.Spec(**{'mixup_alpha': 0.0, 'cutmix_alpha': 0.0, name: value})
