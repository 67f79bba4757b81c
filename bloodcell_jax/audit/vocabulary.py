"""Bags of visual words: images as weighted word counts, to find candidates for near-duplicates among many images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy import sparse

from bloodcell_jax.fields import keypoints

_NUM_WORDS = 2048  # without their mirror images
_ON_SAMPLE = 40_000  # descriptors that words are learned from
_ITERATIONS = 5
_BLOCK = 16_384  # descriptors a block
_SIMILARITIES = 16_000_000  # in a block; 64 MB an array


@dataclasses.dataclass(frozen=True)
class Candidates:
  """For each query the M most similar rows, most similar first."""

  other_QM: np.ndarray  # int32
  mirrored_QM: np.ndarray  # bool: the other row is more similar when mirrored
  similarity_QM: np.ndarray  # float32: cosine similarity, 0 to 1


def learn(descriptor_PD: np.ndarray, generator: np.random.Generator, poll: Callable[[], None]) -> np.ndarray:
  """Visual words, float32 [V, D]: word w + V/2 is the mirror image of word w.

  So the words of a mirrored image follow from those of the image without a search: w becomes w + V/2, and vice versa.

  Source: Sivic and Zisserman 2003, "Video Google"; k-means by Lloyd's iterations.
  """
  chosen = generator.permutation(len(descriptor_PD))[:_ON_SAMPLE]
  sample_PD = descriptor_PD[np.sort(chosen)].astype(np.float32)
  sample_PD = np.concatenate([sample_PD, keypoints.mirrored(sample_PD)])
  half = min(_NUM_WORDS, max(1, len(chosen) // 8))
  word_VD = sample_PD[generator.permutation(len(chosen))[:half]]
  word_VD = np.concatenate([word_VD, keypoints.mirrored(word_VD)])
  for _ in range(_ITERATIONS):
    nearest_P = assign(sample_PD, word_VD, poll)
    count_V = np.bincount(nearest_P, minlength=len(word_VD))
    total_VD = (
      sparse.csr_matrix(
        (np.ones(len(nearest_P), np.float32), (nearest_P, np.arange(len(nearest_P)))),
        shape=(len(word_VD), len(nearest_P)),
      )
      @ sample_PD
    )
    mean_VD = np.where(count_V[:, None] > 0, total_VD / np.maximum(count_V, 1)[:, None], word_VD)
    # The sample contains the mirror image of every descriptor, so this changes only ties between two words.
    word_VD = np.concatenate([mean_VD[:half], keypoints.mirrored(mean_VD[:half])]).astype(np.float32)
  return word_VD


def assign(descriptor_PD: np.ndarray, word_VD: np.ndarray, poll: Callable[[], None]) -> np.ndarray:
  """int32 [P]: the word nearest to each descriptor; `poll` is called between blocks."""
  word_P = np.empty(len(descriptor_PD), np.int32)
  half_square_V = (word_VD**2).sum(1) / 2
  for start in range(0, len(descriptor_PD), _BLOCK):
    poll()
    block_PD = descriptor_PD[start : start + _BLOCK].astype(np.float32)
    word_P[start : start + _BLOCK] = (block_PD @ word_VD.T - half_square_V).argmax(1)
  return word_P


def vectors(word_P: np.ndarray, start: np.ndarray, num_words: int) -> sparse.csr_matrix:
  """[N, V] float32: word counts of each image weighted by rarity, of norm 1 (0 for an image without words).

  A word and its mirror image have the same weight.
  """
  counts = sparse.csr_matrix(
    (np.ones(len(word_P), np.float32), word_P, start), shape=(len(start) - 1, num_words)
  )
  counts.sum_duplicates()
  having_V = np.bincount(counts.indices, minlength=num_words)
  half = num_words // 2
  mean_V = np.tile(having_V[:half] + having_V[half:], 2) / 2
  # Red cells repeat words, so repeated occurrences count less.
  counts.data = np.sqrt(counts.data)
  weighted = counts @ sparse.diags(np.log(len(counts.indptr) / (1 + mean_V)).clip(0).astype(np.float32))
  return normalized(weighted)


def normalized(vector_NV: sparse.csr_matrix) -> sparse.csr_matrix:
  """The rows scaled to norm 1; rows of zeros stay zero."""
  length = np.sqrt(np.asarray(vector_NV.multiply(vector_NV).sum(1)).ravel())
  return (sparse.diags((1 / np.maximum(length, 1e-9)).astype(np.float32)) @ vector_NV).tocsr()


def mirrored(vector_NV: sparse.csr_matrix) -> sparse.csr_matrix:
  """The vectors of the mirror images."""
  half = vector_NV.shape[1] // 2
  indices = (vector_NV.indices + half) % (2 * half)
  mirror_NV = sparse.csr_matrix((vector_NV.data, indices, vector_NV.indptr), shape=vector_NV.shape)
  mirror_NV.sort_indices()
  return mirror_NV


def group_vectors(vector_NV: sparse.csr_matrix, group_N: np.ndarray) -> sparse.csr_matrix:
  """[G, V]: the vectors of the images summed by group, 0 to G-1, scaled to norm 1."""
  member_GN = sparse.csr_matrix((np.ones(len(group_N), np.float32), (group_N, np.arange(len(group_N)))))
  return normalized(member_GN @ vector_NV)


def candidates(
  vector_NV: sparse.csr_matrix, queries: np.ndarray, most: int, poll: Callable[[], None]
) -> Candidates:
  """For each of the rows `queries` the `most` most similar rows, plain or mirrored.

  Args:
    vector_NV: rows of norm 1.
    queries: indices of rows.
    most: number of candidates; fewer if there are fewer rows.
    poll: called between blocks.
  """
  num = vector_NV.shape[0]
  most = min(most, num - 1)
  other_QM = np.zeros((len(queries), max(most, 0)), np.int32)
  mirrored_QM = np.zeros(other_QM.shape, bool)
  similarity_QM = np.zeros(other_QM.shape, np.float32)
  plain_VN, mirror_VN = vector_NV.T.tocsr(), mirrored(vector_NV).T.tocsr()
  step = max(1, _SIMILARITIES // num)
  for start in range(0, len(queries) if most > 0 else 0, step):
    poll()
    part = slice(start, start + step)
    block = vector_NV[queries[part]]
    plain_BN, mirror_BN = (block @ plain_VN).toarray(), (block @ mirror_VN).toarray()
    best_BN = np.maximum(plain_BN, mirror_BN)
    best_BN[np.arange(len(best_BN)), queries[part]] = -1
    top = np.argpartition(-best_BN, most - 1, axis=1)[:, :most]
    top = np.take_along_axis(top, np.argsort(-np.take_along_axis(best_BN, top, 1), axis=1, kind='stable'), 1)
    other_QM[part], similarity_QM[part] = top, np.take_along_axis(best_BN, top, 1)
    mirrored_QM[part] = np.take_along_axis(mirror_BN > plain_BN, top, 1)
  return Candidates(other_QM, mirrored_QM, similarity_QM)
