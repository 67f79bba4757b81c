"""Mixup and CutMix: pairs of images of a batch blended or pasted, with their labels and weights."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from bloodcell_jax.base import rng, types


@dataclasses.dataclass(frozen=True)
class Spec:
  """The distributions of the mixing shares."""

  mixup_alpha: float  # of the beta distribution of the first image's share; 0 for no mixup
  # The same for CutMix; with both, each batch gets one of them at random, with equal odds.
  cutmix_alpha: float

  def __post_init__(self):
    for name in ('mixup_alpha', 'cutmix_alpha'):
      if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
        raise types.UserError(f'augment.{name} is {getattr(self, name)!r}; it must be 0 or more')

  @property
  def is_active(self) -> bool:
    """Whether images are mixed."""
    return self.mixup_alpha > 0 or self.cutmix_alpha > 0


@dataclasses.dataclass(frozen=True)
class Drawn:
  """The partners and shares of the images of one batch."""

  partner_B: np.ndarray  # index of the second image
  share_B: np.ndarray  # float32, of the first image, in [0, 1]
  # CutMix: top, left, bottom, right in pixels of the part pasted from the second image; None for mixup.
  box_B4: np.ndarray | None


def draw(spec: Spec, seed: int, step: int, batch_size: int, shape: tuple[int, ...]) -> Drawn:
  """The partners and shares of the batch of this step: a pure function of the arguments.

  Source: Zhang et al. 2018, "mixup: Beyond Empirical Risk Minimization"; Yun et al. 2019, "CutMix", section 3.2, whose
    boxes are clipped to the image and the shares corrected for it.

  Args:
    spec: the distributions.
    seed: of the run.
    step: of the training.
    batch_size: B.
    shape: (height, width, channels) of an image.
  """
  numbers = rng.generator(seed, 'mixing', step)
  partner_B = numbers.permutation(batch_size)
  cut = spec.cutmix_alpha > 0 and (spec.mixup_alpha == 0 or numbers.random() < 0.5)
  alpha = spec.cutmix_alpha if cut else spec.mixup_alpha
  share_B = numbers.beta(alpha, alpha, batch_size) if alpha else np.ones(batch_size)
  box_B4 = None
  if cut:
    size_2 = np.array(shape[:2])
    side_B2 = np.sqrt(1 - share_B)[:, None] * size_2
    middle_B2 = numbers.random((batch_size, 2)) * size_2
    corners = [np.clip(np.round(middle_B2 + sign * side_B2 / 2), 0, size_2) for sign in (-1, 1)]
    box_B4 = np.concatenate(corners, 1).astype(np.int64)
    share_B = 1 - np.prod(corners[1] - corners[0], 1) / np.prod(size_2)
  return Drawn(partner_B, share_B.astype(np.float32), box_B4)


def apply(drawn: Drawn, batch: types.Batch) -> types.Batch:
  """The mixed batch.

  **Guarantees**: a row's loss is share x weight of the first image x its loss + (1 - share) x that of the second, so
  that class weights keep their meaning; rows of `target_BK` sum to 1.
  """
  share_B, partner_B = drawn.share_B, drawn.partner_B
  image_BHWC = np.asarray(batch.image_BHWC)
  other_BHWC = image_BHWC[partner_B]
  if drawn.box_B4 is None:
    share = share_B[:, None, None, None]
    mixed_BHWC = share * image_BHWC + (1 - share) * other_BHWC
  else:
    mixed_BHWC = image_BHWC.copy()
    for mixed_HWC, other_HWC, (top, left, bottom, right) in zip(
      mixed_BHWC, other_BHWC, drawn.box_B4, strict=True
    ):
      mixed_HWC[top:bottom, left:right] = other_HWC[top:bottom, left:right]
  weight_B, target_BK = np.asarray(batch.weight_B), np.asarray(batch.target_BK)
  first_B, second_B = share_B * weight_B, (1 - share_B) * weight_B[partner_B]
  sum_B = first_B + second_B
  mixed_BK = first_B[:, None] * target_BK + second_B[:, None] * target_BK[partner_B]
  # A row of weight 0 has no loss, but its target must still sum to 1.
  mixed_BK = np.where(sum_B[:, None] > 0, mixed_BK / np.where(sum_B > 0, sum_B, 1)[:, None], target_BK)
  return dataclasses.replace(batch, image_BHWC=mixed_BHWC, target_BK=mixed_BK, weight_B=sum_B)
