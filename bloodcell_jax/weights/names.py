"""Keras' names of VGG16's layers, in order."""

from __future__ import annotations

CONVS = tuple(f'block{b}_conv{i}' for b, num in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, num + 1))
TOPS = ('fc1', 'fc2', 'predictions')  # of the network for ImageNet's 1000 classes
