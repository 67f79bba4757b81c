"""Groups of images that show the same: candidates by visual words, verified by geometry, joined."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from concurrent import futures

import numpy as np
import threadpoolctl
from scipy import sparse

from bloodcell_jax.audit import forest, geometry, keypoints, vocabulary

# Places that agree on one map. A pair of LEAST joins a single image; two groups of several images, where a false pair
# would put many together, need a pair of STRONG, or NUM_WITNESSES pairs of FEW, all of different images and mirrored
# alike. docs/audit.md tells how often unrelated images reach these.
FEW, LEAST, STRONG, NUM_WITNESSES = 6, 10, 20, 3
# Of the smaller image's area; what shares less is a neighbour on the smear and is listed, not joined. The overlaps
# known of the Kaggle images begin at 0.25.
LEAST_OVERLAP = 0.24
_NEIGHBOURS = 10  # candidates of an image
_GROUP_PAIRS = 60_000  # pairs of groups that are tried: all of about 350 groups, of more the most alike
_TRIES = 4  # pairs of images tried between two groups, plain and mirrored
_HINT = 4  # places that are worth _MORE_TRIES
_MORE_TRIES = 40
_MEASURING_TRIES = 160  # of two groups that match, to tell how much they share
_BLOCK = 2_000  # pairs between two looks at the stop


_Pair = tuple[int, int, bool]  # two rows, and whether the second is mirrored


@dataclasses.dataclass(frozen=True)
class Link:
  """Two rows found to show the same, a < b."""

  a: int
  b: int
  match: geometry.Match


@dataclasses.dataclass(frozen=True)
class Found:
  """The groups, and the pairs by which they hang together."""

  group_N: np.ndarray  # int64: the lowest row of the group
  links: list[Link]  # that joined two groups, and further witnesses of it; none of equal pixels
  touching: list[Link]  # pairs that share less than LEAST_OVERLAP, one for two groups
  num_tried: int  # pairs whose geometry was looked at


def find(
  points: keypoints.Keypoints,
  equal_N: np.ndarray,
  generator: np.random.Generator,
  num_threads: int,
  poll: Callable[[], None],
  told: Callable[[str], None],
) -> Found:
  """Groups the images.

  Args:
    points: of all images.
    equal_N: rows with equal numbers have equal pixels and are one group from the start.
    generator: chooses the descriptors from which words are learned.
    num_threads: for the geometry.
    poll: called between blocks; what it raises gets out.
    told: called with a line about what begins.
  """
  state = _State(points, forest.Forest(len(points)), num_threads, poll)
  _, first, place = np.unique(equal_N, return_index=True, return_inverse=True)
  for row, other in enumerate(first[place]):
    if other != row:
      state.groups.join(int(other), row, mirrored=False)
  if not len(points.descriptor_PD):
    return Found(state.groups.roots(), [], [], 0)
  told('learning visual words')
  word_VD = vocabulary.learn(points.descriptor_PD, generator, poll)
  word_P = vocabulary.assign(points.descriptor_PD, word_VD, poll)
  vector_NV = vocabulary.vectors(word_P, points.start, len(word_VD))
  told('comparing images')
  near = vocabulary.candidates(vector_NV, np.arange(len(points)), _NEIGHBOURS, poll)
  # BLAS' own threads on matrices of 200 rows cost more than they give.
  with threadpoolctl.threadpool_limits(1, 'blas'):
    _join_images(state, near)
  told('comparing groups')
  with threadpoolctl.threadpool_limits(1, 'blas'):
    _join_groups(state, vector_NV, generator)
  # What was joined by others in the end touches no more.
  touching = [link for link in state.touching if state.apart(link.a, link.b)]
  root_N = state.groups.roots()
  first_of = {(min(p), max(p)): link for link in touching[::-1] for p in [(root_N[link.a], root_N[link.b])]}
  return Found(root_N, state.links, list(first_of.values())[::-1], state.num_tried)


class _State:
  """What both passes share: the groups so far and the pairs found."""

  def __init__(
    self, points: keypoints.Keypoints, groups: forest.Forest, num_threads: int, poll: Callable[[], None]
  ) -> None:
    self.points, self.groups, self.num_threads, self.poll = points, groups, num_threads, poll
    self.links: list[Link] = []
    self.touching: list[Link] = []
    self.num_tried = 0

  def apart(self, a: int, b: int) -> bool:
    """Whether the two are still in different groups."""
    return self.groups.find(a)[0] != self.groups.find(b)[0]

  def matches(self, pairs: Sequence[_Pair], least: int) -> list[geometry.Match | None]:
    """The geometry of each pair, in order."""
    self.num_tried += len(pairs)

    def one(pair: _Pair) -> geometry.Match | None:
      a, b, mirrored = pair
      return geometry.match(self.points, a, b, mirrored, least)

    if len(pairs) < 2 * self.num_threads:
      return list(map(one, pairs))
    with futures.ThreadPoolExecutor(self.num_threads) as pool:
      return list(pool.map(one, pairs))

  def join(self, a: int, b: int, made: geometry.Match) -> None:
    self.links.append(Link(a, b, made))
    self.groups.join(a, b, made.mirrored)


def _join_images(state: _State, near: vocabulary.Candidates) -> None:
  """Tries each image with its candidates, the most alike first, and skips those that are one group already."""
  row, rank = np.indices(near.other_QM.shape).reshape(2, -1)
  order = np.argsort(-near.similarity_QM.ravel(), kind='stable')
  pairs: dict[tuple[int, int], bool] = {}
  for i, r in zip(row[order].tolist(), rank[order].tolist(), strict=True):
    other = int(near.other_QM[i, r])
    pairs.setdefault((min(i, other), max(i, other)), bool(near.mirrored_QM[i, r]))
  waiting = [(a, b, mirrored) for (a, b), mirrored in pairs.items()]
  for start in range(0, len(waiting), _BLOCK):
    state.poll()
    some = [pair for pair in waiting[start : start + _BLOCK] if state.apart(*pair[:2])]
    for (a, b, _), made in zip(some, state.matches(some, LEAST), strict=True):
      if made is not None and state.apart(a, b):
        alone = min(state.groups.size(a), state.groups.size(b)) == 1
        if made.overlap < LEAST_OVERLAP:
          state.touching.append(Link(a, b, made))
        elif alone or made.inliers >= STRONG:
          state.join(a, b, made)


def _join_groups(state: _State, vector_NV: sparse.csr_matrix, generator: np.random.Generator) -> None:
  """Tries the groups most like each other, as wholes. Single images were tried with each other before."""
  odd_N = state.groups.mirrored()
  roots, group_N, size_G = np.unique(state.groups.roots(), return_inverse=True, return_counts=True)
  several = np.flatnonzero(size_G > 1)
  if len(roots) < 2 or not len(several):
    return
  # Every image as its group's lowest row has it, mirrored or not.
  keep, turn = sparse.diags((~odd_N).astype(np.float32)), sparse.diags(odd_N.astype(np.float32))
  aligned_NV = (keep @ vector_NV + turn @ vocabulary.mirrored(vector_NV)).tocsr()
  most = max(1, 2 * _GROUP_PAIRS // len(several))
  near = vocabulary.candidates(vocabulary.of_groups(aligned_NV, group_N), several, most, state.poll)
  # Every group's nearest first, then every group's second, so that the limit treats all alike.
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
    some = [(g, h) for g, h in waiting[start : start + step] if state.apart(roots[g], roots[h])]
    drawn = [_draw(members[g], members[h], odd_N, _TRIES, generator) for g, h in some]
    sides = [pair for pairs_of in drawn for side in (False, True) for pair in _turned(pairs_of, side)]
    made = iter(state.matches(sides, _HINT))
    for (g, h), pairs_of in zip(some, drawn, strict=True):
      # One after the other, as they were put in.
      num_plain, num_mirrored = (sum(next(made) is not None for _ in pairs_of) for _ in range(2))
      if num_plain or num_mirrored:
        _decide(state, members[g], members[h], odd_N, num_mirrored > num_plain, generator)


def _draw(
  in_g: np.ndarray, in_h: np.ndarray, odd_N: np.ndarray, most: int, generator: np.random.Generator
) -> list[_Pair]:
  """Pairs of images of two groups, and whether they are mirrored where the groups' lowest rows are not."""
  num = min(most, len(in_g) * len(in_h))
  # Each image as rarely as can be: pairs of the same two images would say the same.
  both = [np.resize(generator.permutation(rows), num) for rows in (in_g, in_h)]
  return [(int(a), int(b), bool(odd_N[a] ^ odd_N[b])) for a, b in zip(*both, strict=True)]


def _turned(pairs: list[_Pair], side: bool) -> list[_Pair]:
  """The pairs as they are where the groups' lowest rows are mirror images of one another (side), or not."""
  return [(a, b, odd ^ side) for a, b, odd in pairs]


def _decide(
  state: _State,
  in_g: np.ndarray,
  in_h: np.ndarray,
  odd_N: np.ndarray,
  side: bool,
  generator: np.random.Generator,
) -> None:
  """Joins the two groups, where enough pairs of their images match and share enough."""

  def tried(num: int) -> list[Link]:
    pairs = _turned(_draw(in_g, in_h, odd_N, num, generator), side)
    made = zip(pairs, state.matches(pairs, FEW), strict=True)
    return [Link(a, b, match) for (a, b, _), match in made if match is not None]

  links = sorted(tried(_MORE_TRIES), key=lambda link: -link.match.inliers)
  witnesses: list[Link] = []
  for link in links:
    if all(link.a != other.a and link.b != other.b for other in witnesses):
      witnesses.append(link)
  alone = min(len(in_g), len(in_h)) == 1
  strong = bool(links) and links[0].match.inliers >= (LEAST if alone else STRONG)
  if not strong and len(witnesses) < NUM_WITNESSES:
    return
  first, *others = witnesses[:NUM_WITNESSES]
  # Copies are shifted to all sides; the median of their overlaps is that of the photographs.
  overlap = np.median([link.match.overlap for link in links + tried(_MEASURING_TRIES)])
  if overlap < LEAST_OVERLAP:
    state.touching.append(first)
  elif state.apart(first.a, first.b):
    state.join(first.a, first.b, first.match)
    state.links += others
