"""Class folders that hold masks of the images in other class folders, `masks/1.png` beside `images/1.png`."""

from __future__ import annotations

import collections
import dataclasses
import os
import posixpath
from collections.abc import Sequence
from concurrent import futures

import numpy as np

from bloodcell_jax.data.images import companions, photograph

# Beside the background, too, pixels of a mask equal their neighbours; those of a cell cut out of its photograph do not.
_LEAST_EQUAL_BESIDE = 0.5
# So few colours make up most of a mask, whose edges JPEG blurs.
_MOST_COLOURS, _LEAST_COVERED = 64, 0.9
# So few it has in all where its folder does not say that it holds masks.
_FEWEST_COLOURS = 8
# Images of a folder that are looked at before all of them are.
_FIRST = 4


@dataclasses.dataclass(frozen=True)
class Pixels:
  """What the pixels of an image say of it."""

  size: tuple[int, ...]  # height and width
  num_colours: int
  is_mask: bool


def find(folder: str, files: Sequence[str], class_folder: Sequence[str]) -> list[str]:
  """Those of the files that are masks of images in other folders.

  A file is proposed by its folder's name, or by its folder, if each file there has the stem of an image elsewhere, and
  its pixels decide. An image of one colour is a mask if all others that are proposed in its folder are.

  Args:
    folder: that holds them.
    files: relative to it, with '/'.
    class_folder: that of each file, relative to `folder`.
  """
  of_folder: dict[str, list[str]] = collections.defaultdict(list)
  for file, name in zip(files, class_folder, strict=True):
    of_folder[name].append(file)
  named: dict[str, list[str]] = collections.defaultdict(list)
  all_named = set(companions.named_as_masks(files))
  for file in (file for file in files if file in all_named):
    named[posixpath.dirname(file)].append(file)
  found: list[str] = []
  for proposed in named.values():
    found += _masks(folder, proposed)
  stems: dict[str, set[str]] = collections.defaultdict(set)
  for name, inside in of_folder.items():
    for file in inside:
      stems[_stem(file)].add(name)
  original = {(name, _stem(file)): file for name, inside in of_folder.items() for file in inside}
  for name, inside in of_folder.items():
    others = [sorted(stems[_stem(file)] - {name}) for file in inside]
    if all(others) and all_named.isdisjoint(inside):
      pairs = [(file, original[other[0], _stem(file)]) for file, other in zip(inside, others, strict=True)]
      if _are_masks_of(folder, pairs[:_FIRST]) and _are_masks_of(folder, pairs):
        found += inside
  return found


def pixels(image_HWC: np.ndarray) -> Pixels:
  """What the pixels say.

  Args:
    image_HWC: [H, W, 3] uint8.
  """
  packed_HW = image_HWC.astype(np.uint32) @ np.array([1, 1 << 8, 1 << 16], np.uint32)
  colour, num = np.unique(packed_HW, return_counts=True)
  equal_HW = packed_HW[:, 1:] == packed_HW[:, :-1]
  beside_HW = packed_HW[:, 1:] != colour[num.argmax()]
  covered = np.sort(num)[-_MOST_COLOURS:].sum() / packed_HW.size
  is_mask = (
    len(colour) > 1
    and equal_HW.size > 0
    and equal_HW.mean() >= companions.LEAST_EQUAL
    and bool(beside_HW.any())
    and equal_HW[beside_HW].mean() >= _LEAST_EQUAL_BESIDE
    and covered >= _LEAST_COVERED
  )
  return Pixels(packed_HW.shape, len(colour), bool(is_mask))


def _masks(folder: str, proposed: Sequence[str]) -> list[str]:
  """The masks among files of one folder that are named like masks."""
  seen = _looked_at(folder, proposed)
  masks = [file for file, each in zip(proposed, seen, strict=True) if each and each.is_mask]
  plain = [file for file, each in zip(proposed, seen, strict=True) if each and each.num_colours == 1]
  return masks + (plain if masks and len(masks) + len(plain) == len(proposed) else [])


def _are_masks_of(folder: str, pairs: Sequence[tuple[str, str]]) -> bool:
  """Whether each first file is a mask of few colours and has the size of the second, which is none."""
  masks, originals = (_looked_at(folder, each) for each in zip(*pairs, strict=True))
  return all(
    mask
    and other
    and mask.num_colours <= _FEWEST_COLOURS
    and mask.is_mask
    and not other.is_mask
    and mask.size == other.size
    for mask, other in zip(masks, originals, strict=True)
  )


def _looked_at(folder: str, files: Sequence[str]) -> list[Pixels | None]:
  """For each file what its pixels say; None for one that cannot be decoded."""
  with photograph.quiet(), futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    return list(pool.map(lambda file: _look(os.path.join(folder, *file.split('/'))), files))


def _look(path: str) -> Pixels | None:
  image_HWC = companions.decoded(path)
  return None if image_HWC is None else pixels(image_HWC)


def _stem(file: str) -> str:
  return posixpath.splitext(posixpath.basename(file))[0].casefold()
