"""The file of a trained network: the same weights give the same bytes, which the library reads."""

from __future__ import annotations

import hashlib

import numpy as np
import safetensors.numpy

from bloodcell_jax.weights import own


def test_the_same_weights_give_the_same_bytes_and_are_read_as_they_were(tmp_path):
  arrays = {
    f'dense_{i}/kernel': np.arange(i + 3, dtype=kind)
    for i, kind in enumerate((np.float32, np.uint8, np.int64))
  }
  about = own.About({'center': 'none', 'scale': 255.0}, ('A "b"', 'Zelle ä', 'C'))
  digests = set()
  for i in range(20):
    path = tmp_path / f'{i}.safetensors'
    own.write(path, arrays, about)
    digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
  assert len(digests) == 1
  # Negative control.
  own.write(tmp_path / 'other.safetensors', arrays, own.About(about.pixels, ('A', 'B', 'C')))
  assert (tmp_path / 'other.safetensors').read_bytes() != path.read_bytes()
  found, said = own.read(path)
  assert said == about
  assert safetensors.numpy.load_file(path).keys() == arrays.keys()
  for name, array in arrays.items():
    assert found[name].dtype == array.dtype
    np.testing.assert_array_equal(found[name], array)
