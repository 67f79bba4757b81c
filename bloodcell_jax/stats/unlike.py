"""How unlike the training an image looks, and whether a folder as a whole is another laboratory's material.

A look is a row of numbers, each of an aspect: of the image's stain, the scale of its cell, its sharpness, what the
network's features say of its content. Everything here is fitted on looks of images like those that a run was trained
on, and judges others. One image is judged by its distance from these; a folder by the mean of its looks, because many
images that are shifted alike are stronger evidence than each of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import rng, types

# The aspect of what the network's features say: a number that is the larger, the less an image shows a known class.
CONTENT = 'content'
# What stands in place of the class of an image that is withheld.
WITHHELD = 'unclassified (unlike)'
# Fewest groups that a reference is fitted on: with fewer, the spread of what is usual is not known.
LEAST_GROUPS = 10
# Fewest images that are judged as a folder.
LEAST_IMAGES = 5
# A folder is foreign where more than this share of its images are unlike, each judged by itself.
MOST_UNLIKE = 0.25
# Least distance at which a folder is foreign, in standard deviations between images of the training. At 2.5 no
# threshold on the best combination of the numbers separates the two with fewer than 11 % errors.
LEAST_DISTANCE = 2.5

# Standardized numbers are cut here: a single wild number, as where no nucleus was found, must not decide alone.
_FARTHEST = 8.0
_FOLDS = 5
# Share of the identity in a covariance, so that no direction in which the training hardly varies decides alone.
_SHRINKAGE = 0.1
# The folders of one class drawn from the training, whose distances set the limit: number a class, and their sizes.
_DRAWS, _DRAW_SIZES = 100, (5, 20)
# Quantile of an aspect's distances by which it is divided, so that aspects compare.
_ORDINARY = 0.99


@dataclasses.dataclass(frozen=True)
class Spec:
  """How many images are withheld."""

  unlike_share: float  # in [0, 0.5]: of images like the training's, the share that may be withheld

  def __post_init__(self):
    if not 0 <= self.unlike_share <= 0.5:
      raise types.UserError(f'evaluate.unlike_share is {self.unlike_share}; it must lie in [0, 0.5]')


@dataclasses.dataclass(frozen=True)
class Reference:
  """What images of the training look like."""

  aspects: tuple[str, ...]  # D: of each number
  centre_D: np.ndarray  # median
  spread_D: np.ndarray  # standard deviation, robust
  mean_D: np.ndarray  # of the standardized numbers
  covariance_DD: (
    np.ndarray
  )  # of the standardized numbers, shrunk; 0 between aspects fitted on different images
  ordinary_A: np.ndarray  # by aspect, the distance that _ORDINARY of the held-out images do not exceed
  held_out_N: (
    np.ndarray
  )  # ascending: distances of held-out images, in units of ordinary_A, the largest aspect
  folder_aspects: tuple[
    str, ...
  ]  # those known of every image it was fitted on; a folder's distance is in these
  folder_limit: float  # distance of a folder's mean above which it is foreign


@dataclasses.dataclass(frozen=True)
class Folder:
  """A folder judged as a whole."""

  name: str
  num_images: int
  foreign: tuple[
    str, ...
  ]  # aspects in which it is unlike the training, the strongest first; () if it is like it
  distance: float | None  # of its mean look, in standard deviations; None for fewer than LEAST_IMAGES


@dataclasses.dataclass(frozen=True)
class Judgement:
  """How unlike the training some images are."""

  unlike_N: np.ndarray  # in [0, 1]: the share of images like the training's that are less unlike
  is_unlike_N: np.ndarray  # bool: by themselves, or in a foreign folder
  reason_N: tuple[str, ...]  # aspects that say so; '' for images that are not unlike
  folders: tuple[Folder, ...]
  keep: bool  # whether unlike images are named all the same

  @property
  def withheld_N(self) -> np.ndarray:
    """[N] True for images whose class is not named."""
    return self.is_unlike_N & (not self.keep)

  def take(self, rows: Sequence[int]) -> Judgement:
    """The judgement of these images, and of the same folders."""
    return dataclasses.replace(
      self,
      unlike_N=self.unlike_N[list(rows)],
      is_unlike_N=self.is_unlike_N[list(rows)],
      reason_N=tuple(self.reason_N[row] for row in rows),
    )

  @property
  def foreign(self) -> tuple[Folder, ...]:
    """The folders that are not of the training's laboratory."""
    return tuple(folder for folder in self.folders if folder.foreign)


def names(aspects: Sequence[str]) -> tuple[str, ...]:
  """The aspects, each once, in order.

  Example:
    >>> names(('stain', 'stain', 'scale'))
    ('stain', 'scale')
  """
  return tuple(dict.fromkeys(aspects))


def fit(
  look_ND: np.ndarray,
  label_N: np.ndarray,
  group_N: np.ndarray,
  aspects: Sequence[str],
  least_spread_D: np.ndarray,
  seed: int,
) -> Reference:
  """The reference of a run.

  Distances of held-out images are cross-fitted: an image's is measured from the images of other groups.

  Args:
    look_ND: of images of the training; a number that is not known of an image is NaN, which only an aspect as a whole
      can be.
    label_N: their classes: limits allow for a folder of one class.
    group_N: their groups.
    aspects: D, of each number.
    least_spread_D: spreads below which a difference is of no account.
    seed: of the folders drawn.

  Raises:
    ValueError: fewer than LEAST_GROUPS groups, or a look whose numbers are not finite.
  """
  num_groups = len(np.unique(group_N))
  if num_groups < LEAST_GROUPS:
    raise ValueError(f'{num_groups} groups; a reference needs {LEAST_GROUPS}')
  whole = _measures(look_ND, aspects, least_spread_D)
  fold_N = _folds(group_N)
  distance_NA = np.full((len(look_ND), len(names(aspects))), np.nan)
  for fold in range(_FOLDS):
    inside_N = fold_N == fold
    rest = _measures(look_ND[~inside_N], aspects, least_spread_D)
    distance_NA[inside_N] = distances(rest, look_ND[inside_N])
  ordinary_A = np.nanquantile(distance_NA, _ORDINARY, axis=0)
  ordinary_A = np.maximum(ordinary_A, 1e-6)
  # Where an aspect is known of some images only, those alone say how often one of the aspects is exceeded.
  complete_N = np.isfinite(distance_NA).all(1)
  held_out_N = np.sort((distance_NA[complete_N] / ordinary_A).max(1))
  reference = dataclasses.replace(whole, ordinary_A=ordinary_A, held_out_N=held_out_N)
  drawn = _drawn_distances(reference, look_ND, label_N, group_N, seed)
  return dataclasses.replace(reference, folder_limit=max(LEAST_DISTANCE, 1.1 * drawn))


def distances(reference: Reference, look_ND: np.ndarray) -> np.ndarray:
  """[N, A] by aspect, the root mean square distance from the training in standard deviations; NaN if not known."""
  z_ND = _standardized(reference, look_ND) - reference.mean_D
  columns = []
  for aspect in names(reference.aspects):
    at = np.flatnonzero(np.array(reference.aspects) == aspect)
    precision = np.linalg.inv(reference.covariance_DD[np.ix_(at, at)])
    square_N = np.einsum('nd,de,ne->n', z_ND[:, at], precision, z_ND[:, at]) / len(at)
    columns.append(np.sqrt(np.maximum(square_N, 0)))
  return np.stack(columns, 1)


def judge(
  reference: Reference, look_ND: np.ndarray, folder_N: Sequence[str], spec: Spec, keep: bool
) -> Judgement:
  """Judges images one by one, and the images of each folder together.

  Folders of fewer than LEAST_IMAGES images are judged together, under the name ''.

  Args:
    reference: of the run.
    look_ND: of the images.
    folder_N: the name of the folder of each.
    spec: how many are withheld.
    keep: name unlike images all the same.
  """
  known = names(reference.aspects)
  ratio_NA = distances(reference, look_ND) / reference.ordinary_A
  less_N = np.searchsorted(reference.held_out_N, ratio_NA.max(1))
  unlike_N = less_N / (len(reference.held_out_N) + 1)
  is_unlike_N = unlike_N > 1 - spec.unlike_share
  reason_N = np.array([known[a] for a in ratio_NA.argmax(1)], object)
  reason_N[~is_unlike_N] = ''
  given_N = np.array(folder_N, object)
  for name in set(folder_N):
    if (given_N == name).sum() < LEAST_IMAGES:
      given_N[given_N == name] = ''
  folders = []
  for name in dict.fromkeys(given_N.tolist()):
    inside_N = given_N == name
    folder = _folder(reference, name, look_ND[inside_N], reason_N[inside_N].tolist())
    folders.append(folder)
    if folder.foreign:
      reason_N[inside_N & ~is_unlike_N] = ', '.join(folder.foreign)
      is_unlike_N = is_unlike_N | inside_N
  return Judgement(unlike_N, is_unlike_N, tuple(reason_N.tolist()), tuple(folders), keep)


def _folder(reference: Reference, name: str, look_ND: np.ndarray, reasons: Sequence[str]) -> Folder:
  """The judgement of a folder, of whose images those with a reason are unlike by themselves."""
  num = len(look_ND)
  if num < LEAST_IMAGES:
    return Folder(name, num, (), None)
  distance = folder_distance(reference, look_ND, reference.folder_aspects)
  strength: dict[str, float] = {}
  if distance > reference.folder_limit:
    strength = {each: folder_distance(reference, look_ND, (each,)) for each in reference.folder_aspects}
  elif sum(map(bool, reasons)) > max(MOST_UNLIKE * num, 2):
    strength = {each: float(reasons.count(each)) for each in reasons if each}
  ranked = sorted(strength, key=strength.__getitem__, reverse=True)
  foreign = tuple(each for each in ranked if strength[each] >= strength[ranked[0]] / 3)
  return Folder(name, num, foreign, distance)


def folder_distance(reference: Reference, look_ND: np.ndarray, aspects: Sequence[str]) -> float:
  """Mahalanobis distance of the mean look from the training's, less what as few images have by chance.

  Args:
    reference: of the run.
    look_ND: of the images, one or more.
    aspects: those whose numbers count.
  """
  at = np.flatnonzero(np.isin(reference.aspects, aspects))
  shift_D = (_standardized(reference, look_ND) - reference.mean_D).mean(0)[at]
  square = shift_D @ np.linalg.solve(reference.covariance_DD[np.ix_(at, at)], shift_D)
  return float(np.sqrt(max(0.0, square - 1.5 * len(at) / len(look_ND))))


def summary(judgement: Judgement) -> dict[str, Any]:
  """The judgement in numbers, as JSON values.

  Returns:
    `num_images`; `num`, the unlike ones; `kept`, those of them that are named all the same; `reasons`, how many by
    reason; `folders`, those judged as a whole, with `name, num_images, foreign, distance`.
  """
  reasons = [reason for reason in judgement.reason_N if reason]
  return {
    'num_images': len(judgement.reason_N),
    'num': len(reasons),
    'kept': len(reasons) if judgement.keep else 0,
    'reasons': {reason: reasons.count(reason) for reason in sorted(set(reasons))},
    'folders': [
      {**dataclasses.asdict(folder), 'foreign': list(folder.foreign)} for folder in judgement.folders
    ],
  }


def line(about: Mapping[str, Any] | None) -> str:
  """What comes first wherever figures of the images are shown: what is unlike the training; '' if nothing is.

  Args:
    about: as from `summary`; None without a measure.
  """
  if not about or not about['num']:
    return ''
  foreign = [folder for folder in about['folders'] if folder['foreign']]
  if foreign:
    whole = len(foreign) == len(about['folders'])
    which = '' if whole else f' in {", ".join(folder["name"] or "small folders" for folder in foreign)}'
    aspects = ', '.join(dict.fromkeys(aspect for folder in foreign for aspect in folder['foreign']))
    text = f'material of another laboratory{which}, unlike the training: {aspects}'
  else:
    counts = ', '.join(f'{reason} {num:,}' for reason, num in about['reasons'].items())
    text = f'some images are unlike the training: {counts}'
  share = f'{about["num"]:,} of {about["num_images"]:,} images are'
  if about['kept']:
    return f'{text}. {share} named all the same, as --unlike=keep says: expect many errors, and no measure of doubt'
  return f'{text}. {share} {WITHHELD}'


def _measures(look_ND: np.ndarray, aspects: Sequence[str], least_spread_D: np.ndarray) -> Reference:
  """A reference without limits."""
  centre_D = np.nanmedian(look_ND, axis=0)
  deviation_D = 1.4826 * np.nanmedian(np.abs(look_ND - centre_D), axis=0)
  if not np.isfinite(centre_D).all():
    raise ValueError('a number is known of no image')
  spread_D = np.sqrt(deviation_D**2 + least_spread_D**2)
  nothing = np.zeros(0)
  everywhere = np.array(aspects)[np.isfinite(look_ND).all(0)].tolist()
  plain = Reference(
    aspects=tuple(aspects),
    centre_D=centre_D,
    spread_D=spread_D,
    mean_D=np.zeros_like(centre_D),
    covariance_DD=np.eye(len(centre_D)),
    ordinary_A=nothing,
    held_out_N=nothing,
    folder_aspects=names(everywhere),
    folder_limit=0.0,
  )
  z_ND = _standardized(plain, look_ND)
  mean_D = np.nanmean(z_ND, axis=0)
  # Pairs of numbers that are known of different images count as uncorrelated.
  is_known_D = np.isfinite(z_ND).all(0)
  full_DD = np.diag(np.nanvar(z_ND, axis=0))
  full_DD[np.ix_(is_known_D, is_known_D)] = np.atleast_2d(np.cov(z_ND[:, is_known_D].T))
  covariance_DD = (1 - _SHRINKAGE) * full_DD + _SHRINKAGE * np.eye(len(mean_D))
  return dataclasses.replace(plain, mean_D=mean_D, covariance_DD=covariance_DD)


def _standardized(reference: Reference, look_ND: np.ndarray) -> np.ndarray:
  z_ND = (np.asarray(look_ND, np.float64) - reference.centre_D) / reference.spread_D
  # An image that shows a class better than most is not unlike.
  least_D = np.where(np.array(reference.aspects) == CONTENT, 0, -_FARTHEST)
  return np.clip(z_ND, least_D, _FARTHEST)


def _folds(group_N: np.ndarray) -> np.ndarray:
  """The fold of each row, whole groups, in the order of the names."""
  _, index_N = np.unique(group_N, return_inverse=True)
  return index_N % _FOLDS


def _drawn_distances(
  reference: Reference, look_ND: np.ndarray, label_N: np.ndarray, group_N: np.ndarray, seed: int
) -> float:
  """The distance that 99 % of folders of one class, or of all, drawn from the training do not exceed."""
  generator = rng.generator(seed, 'folders of the training')
  highest = 0.0
  for chosen_N in (np.ones(len(label_N), bool), *(label_N == k for k in np.unique(label_N))):
    rows = np.flatnonzero(chosen_N)
    if len(np.unique(group_N[rows])) < LEAST_GROUPS:
      continue
    for size in _DRAW_SIZES:
      drawn = [
        folder_distance(reference, look_ND[generator.choice(rows, size)], reference.folder_aspects)
        for _ in range(_DRAWS)
      ]
      highest = max(highest, float(np.quantile(drawn, 0.99)))
  return highest
