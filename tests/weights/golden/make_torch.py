"""Makes torchvision.pth and torchvision_legacy.pth, which torch itself wrote, and torchvision.npz with their values.

    python tests/weights/golden/make_torch.py

Written with torch 2.15: the names of torchvision's VGG16 with few channels, so that the files stay small. One tensor
is a view of a larger storage, and `classifier.0` has columns of a 7x7 map, channels first.
"""

from __future__ import annotations

import collections
import pathlib

import numpy as np

CONVS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
FOLDER = pathlib.Path(__file__).parent


def main() -> None:
  """Writes the three files beside this script."""
  import torch

  draw = np.random.default_rng(0).standard_normal
  shapes = {f'features.{i}': (2, 3 if i == 0 else 2, 3, 3) for i in CONVS}
  shapes |= {'classifier.0': (3, 2 * 7 * 7), 'classifier.3': (3, 3), 'classifier.6': (5, 3)}
  values = {}
  for layer, shape in shapes.items():
    values[f'{layer}.weight'] = draw(shape).astype(np.float32)
    values[f'{layer}.bias'] = draw(shape[:1]).astype(np.float32)
  tensors = collections.OrderedDict((name, torch.tensor(value)) for name, value in values.items())
  storage = torch.zeros(2, 9)
  storage[:, 2:4] = tensors['features.2.bias'][:, None] * torch.tensor([1.0, 0.0])
  tensors['features.2.bias'] = storage[:, 2]
  torch.save(tensors, FOLDER / 'torchvision.pth')
  torch.save(tensors, FOLDER / 'torchvision_legacy.pth', _use_new_zipfile_serialization=False)
  np.savez(FOLDER / 'torchvision.npz', **values)


if __name__ == '__main__':
  main()
