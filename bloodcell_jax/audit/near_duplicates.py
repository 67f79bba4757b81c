"""Finds groups of near-duplicates: candidates by visual words, verified by geometry, merged into groups."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from concurrent import futures

import numpy as np
import threadpoolctl
from scipy import sparse

from bloodcell_jax.audit import forest, vocabulary
from bloodcell_jax.fields import correlation, geometry, keypoints

# Numbers of inliers. A pair with LEAST joins a single image to a group. Two groups of several images, where a false
# pair would merge many images, need a pair with STRONG, or NUM_WITNESSES pairs with FEW that are of different images
# and mirrored alike. docs/audit.md says how often unrelated images reach these numbers.
FEW, LEAST, STRONG, NUM_WITNESSES = 6, 10, 20, 3
# Fraction of the smaller image's area. Images that overlap less are neighbours on the smear: listed, not joined. The
# known overlaps of the Kaggle images begin at 0.25.
LEAST_OVERLAP = 0.24
# Correlation of the pixels of the common area. Specks of dust in the camera, or a scale bar, match like cells do, but
# the cells around them differ. docs/audit.md has what copies and other images reach.
LEAST_CORRELATION = 0.75
_NEIGHBOURS = 10  # candidates for each image
# Pairs of groups that are compared: all pairs of up to 346 groups, else the most similar.
_GROUP_PAIRS = 60_000
_TRIES = 4  # pairs of images compared between two groups, plain and mirrored
_HINT = 4  # inliers that justify _MORE_TRIES
_MORE_TRIES = 40
_MEASURING_TRIES = 160  # pairs of two matching groups, to estimate their overlap
_BLOCK = 2_000  # pairs between two calls of `poll`


_Pair = tuple[int, int, bool]  # two rows, and whether the second is mirrored


@dataclasses.dataclass(frozen=True)
class Link:
  """Two rows that show the same, a < b."""

  a: int
  b: int
  match: geometry.Match


@dataclasses.dataclass(frozen=True)
class Duplicates:
  """Groups of near-duplicates, and the pairs that connect them."""

  group_N: np.ndarray  # int64: the lowest row of each row's group
  links: list[Link]  # pairs that joined two groups, and further pairs that confirm it; no identical images
  touching: list[Link]  # pairs that overlap by less than LEAST_OVERLAP, one for each pair of groups
  num_tried: int  # pairs compared by geometry


def find(
  points: keypoints.Keypoints,
  equal_N: np.ndarray,
  image_of: Callable[[int], np.ndarray],
  generator: np.random.Generator,
  num_threads: int,
  poll: Callable[[], None],
  on_stage: Callable[[str], None],
) -> Duplicates:
  """Groups the images.

  Args:
    points: of all images.
    equal_N: rows with equal values have equal or reduced pixels and are one group from the start.
    image_of: the image of a row, uint8 RGB, as its keypoints were detected in; called by several threads.
    generator: samples descriptors and pairs.
    num_threads: of the geometric comparison.
    poll: called between blocks; its exceptions propagate.
    on_stage: called with a line at the beginning of each stage.
  """
  state = _State(points, image_of, forest.Forest(len(points)), num_threads, poll)
  _, first, place = np.unique(equal_N, return_index=True, return_inverse=True)
  for row, other in enumerate(first[place]):
    if other != row:
      state.groups.join(int(other), row, mirrored=False)
  if not len(points.descriptor_PD):
    return Duplicates(state.groups.roots(), [], [], 0)
  on_stage('learning visual words')
  word_VD = vocabulary.learn(points.descriptor_PD, generator, poll)
  word_P = vocabulary.assign(points.descriptor_PD, word_VD, poll)
  vector_NV = vocabulary.vectors(word_P, points.start, len(word_VD))
  on_stage('comparing images')
  near = vocabulary.candidates(vector_NV, np.arange(len(points)), _NEIGHBOURS, poll)
  # For matrices of 200 rows the threads of BLAS cost more than they gain.
  with threadpoolctl.threadpool_limits(1, 'blas'):
    _join_images(state, near)
  on_stage('comparing groups')
  with threadpoolctl.threadpool_limits(1, 'blas'):
    _join_groups(state, vector_NV, generator)
  # Drop pairs whose groups were joined later.
  touching = [link for link in state.touching if state.are_apart(link.a, link.b)]
  root_N = state.groups.roots()
  first_of = {(min(p), max(p)): link for link in touching[::-1] for p in [(root_N[link.a], root_N[link.b])]}
  return Duplicates(root_N, state.links, list(first_of.values())[::-1], state.num_tried)


class _State:
  """The state of both passes: the current groups and the pairs found."""

  def __init__(
    self,
    points: keypoints.Keypoints,
    image_of: Callable[[int], np.ndarray],
    groups: forest.Forest,
    num_threads: int,
    poll: Callable[[], None],
  ) -> None:
    self.points, self.image_of, self.groups = points, image_of, groups
    self.num_threads, self.poll = num_threads, poll
    self.links: list[Link] = []
    self.touching: list[Link] = []
    self.num_tried = 0

  def are_apart(self, a: int, b: int) -> bool:
    """Whether the two are still in different groups."""
    return self.groups.find(a)[0] != self.groups.find(b)[0]

  def matches(self, pairs: Sequence[_Pair], least: int) -> list[geometry.Match | None]:
    """The geometry of each pair, in order."""
    self.num_tried += len(pairs)
    return self._each(lambda pair: geometry.match(self.points, *pair, least), pairs)

  def same(self, pairs: Sequence[_Pair], least: int) -> list[geometry.Match | None]:
    """As `matches`, but None where the pixels of the common area differ too."""
    self.num_tried += len(pairs)

    def compare(pair: _Pair) -> geometry.Match | None:
      match = geometry.match(self.points, *pair, least)
      if match is None:
        return None
      a, b, _ = pair
      alike = correlation.of_pixels(self.image_of(a), self.image_of(b), match)
      return match if alike >= LEAST_CORRELATION else None

    return self._each(compare, pairs)

  def _each(
    self, compare: Callable[[_Pair], geometry.Match | None], pairs: Sequence[_Pair]
  ) -> list[geometry.Match | None]:
    if len(pairs) < 2 * self.num_threads:
      return list(map(compare, pairs))
    with futures.ThreadPoolExecutor(self.num_threads) as pool:
      return list(pool.map(compare, pairs))

  def join(self, a: int, b: int, match: geometry.Match) -> None:
    self.links.append(Link(a, b, match))
    self.groups.join(a, b, match.mirrored)


def _join_images(state: _State, near: vocabulary.Candidates) -> None:
  """Compares each image with its candidates, the most similar first; skips pairs already in one group."""
  row, rank = np.indices(near.other_QM.shape).reshape(2, -1)
  order = np.argsort(-near.similarity_QM.ravel(), kind='stable')
  pairs: dict[tuple[int, int], bool] = {}
  for i, r in zip(row[order].tolist(), rank[order].tolist(), strict=True):
    other = int(near.other_QM[i, r])
    pairs.setdefault((min(i, other), max(i, other)), bool(near.mirrored_QM[i, r]))
  waiting = [(a, b, mirrored) for (a, b), mirrored in pairs.items()]
  for start in range(0, len(waiting), _BLOCK):
    state.poll()
    some = [pair for pair in waiting[start : start + _BLOCK] if state.are_apart(*pair[:2])]
    for (a, b, _), match in zip(some, state.same(some, LEAST), strict=True):
      if match is not None and state.are_apart(a, b):
        alone = min(state.groups.size(a), state.groups.size(b)) == 1
        if match.overlap < LEAST_OVERLAP:
          state.touching.append(Link(a, b, match))
        elif alone or match.inliers >= STRONG:
          state.join(a, b, match)


def _join_groups(state: _State, vector_NV: sparse.csr_matrix, generator: np.random.Generator) -> None:
  """Compares the most similar groups. Pairs of single images were compared before."""
  odd_N = state.groups.mirrored()
  roots, group_N, size_G = np.unique(state.groups.roots(), return_inverse=True, return_counts=True)
  several = np.flatnonzero(size_G > 1)
  if len(roots) < 2 or not len(several):
    return
  # Each image mirrored, if necessary, to the orientation of its group's lowest row.
  keep, turn = sparse.diags((~odd_N).astype(np.float32)), sparse.diags(odd_N.astype(np.float32))
  aligned_NV = (keep @ vector_NV + turn @ vocabulary.mirrored(vector_NV)).tocsr()
  most = max(1, 2 * _GROUP_PAIRS // len(several))
  near = vocabulary.candidates(vocabulary.group_vectors(aligned_NV, group_N), several, most, state.poll)
  # The nearest of each group first, then the second of each, so that the limit treats groups equally.
  pairs = dict.fromkeys(
    (min(g, h), max(g, h))
    for column in near.other_QM.T
    for g, h in zip(several.tolist(), column.tolist(), strict=True)
  )
  members = np.split(np.argsort(group_N, kind='stable'), np.cumsum(size_G)[:-1])
  waiting = list(pairs)[:_GROUP_PAIRS]
  step = _BLOCK // (2 * _TRIES)
  for start in range(0, len(waiting), step):
    state.poll()
    block = [(g, h) for g, h in waiting[start : start + step] if state.are_apart(roots[g], roots[h])]
    drawn = [_draw(members[g], members[h], odd_N, _TRIES, generator) for g, h in block]
    sides = [pair for pairs_of in drawn for side in (False, True) for pair in _turned(pairs_of, side)]
    matches = iter(state.matches(sides, _HINT))
    for (g, h), pairs_of in zip(block, drawn, strict=True):
      # In the order of `sides`.
      num_plain, num_mirrored = (sum(next(matches) is not None for _ in pairs_of) for _ in range(2))
      if num_plain or num_mirrored:
        _decide(state, members[g], members[h], odd_N, num_mirrored > num_plain, generator)


def _draw(
  in_g: np.ndarray, in_h: np.ndarray, odd_N: np.ndarray, most: int, generator: np.random.Generator
) -> list[_Pair]:
  """Pairs of images of two groups, and whether each is mirrored if the groups' lowest rows are not."""
  num = min(most, len(in_g) * len(in_h))
  # Each image as rarely as possible, and no pair twice, because repeated pairs add no evidence: where both lists are
  # through together, one of them is shifted.
  at = np.arange(num)
  shift = at // np.lcm(len(in_g), len(in_h))
  both = [
    generator.permutation(rows)[(at + by) % len(rows)] for rows, by in ((in_g, 0 * shift), (in_h, shift))
  ]
  return [(int(a), int(b), bool(odd_N[a] ^ odd_N[b])) for a, b in zip(*both, strict=True)]


def _turned(pairs: list[_Pair], side: bool) -> list[_Pair]:
  """The pairs with their mirroring if the groups' lowest rows are mirror images of each other (side) or not."""
  return [(a, b, odd ^ side) for a, b, odd in pairs]


def _decide(
  state: _State,
  in_g: np.ndarray,
  in_h: np.ndarray,
  odd_N: np.ndarray,
  side: bool,
  generator: np.random.Generator,
) -> None:
  """Joins two groups if enough pairs of their images match and overlap enough."""

  def matching(num: int) -> list[Link]:
    pairs = _turned(_draw(in_g, in_h, odd_N, num, generator), side)
    results = zip(pairs, state.same(pairs, FEW), strict=True)
    return [Link(a, b, match) for (a, b, _), match in results if match is not None]

  links = sorted(matching(_MORE_TRIES), key=lambda link: -link.match.inliers)
  witnesses: list[Link] = []
  for link in links:
    if all(link.a != other.a and link.b != other.b for other in witnesses):
      witnesses.append(link)
  alone = min(len(in_g), len(in_h)) == 1
  strong = bool(links) and links[0].match.inliers >= (LEAST if alone else STRONG)
  if not strong and len(witnesses) < NUM_WITNESSES:
    return
  first, *others = witnesses[:NUM_WITNESSES]
  # Copies are shifted in all directions; the median of their overlaps estimates that of the photographs.
  overlap = np.median([link.match.overlap for link in links + matching(_MEASURING_TRIES)])
  if overlap < LEAST_OVERLAP:
    state.touching.append(first)
  elif state.are_apart(first.a, first.b):
    state.join(first.a, first.b, first.match)
    state.links += others
