"""Functions compiled for `Dataset.map` leave nothing to YNNPACK, whose first use by two threads at once can crash."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bloodcell_jax.data.augmentation import compiled
from bloodcell_jax.data.tensorflow_cpu import tf

SHAPE = (50, 128, 128, 3)
REDUCED = 'lambda x: x - tf.reduce_min(x, (1, 2, 3), keepdims=True)'
OPTIMIZED = f"""
import tensorflow as tf
function = tf.function({REDUCED}, jit_compile=True)
print(function.experimental_get_compiler_ir(tf.zeros({SHAPE}))(stage='optimized_hlo'))
"""


def test_a_reduction_is_xla_s_own():
  function = compiled.function(eval(REDUCED, {'tf': tf}))
  optimized = function.experimental_get_compiler_ir(tf.zeros(SHAPE))(stage='optimized_hlo')
  assert 'reduce' in optimized
  assert 'ynn' not in optimized


@pytest.mark.long
@pytest.mark.skipif(not tf.__version__.startswith('2.21.'), reason='other versions have no YNNPACK')
def test_without_the_flag_it_is_not():
  env = {**os.environ, 'XLA_FLAGS': ''}
  done = subprocess.run(
    [sys.executable, '-c', OPTIMIZED], env=env, capture_output=True, text=True, check=True
  )
  assert 'ynn_fusion' in done.stdout
