"""Batches as a pure function of (seed, step): to resume is to start at step k, and no iterator is saved."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Generator, Iterator

import numpy as np

from bloodcell_jax.base import rng, types
from bloodcell_jax.data.images import on_demand

CLASS_WEIGHTS = ('none', 'balanced')
# How the images of a batch are drawn: all alike, or laboratory by laboratory.
IMAGES, LABORATORIES = 'images', 'laboratories'
DRAWS = (IMAGES, LABORATORIES)
# The part of each batch that is made here, where several hosts share it.
WHOLE = slice(None)
# uint8 images -> float32 input of the network.
Standardize = Callable[[np.ndarray], np.ndarray]
# (step, batch size) -> rows_B.
RowsAt = Callable[[int, int], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Arrays:
  """Decoded images with their targets and weights, indexed by row."""

  image_NHWC: on_demand.Images  # uint8, in memory, memory-mapped or decoded when read
  target_NK: np.ndarray  # float32: target outputs, usually one-hot
  weight_N: np.ndarray  # float32, >= 0: weight of the row in the loss
  # int32: the laboratory of the row, to be drawn first, then the class, then the image; None to draw images alike.
  laboratory_N: np.ndarray | None = None


def one_hot(label_N: np.ndarray, num_classes: int) -> np.ndarray:
  """[N, K] float32: 1 for the label, else 0."""
  return np.eye(num_classes, dtype=np.float32)[label_N]


def class_weights(label_N: np.ndarray, num_classes: int, kind: str) -> np.ndarray:
  """[K] float32: 1 for 'none'; rows / (classes x rows of the class) for 'balanced'.

  Source: scikit-learn `compute_class_weight('balanced')`; Keras takes the same as `class_weight`.

  Example:
    >>> class_weights(np.array([0, 0, 0, 1]), 2, 'balanced').tolist()
    [0.666..., 2.0]
  """
  if kind not in CLASS_WEIGHTS:
    raise types.UserError(f'train.class_weight is {kind!r}; choose one of {", ".join(CLASS_WEIGHTS)}')
  if kind == 'none':
    return np.ones(num_classes, np.float32)
  count_K = np.bincount(label_N, minlength=num_classes)
  # The entry of a class without rows is never read.
  return (len(label_N) / (num_classes * np.maximum(count_K, 1))).astype(np.float32)


class _Shuffled:
  """Rows without end: each comes once, in a new order, before any comes again; `numbers` draws that of each round.

  Only the newest order is kept, which a stream that goes forward draws once, however many streams there are.
  """

  def __init__(self, row_N: np.ndarray, numbers: Callable[[int], np.random.Generator]):
    self._row_N, self._numbers = row_N, numbers
    self._round, self._order_N = -1, np.zeros(0, np.int32)

  def __getitem__(self, turn: int) -> int:
    number, offset = divmod(turn, len(self._row_N))
    if number != self._round:
      order_N = self._numbers(number).permutation(len(self._row_N))
      self._round, self._order_N = number, order_N.astype(np.int32)
    return self._row_N[self._order_N[offset]]


def alike(row_N: np.ndarray, seed: int) -> RowsAt:
  """A function (step, batch size) -> [B] int64: the rows of the batch of this step.

  The rows form an endless sequence with a new permutation for each epoch of the data; a batch may contain the
  end of one epoch and the beginning of the next.

  **Guarantees**: depends only on the arguments; each block of `len(row_N)` positions that begins at a multiple of
  `len(row_N)` has every row once.

  Example:
    >>> rows_at = alike(np.arange(6), seed=0)
    >>> seen = np.concatenate([rows_at(step, 4) for step in range(3)])
    >>> sorted(seen[:6].tolist()) == sorted(seen[6:].tolist()) == list(range(6))
    True
  """
  shuffled = _Shuffled(row_N, lambda number: rng.generator(seed, 'order', number))

  def rows_at(step: int, batch_size: int) -> np.ndarray:
    return np.array([shuffled[position] for position in _positions(step, batch_size)], np.int64)

  return rows_at


def by_laboratory(row_N: np.ndarray, laboratory_N: np.ndarray, label_N: np.ndarray, seed: int) -> RowsAt:
  """As `alike`, the laboratory drawn first, then the class, then the image.

  Laboratories take turns, within a laboratory its classes, and within a class of a laboratory each image comes once
  before any comes a second time.

  **Guarantees**: depends only on the arguments; of each block of positions as long as the number of laboratories every
  laboratory has one.

  Args:
    row_N: the rows.
    laboratory_N: of each row.
    label_N: the class of each row.
    seed: of the run.

  Example:
    >>> laboratory_N, label_N = np.array([0, 0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 0, 1, 0, 1])
    >>> drawn = by_laboratory(np.arange(7), laboratory_N, label_N, seed=0)(3, 4)
    >>> laboratory_N[drawn].tolist(), label_N[drawn].tolist()
    ([0, 1, 0, 1], [0, 0, 1, 1])
  """

  def shuffled(found: np.ndarray, a: int, k: int) -> _Shuffled:
    return _Shuffled(row_N[found], lambda number: rng.generator(seed, 'order by laboratory', a, k, number))

  cells = [
    [shuffled(found, a, k) for k, found in enumerate(of_class)]
    for a, of_class in enumerate(_cells(laboratory_N, label_N))
  ]

  def row(position: int) -> int:
    turn, laboratory = divmod(position, len(cells))
    turn, kind = divmod(turn, len(cells[laboratory]))
    return cells[laboratory][kind][turn]

  def rows_at(step: int, batch_size: int) -> np.ndarray:
    return np.array([row(position) for position in _positions(step, batch_size)], np.int64)

  return rows_at


def _positions(step: int, batch_size: int) -> range:
  return range(step * batch_size, (step + 1) * batch_size)


def _cells(laboratory_N: np.ndarray, label_N: np.ndarray) -> list[list[np.ndarray]]:
  """By laboratory and by each class that it has: where they are."""
  return [
    [np.flatnonzero((laboratory_N == a) & (label_N == k)) for k in np.unique(label_N[laboratory_N == a])]
    for a in np.unique(laboratory_N)
  ]


def order(
  arrays: Arrays, rows: np.ndarray, batch_size: int, seed: int, start: int
) -> Iterator[tuple[np.ndarray, int]]:
  """Endless (rows_B, step) from step `start` on: which of `rows` each batch has, in every pipeline."""
  if arrays.laboratory_N is None:
    rows_at = alike(rows, seed)
  else:
    rows_at = by_laboratory(rows, arrays.laboratory_N[rows], arrays.target_NK[rows].argmax(1), seed)
  for step in itertools.count(start):
    yield rows_at(step, batch_size), step


def raw(
  arrays: Arrays, rows: np.ndarray, batch_size: int, seed: int, start: int, part: slice = WHOLE
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
  """Endless (uint8 image_BHWC, rows_B, step) from step `start` on, the input of every pipeline of the host."""
  for rows_B, step in order(arrays, rows, batch_size, seed, start):
    yield arrays.image_NHWC[rows_B[part]], rows_B[part], step


def batch(arrays: Arrays, image_BHWC: np.ndarray, rows_B: np.ndarray, first: int = 0) -> types.Batch:
  """The batch of these float images with the targets and weights of their rows; `first` is the first's position."""
  position_B = np.arange(first, first + len(rows_B), dtype=np.int32)
  return types.Batch(image_BHWC, arrays.target_NK[rows_B], arrays.weight_N[rows_B], position_B)


def training(
  arrays: Arrays,
  rows: np.ndarray,
  batch_size: int,
  seed: int,
  start: int,
  standardize: Standardize,
  part: slice = WHOLE,
) -> Generator[types.Batch, None, None]:
  """The endless training batches from step `start` on, with NumPy only, for machines without TensorFlow."""
  for image_BHWC, rows_B, _ in raw(arrays, rows, batch_size, seed, start, part):
    yield batch(arrays, standardize(image_BHWC), rows_B, part.start or 0)


def in_order(
  arrays: Arrays, rows: np.ndarray, batch_size: int, standardize: Standardize
) -> Iterator[types.Batch]:
  """Each row once, in order, the last batch padded with rows of weight 0.

  All batches have the same shape, so that one compiled function takes them all.
  """
  for start in range(0, len(rows), batch_size):
    rows_B = rows[start : start + batch_size]
    yield padded(standardize(arrays.image_NHWC[rows_B]), arrays.target_NK[rows_B], batch_size)


def padded(image_RHWC: np.ndarray, target_RK: np.ndarray, batch_size: int) -> types.Batch:
  """A batch of these R rows, at most `batch_size`, filled up with zeros of weight 0.

  Args:
    image_RHWC: float32 input of the network.
    target_RK: float32 target outputs.
    batch_size: rows of the batch.
  """
  num = len(image_RHWC)
  image_BHWC = np.zeros((batch_size, *image_RHWC.shape[1:]), np.float32)
  image_BHWC[:num] = image_RHWC
  target_BK = np.zeros((batch_size, target_RK.shape[1]), np.float32)
  target_BK[:num] = target_RK
  position_B = np.arange(batch_size, dtype=np.int32)
  return types.Batch(image_BHWC, target_BK, (position_B < num).astype(np.float32), position_B)
