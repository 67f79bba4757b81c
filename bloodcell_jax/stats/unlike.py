"""How unlike the training images look, and whether a folder as a whole is another laboratory's material.

One image is judged by its distance from the looks of a reference; a folder by the mean of its looks, because many
images that are shifted alike are stronger evidence than each of them. Where several laboratories trained the network,
each has a reference, and what is like one of them is like the training: what lies between them is like none.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import groups, types
from bloodcell_jax.stats import look_reference

# What stands in place of the class of an image that is withheld.
WITHHELD = 'unclassified (unlike)'
# Fewest images whose mean look is judged. Fewer than these are foreign where more than half of them are unlike.
LEAST_IMAGES = 5
# A folder is foreign where more than this share of its images, and more than so many, are unlike by themselves.
MOST_UNLIKE, FEW_UNLIKE = 0.25, 2
# Key of a summary for what its numbers count, if not images.
COUNTED = 'counted'
# Key of a summary for how many images are withheld, where that is not all the unlike ones.
NUM_WITHHELD = 'num_withheld'


@dataclasses.dataclass(frozen=True)
class Spec:
  """How many images are withheld."""

  unlike_share: float  # in [0, 0.5]: of images like the training's, the share that may be withheld

  def __post_init__(self):
    if not 0 <= self.unlike_share <= 0.5:
      raise types.UserError(f'evaluate.unlike_share is {self.unlike_share}; it must lie in [0, 0.5]')


@dataclasses.dataclass(frozen=True)
class Folder:
  """A folder judged as a whole."""

  name: str | None  # None for the small folders that are judged together
  num_images: int
  # Aspects in which it is unlike the training, the strongest first; () if it is like it.
  foreign: tuple[str, ...]
  distance: float | None  # of its mean look, in standard deviations; None for fewer than LEAST_IMAGES
  limit: float | None  # distance above which it is foreign


@dataclasses.dataclass(frozen=True)
class Judgement:
  """How unlike the training images some images are."""

  unlike_N: np.ndarray  # in [0, 1]: the share of images like the training's that are less unlike
  is_unlike_N: np.ndarray  # bool: by themselves, or in a foreign folder
  reason_N: tuple[str, ...]  # aspects that say so; '' for images that are not unlike
  folders: tuple[Folder, ...]
  keep: bool  # whether unlike images are named all the same
  nearest_N: np.ndarray  # int: number of the reference that each is most like
  num_references: int  # of the run, one or one of each laboratory

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
      nearest_N=self.nearest_N[list(rows)],
    )

  @property
  def foreign(self) -> tuple[Folder, ...]:
    """The folders that are not of the training's laboratory."""
    return tuple(folder for folder in self.folders if folder.foreign)


def judge(
  references: Sequence[look_reference.Reference],
  look_ND: np.ndarray,
  folder_N: Sequence[str],
  spec: Spec,
  keep: bool,
) -> Judgement:
  """Judges images one by one, and the images of each folder together.

  Folders of fewer than LEAST_IMAGES images are foreign where more than half of their images, two at least, are unlike
  by themselves. The others of them are then judged together.

  Args:
    references: of the run, one or one of each laboratory, of the same aspects.
    look_ND: of the images.
    folder_N: the name of the folder of each.
    spec: how many are withheld.
    keep: name unlike images all the same.
  """
  known = look_reference.names(references[0].aspects)
  nearest_N, ratio_NA = nearest(references, look_ND)
  unlike_N = np.empty(len(look_ND))
  for i, reference in enumerate(references):
    less_N = np.searchsorted(reference.held_out_N, ratio_NA[nearest_N == i].max(1))
    unlike_N[nearest_N == i] = less_N / (len(reference.held_out_N) + 1)
  alone_N = unlike_N > 1 - spec.unlike_share
  reason_N = np.array([known[a] for a in ratio_NA.argmax(1)], object)
  reason_N[~alone_N] = ''
  rows_of: dict[str | None, np.ndarray] = dict(groups.rows(folder_N).items())
  folders: list[Folder] = []
  small = [name for name, rows in rows_of.items() if len(rows) < LEAST_IMAGES]
  for name in small:
    reasons = [reason for reason in reason_N[rows_of[name]] if reason]
    if len(reasons) > max(1, len(rows_of[name]) / 2):
      folders.append(Folder(name, len(rows_of[name]), _strongest(_counts(reasons)), None, None))
  judged = {folder.name for folder in folders}
  left = [name for name in small if name not in judged]
  if left:
    rows_of[None] = np.sort(np.concatenate([rows_of.pop(name) for name in left]))
  folders += [
    _folder(references, name, look_ND[rows], nearest_N[rows], reason_N[rows].tolist())
    for name, rows in rows_of.items()
    if name not in judged
  ]
  is_unlike_N = alone_N.copy()
  for folder in folders:
    if folder.foreign:
      rows = rows_of[folder.name]
      reason_N[rows[~is_unlike_N[rows]]] = ', '.join(folder.foreign)
      is_unlike_N[rows] = True
  return Judgement(
    unlike_N, is_unlike_N, tuple(reason_N.tolist()), tuple(folders), keep, nearest_N, len(references)
  )


def nearest(
  references: Sequence[look_reference.Reference], look_ND: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """The reference that each image is most like: its number [N], and by aspect the distance in units of the ordinary."""
  ratio_RNA = np.stack([look_reference.distances(each, look_ND) / each.ordinary_A for each in references])
  nearest_N = ratio_RNA.max(2).argmin(0)
  return nearest_N, ratio_RNA[nearest_N, np.arange(len(look_ND))]


def in_foreign(judgement: Judgement, folder_N: Sequence[str]) -> np.ndarray:
  """[N] bool: whether the image's folder is another laboratory's material.

  Args:
    judgement: of the images.
    folder_N: the name of the folder of each, as it was judged.
  """
  known = {folder.name for folder in judgement.folders}
  foreign = {folder.name for folder in judgement.foreign}
  return np.array([(name if name in known else None) in foreign for name in folder_N], bool)


def _folder(
  references: Sequence[look_reference.Reference],
  name: str | None,
  look_ND: np.ndarray,
  nearest_N: np.ndarray,
  reasons: Sequence[str],
) -> Folder:
  """The judgement of a folder, of whose images those with a reason are unlike by themselves."""
  num = len(look_ND)
  if num < LEAST_IMAGES:
    return Folder(name, num, (), None, None)
  mean = _mean_look(references, look_ND, nearest_N)
  strength: dict[str, float] = {}
  if mean.distance > mean.reference.folder_limit:
    strength = {
      each: look_reference.folder_distance(mean.reference, mean.look_ND, (each,))
      for each in mean.reference.folder_aspects
    }
  elif sum(map(bool, reasons)) > max(MOST_UNLIKE * num, FEW_UNLIKE):
    strength = _counts([each for each in reasons if each])
  return Folder(name, num, _strongest(strength), mean.distance, mean.reference.folder_limit)


@dataclasses.dataclass(frozen=True)
class _MeanLook:
  """How far the mean look of some images is from a reference."""

  reference: look_reference.Reference
  look_ND: np.ndarray

  @functools.cached_property
  def distance(self) -> float:
    return look_reference.folder_distance(self.reference, self.look_ND, self.reference.folder_aspects)

  @property
  def ratio(self) -> float:
    return self.distance / self.reference.folder_limit


def _mean_look(
  references: Sequence[look_reference.Reference], look_ND: np.ndarray, nearest_N: np.ndarray
) -> _MeanLook:
  """How the mean look of a folder compares with the laboratory that it is most like.

  A folder that is like none may hold images of several laboratories: if the images nearest to each laboratory are like
  it, the comparison of those that are least like theirs.
  """
  whole = min((_MeanLook(each, look_ND) for each in references), key=lambda mean: mean.ratio)
  if len(references) == 1 or whole.ratio <= 1:
    return whole
  least = max(LEAST_IMAGES, len(look_ND) / (2 * len(references)))
  parts = [
    _MeanLook(each, look_ND[nearest_N == i])
    for i, each in enumerate(references)
    if np.count_nonzero(nearest_N == i) >= least
  ]
  worst = max(parts, key=lambda mean: mean.ratio, default=whole)
  return worst if worst.ratio <= 1 else whole


def _counts(reasons: Sequence[str]) -> dict[str, float]:
  return {each: float(reasons.count(each)) for each in dict.fromkeys(reasons)}


def _strongest(strength: Mapping[str, float]) -> tuple[str, ...]:
  """The aspects of at least a third of the greatest strength, the strongest first."""
  ranked = sorted(strength, key=strength.__getitem__, reverse=True)
  return tuple(each for each in ranked if strength[each] >= strength[ranked[0]] / 3)


def summary(judgement: Judgement) -> dict[str, Any]:
  """The judgement in numbers, as JSON values.

  Returns:
    `num_images`; `num`, the unlike ones; `kept`, those of them that are named all the same; `reasons`, how many by
    reason; `folders`, those judged as a whole, with `name, num_images, foreign, distance, limit`.
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


def is_foreign(about: Mapping[str, Any] | None) -> bool:
  """Whether a folder of the summary is another laboratory's material; False without a measure."""
  return about is not None and any(folder['foreign'] for folder in about['folders'])


def _shown(folder: Mapping[str, Any]) -> str:
  return 'small folders' if folder['name'] is None else folder['name'] or 'files without a folder'


def line(about: Mapping[str, Any] | None) -> str:
  """What comes first wherever figures of the images are shown: what is unlike the training; '' if nothing is.

  Args:
    about: as from `summary`, with COUNTED where its numbers do not count images, and NUM_WITHHELD where a person has
      labelled some of them; None without a measure.
  """
  if not about or not about['num']:
    return ''
  counted = about.get(COUNTED, 'images')
  foreign = [folder for folder in about['folders'] if folder['foreign']]
  if foreign:
    whole = len(foreign) == len(about['folders'])
    which = '' if whole else f' in {", ".join(map(_shown, foreign))}'
    aspects = ', '.join(dict.fromkeys(aspect for folder in foreign for aspect in folder['foreign']))
    text = f'looks like material of another laboratory{which}, unlike the training images: {aspects}'
  else:
    counts = ', '.join(f'{reason} {num:,}' for reason, num in about['reasons'].items())
    text = f'some {counted} are unlike the training images: {counts}'
  share = f'{about.get(NUM_WITHHELD, about["num"]):,} of {about["num_images"]:,} {counted} are'
  if about['kept']:
    return f'{text}. {share} named all the same, because of --unlike=keep: expect many errors, and trust no confidence'
  return f'{text}. {share} {WITHHELD}'
