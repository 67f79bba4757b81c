"""Images and their reduced or re-saved copies: names propose which to compare, pixels decide."""

from __future__ import annotations

import collections
import os
import re
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent import futures

import numpy as np
from PIL import Image

from bloodcell_jax.data.images import black_border, decode, image_files

# Pixels a side of the reduced images that are compared.
SIDE = 16
# Root mean square difference of two signatures, in grey levels, and as a share of an image's own contrast. Among
# 2,997 single cells of one laboratory (180x180 pixels, contrast 22 and more) no two different ones are nearer than 17;
# JPEG copies of half the size differ by at most 4, of 40x40 pixels by at most 9.
MOST_DIFFERENCE, MOST_SHARE = 9.0, 0.4
LEAST_SPREAD = 4.0  # grey levels; flatter images have no content to compare
# Larger images are no copies of one another as far as this comparison goes.
_MOST_PIXELS = 10**8
_BLOCK = 1024  # rows compared at once
# Images of a name that are compared with one another; of more, each with the first ones only.
_MOST_COMPARED = 24
# What programs add to the name of a copy: `cell-small`, `cell_thumb`, `cell (1)`, `cell copy 2`, `cell - Kopie`,
# `cell-300x200`, `cell@2x`.
_ADDED = re.compile(
  r'(?:\s*\(\d+\)|\s*[(\[][^()\[\]]*conflict[^()\[\]]*[)\]]|[\s_.@-]+(?:'
  r'copy(?: ?\d+)?|copie|kopie|copia|small|thumb(?:nail)?s?|tn|preview|reduced|resized?|'
  r'scaled|low ?res|mini?|minified|web|edited|converted|compressed|rgb|8 ?bit|medium|large|xl|[sml]|checkpoint|'
  r'overlay|annotated|marked|boxes|outlined?|sync-conflict[-\w]*|(?:desktop|laptop)-\w+|'
  r'[^\s_]+_[a-z]{3}-\d\d-\d+-\d{4}_conflict|'
  r'\d{2,5}x\d{2,5}|\dx))$'
)
_ADDED_BEFORE = re.compile(
  r'^(?:copy of|kopie von|copie de|thumb(?:nail)?|tn|small|preview|resized?|synophoto_thumb)[\s_.-]+'
)


def stem(file: str) -> str:
  """The name of a file without folders, extensions and what programs add for a copy.

  Example:
    >>> {stem(name) for name in ('A/cell 7.png', 'A/small/cell 7.jpg', 'cell 7_thumb.jpg', 'Cell 7 (1).png')}
    {'cell 7'}
  """
  name = unicodedata.normalize('NFKC', file.rsplit('/', 1)[-1]).casefold()
  while (inner := os.path.splitext(name))[1] in image_files.EXTENSIONS:
    name = inner[0]
  while True:
    shorter = _ADDED_BEFORE.sub('', _ADDED.sub('', name))
    if shorter == name or not shorter:
      return name
    name = shorter


def signature(image_HWC: np.ndarray) -> np.ndarray:
  """[SIDE * SIDE * 3] float32: the mean colours of the parts of an image, 0 to 255, which its copies share."""
  reduced = Image.fromarray(image_HWC).resize((SIDE, SIDE), Image.Resampling.BOX)
  return np.asarray(reduced, np.float32).ravel()


def are_copies(a_D: np.ndarray, b_D: np.ndarray) -> bool:
  """Whether two signatures are those of an image and its copy; never for images without any structure.

  A black border does not count: it is equal in other images too, and its contrast is not the image's own.

  Args:
    a_D: of `signature`.
    b_D: of `signature`.
  """
  spread = min(_spread(a_D), _spread(b_D))
  difference = np.sqrt(((a_D - b_D) ** 2).mean())
  if spread < LEAST_SPREAD or difference > min(MOST_DIFFERENCE, MOST_SHARE * spread):
    return False
  both_2D = np.stack([a_D, b_D])
  inside_2D = _inside(both_2D)
  return bool(inside_2D.all() or _are_alike_inside(both_2D, inside_2D, np.array([[0, 1]]))[0])


def pairs(signature_ND: np.ndarray, poll: Callable[[], None]) -> np.ndarray:
  """[P, 2] int64: the pairs of rows, a < b, whose signatures are those of an image and its copy, as `are_copies`.

  Time grows with the square of the number of images.

  Args:
    signature_ND: of `signature`.
    poll: called between blocks; its exceptions propagate.
  """
  square_N = (signature_ND**2).sum(1)
  spread_N = signature_ND.reshape(len(signature_ND), -1, 3).std(1).mean(1)
  most_N = np.where(spread_N >= LEAST_SPREAD, np.minimum(MOST_DIFFERENCE, MOST_SHARE * spread_N), -1.0)
  inside_ND = _inside(signature_ND)
  is_whole_N: np.ndarray = np.asarray(inside_ND.all(1))
  found = [np.zeros((0, 2), np.int64)]
  for start in range(0, len(signature_ND), _BLOCK):
    poll()
    block = slice(start, start + _BLOCK)
    product_BN = signature_ND[block] @ signature_ND[start:].T
    mean_BN = (square_N[block, None] + square_N[start:] - 2 * product_BN) / signature_ND.shape[1]
    limit_BN = np.minimum(most_N[block, None], most_N[start:])
    near = np.argwhere((limit_BN > 0) & (mean_BN <= limit_BN**2)) + start
    near = near[near[:, 0] < near[:, 1]]
    is_plain_P = is_whole_N[near].all(1)
    found.append(near[is_plain_P])
    bordered = near[~is_plain_P]
    for first in range(0, len(bordered), _BLOCK):
      poll()
      some = bordered[first : first + _BLOCK]
      found.append(some[_are_alike_inside(signature_ND, inside_ND, some)])
  together = np.concatenate(found)
  return together[np.lexsort((together[:, 1], together[:, 0]))]


def _inside(signature_ND: np.ndarray) -> np.ndarray:
  """bool [N, SIDE * SIDE]: the parts within a black border."""
  level_NHW = signature_ND.reshape(-1, SIDE, SIDE, 3).max(3)
  return black_border.inside(level_NHW).reshape(len(signature_ND), -1)


def _are_alike_inside(signature_ND: np.ndarray, inside_ND: np.ndarray, pair_P2: np.ndarray) -> np.ndarray:
  """[P]: whether two images agree within their black borders too; True where hardly anything lies within them."""
  common_PD = inside_ND[pair_P2[:, 0]] & inside_ND[pair_P2[:, 1]]
  a_PDC, b_PDC = (signature_ND[pair_P2[:, i]].reshape(len(pair_P2), -1, 3) for i in (0, 1))
  return black_border.are_alike(a_PDC, b_PDC, common_PD, MOST_DIFFERENCE, MOST_SHARE, LEAST_SPREAD)


def join(
  paths: Sequence[str], file_N: Sequence[str], digest_N: Sequence[str], within_N: Sequence[Hashable]
) -> list[str]:
  """[N] groups: the digest of the first image that an image is a copy of, byte for byte or by its reduced pixels.

  Only images of one place with the same `stem`, or whose folder is named like another image, are compared.

  Args:
    paths: N files.
    file_N: their names relative to the data, with '/'.
    digest_N: of their bytes.
    within_N: the place of each, such as its split and class.
  """
  sets = [rows for rows in _proposed(file_N, within_N) if len({digest_N[row] for row in rows}) > 1]
  wanted = sorted({row for rows in sets for row in rows})
  with decode.quiet(), futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    signatures = dict(zip(wanted, pool.map(lambda row: _read(paths[row]), wanted), strict=True))
  group_of = {digest: digest for digest in digest_N}

  def root(digest: str) -> str:
    while group_of[digest] != digest:
      digest = group_of[digest]
    return digest

  for rows in sets:
    for i, row in enumerate(rows):
      for other in rows[: min(i, _MOST_COMPARED)]:
        a, b = signatures[other], signatures[row]
        if (
          a is not None
          and b is not None
          and root(digest_N[other]) != root(digest_N[row])
          and are_copies(a, b)
        ):
          group_of[root(digest_N[row])] = root(digest_N[other])
  return [root(digest) for digest in digest_N]


def _proposed(file_N: Sequence[str], within_N: Sequence[Hashable]) -> Iterable[list[int]]:
  """Sets of rows whose names say that they may be copies of one image."""
  rows_of: dict[tuple[Hashable, str], list[int]] = collections.defaultdict(list)
  own = [(within, stem(file)) for within, file in zip(within_N, file_N, strict=True)]
  known = set(own)
  for row, file in enumerate(file_N):
    rows_of[own[row]].append(row)
    # `cell.jpg/thumb_s.jpg` and `cell/1.jpg`: a folder of the image's own name.
    above = (own[row][0], stem(file.rsplit('/', 2)[-2])) if '/' in file else own[row]
    if above in known and above != own[row]:
      rows_of[above].append(row)
  return [sorted(rows) for rows in rows_of.values() if len(rows) > 1]


def _read(path: str) -> np.ndarray | None:
  try:
    return signature(decode.upright(path, _MOST_PIXELS))
  except (decode.DecodeError, MemoryError):
    return None  # told where the images are decoded


def _spread(signature_D: np.ndarray) -> float:
  return float(signature_D.reshape(-1, 3).std(0).mean())
