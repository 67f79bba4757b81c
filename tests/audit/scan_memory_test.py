"""What an audit extracts from a large photograph: the same numbers, without copies of the photograph."""

import hashlib
import tracemalloc

import numpy as np
import pytest

from bloodcell_jax.audit import colour_nn, scan


def plain_histogram(image_HWC):
  index = (image_HWC // 32).reshape(-1, 3).astype(np.int32)
  counts = np.bincount(index @ np.array([64, 8, 1], np.int32), minlength=512)
  counts[0] = 0
  return np.sqrt(counts / max(1, counts.sum())).astype(np.float32)


def plain_digest(image_HWC):
  return hashlib.sha256(str(image_HWC.shape).encode() + image_HWC.tobytes()).hexdigest()[:16]


def draw(height, width):
  return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


def peak(function, image_HWC):
  """Most bytes that the function holds at once."""
  tracemalloc.start()
  try:
    function(image_HWC)
    return tracemalloc.get_traced_memory()[1]
  finally:
    tracemalloc.stop()


# One pixel, fewer and more rows than a block, a last block of one row, rows longer than a block.
@pytest.mark.parametrize('size', [(1, 1), (50, 70), (257, 1024), (700, 300), (3, 70_000)])
def test_the_numbers_are_those_of_the_whole_photograph_at_once(size):
  image_HWC = draw(*size)
  np.testing.assert_array_equal(colour_nn.histogram(image_HWC), plain_histogram(image_HWC))
  assert scan.pixel_digest(image_HWC) == plain_digest(image_HWC)
  turned_HWC = image_HWC.transpose(1, 0, 2)[::-1]  # not contiguous
  assert scan.pixel_digest(turned_HWC) == plain_digest(turned_HWC)
  np.testing.assert_array_equal(colour_nn.histogram(turned_HWC), plain_histogram(turned_HWC))


def test_no_copy_of_a_large_photograph_is_made():
  image_HWC = draw(2000, 1500)
  assert peak(colour_nn.histogram, image_HWC) < image_HWC.nbytes / 2
  assert peak(scan.pixel_digest, image_HWC) < image_HWC.nbytes / 100
  # Negative control: the plain formulas copy it.
  assert peak(plain_histogram, image_HWC) > 4 * image_HWC.nbytes
  assert peak(plain_digest, image_HWC) > image_HWC.nbytes
