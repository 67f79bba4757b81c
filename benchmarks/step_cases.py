"""The training steps that are timed: networks, their inputs, and the operations of a step."""

from __future__ import annotations

import dataclasses

import numpy as np

CLASSES = 4


@dataclasses.dataclass(frozen=True)
class Case:
  """A network of 3x3 convolutions in blocks that end in 2x2 pooling, then dense layers; and the part that is timed."""

  blocks: tuple[tuple[int, int], ...]  # (convolutions, filters)
  padding: str  # valid or same
  units: tuple[int, ...]  # of each hidden dense layer
  dropout_at: int  # before this dense layer, counted from 0
  dropout_rate: float
  input_shape: tuple[int, int, int]
  batch_size: int
  num_frozen: int = 0  # blocks that are not trained
  first_block: int = 1  # of VGG16: the blocks before it are not computed
  forward_only: bool = False  # only the feature map of the last block is computed


VGG = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
CASES = {
  'cnn_a': Case(((1, 32), (1, 32), (1, 64), (1, 128)), 'valid', (64,), 1, 0.2, (150, 150, 3), 50),
  'cnn_b': Case(
    tuple((1, f) for f in (32, 64, 64, 128, 128)), 'valid', (512, 128), 0, 0.4, (150, 150, 3), 50
  ),
  # Block 5 and the study's head: on cached features of block 4, and after the frozen blocks.
  'vgg16_cached': Case(VGG[4:], 'same', (256,), 1, 0.5, (9, 9, 512), 50, first_block=5),
  'vgg16_block5': Case(VGG, 'same', (256,), 1, 0.5, (150, 150, 3), 8, num_frozen=4),
  'vgg16_forward': Case(VGG[:4], 'same', (), 0, 0.0, (150, 150, 3), 8, forward_only=True),
  # For `benchmarks.finetune`: both stages with the frozen blocks, and their parts.
  'vgg16_head_whole': Case(VGG, 'same', (256,), 1, 0.5, (150, 150, 3), 50, num_frozen=5),
  'vgg16_block5_whole': Case(VGG, 'same', (256,), 1, 0.5, (150, 150, 3), 50, num_frozen=4),
  'vgg16_features': Case(VGG[:4], 'same', (), 0, 0.0, (150, 150, 3), 16, forward_only=True),
  'vgg16_more_features': Case(VGG[4:], 'same', (), 0, 0.0, (9, 9, 512), 16, forward_only=True, first_block=5),
  'vgg16_head_cached': Case((), 'same', (256,), 1, 0.5, (4, 4, 512), 50, first_block=6),
}
# The parts of `benchmarks.finetune` for images of 32x32, to test that they run.
TINY = '_tiny'
CASES |= {
  name + TINY: dataclasses.replace(CASES[name], input_shape=shape, batch_size=2)
  for name, shape in {
    'vgg16_cached': (2, 2, 512),
    'vgg16_head_whole': (32, 32, 3),
    'vgg16_block5_whole': (32, 32, 3),
    'vgg16_features': (32, 32, 3),
    'vgg16_more_features': (2, 2, 512),
    'vgg16_head_cached': (1, 1, 512),
  }.items()
}


def gflop(case: Case) -> float:
  """Floating-point operations of a step / 1e9: forward, and for trainable layers backward by weights and inputs."""
  side, _, channels = case.input_shape
  total, seen_trained = 0.0, False
  for block, (num_convs, filters) in enumerate(case.blocks):
    for _ in range(num_convs):
      side -= 2 * (case.padding == 'valid')
      forward = 2 * side * side * 9 * channels * filters
      trained = block >= case.num_frozen and not case.forward_only
      # The gradient by the input of the first trainable layer is not needed.
      total += forward * (1 + trained * (1 + seen_trained))
      seen_trained |= trained
      channels = filters
    side //= 2
  width = side * side * channels
  for units in () if case.forward_only else (*case.units, CLASSES):
    total += 3 * 2 * width * units
    width = units
  return case.batch_size * total / 1e9


def batch(case: Case) -> tuple[np.ndarray, np.ndarray]:
  """float32 inputs in [0, 1] and one-hot labels."""
  rng = np.random.default_rng(0)
  label = rng.integers(0, CLASSES, case.batch_size)
  return rng.random((case.batch_size, *case.input_shape), np.float32), np.eye(CLASSES, dtype=np.float32)[
    label
  ]
