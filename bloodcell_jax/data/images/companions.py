"""Files that belong to an image and are not images of their own: masks of its cell, and annotations of it.

A file is proposed as a mask by its name, if the image is there too; its pixels decide whether it is one.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Collection, Mapping, Sequence
from concurrent import futures

import numpy as np

from bloodcell_jax.data.images import image_files, litter, photograph, rgb

_WORDS = (
  r'(?:masks?|segm?|segmentations?|segmented|labels?|label[ _-]?maps?|gt|ground[ _-]?truth|annotations?|'
  r'binary|instances?|masken?|masques?|m[aá]scaras?|maschere?a?|maski|маск[аи]|掩码|掩膜|マスク|마스크)'
)
_AFTER = re.compile(rf'[\s_.-]+{_WORDS}$')
_BEFORE = re.compile(rf'^{_WORDS}[\s_.-]+')
_FOLDER = re.compile(rf'(?:.*[\s_.-])?{_WORDS}')
# A mask has areas of one value: so many of its pixels equal their neighbours. At most 0.4 do in 300 photographs of two
# laboratories; a mask of 40x40 pixels saved as JPEG has 0.7, larger ones 0.8 and more.
LEAST_EQUAL = 0.6
_MOST_PIXELS = 10**8


def named_as_masks(files: Sequence[str]) -> list[str]:
  """Those of the files whose names are those of masks of others: `1_mask.png` beside `1.png`, `masks/1.png`.

  Example:
    >>> named_as_masks(['A/1.png', 'A/1_mask.png', 'A/2_seg.png', 'A/masks/1.tif', 'B/masks/1.png', 'A/label_1.png'])
    ['A/1_mask.png', 'A/masks/1.tif', 'A/label_1.png']
  """
  folders: dict[str, set[str]] = {}  # by stem
  for folder, stem in map(_stem, files):
    folders.setdefault(stem, set()).add(folder)
  return [file for file in files if _has_original(file, folders)]


def without_masks(folder: str, found: image_files.Listing, passed_over: litter.Tally) -> image_files.Listing:
  """The listing without masks of other images in it, which are counted as passed over.

  Args:
    folder: that was listed.
    found: its images.
    passed_over: counts the masks.
  """
  paths = [f'{folder}/{name}' for name in found.names]
  masks = are_masks(named_as_masks(paths))
  if masks:
    passed_over.times[litter.MASK] += len(masks)
  kept = [name for name, path in zip(found.names, paths, strict=True) if path not in masks]
  return dataclasses.replace(found, names=kept)


def are_masks(paths: Sequence[str]) -> set[str]:
  """Those of the files whose pixels are those of a mask: areas of one value.

  Args:
    paths: as `named_as_masks` gives them. A file that cannot be decoded is not a mask.
  """
  with photograph.quiet(), futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    return {path for path, is_one in zip(paths, pool.map(_is_mask, paths), strict=True) if is_one}


def share_of_equal(image_HWC: np.ndarray) -> float:
  """The share of pixels that equal the next one in their row; 0 for an image of one colour, which is no mask."""
  if (image_HWC == image_HWC[:1, :1]).all():
    return 0.0
  return float((image_HWC[:, 1:] == image_HWC[:, :-1]).all(-1).mean())


def decoded(path: str) -> np.ndarray | None:
  """The image that may be a mask, uint8 [H, W, 3]; None for one that cannot be decoded, as is told where images are."""
  try:
    return np.asarray(photograph.upright(path, _MOST_PIXELS)[0])
  except (rgb.DecodeError, MemoryError):
    return None


def _is_mask(path: str) -> bool:
  image_HWC = decoded(path)
  return image_HWC is not None and share_of_equal(image_HWC) >= LEAST_EQUAL


def _stem(file: str) -> tuple[str, str]:
  folder, _, name = file.rpartition('/')
  return folder, os.path.splitext(name)[0].casefold()


def _has_original(file: str, folders: Mapping[str, Collection[str]]) -> bool:
  """Whether an image is there that the file is named like a mask of.

  Args:
    file: the file.
    folders: by stem, those in which a file has it.
  """
  folder, own = _stem(file)
  bare = _AFTER.sub('', _BEFORE.sub('', own))
  if bare and bare != own and folder in folders.get(bare, ()):
    return True
  above, _, last = folder.rpartition('/')
  if not folder or not _FOLDER.fullmatch(last.casefold()):
    return False
  # `images/1.png` or `1.png`, beside the folder `masks`.
  return any(
    other == above or (other != folder and other.rpartition('/')[0] == above)
    for stem in {own, bare}
    for other in folders.get(stem, ())
  )
