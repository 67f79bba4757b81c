"""Another laboratory: synthetic cells in another stain, with a list of labels as the review page exports it."""

from __future__ import annotations

import csv
import hashlib
import io
import pathlib

import numpy as np
from PIL import Image

from bloodcell_jax.data.sources import embedded


def write(folder: pathlib.Path, num: int, seed: int = 11) -> list[tuple[str, str, str]]:
  """`folder/0001.png`, ..., `num` of each class, one photograph each; returns (file, class, digest) of each."""
  spec = embedded.Spec(num_train=num, num_test=1, num_copies=1, height=60, width=80, seed=seed)
  rows = []
  folder.mkdir(parents=True)
  for image in embedded.draw_all(spec):
    if image.split == 'TRAIN':
      pixels_HWC = np.asarray(Image.open(io.BytesIO(image.png)).convert('RGB')).astype(np.float32)
      # Less blue, more contrast: other dyes and another lamp.
      pixels_HWC = np.clip((pixels_HWC * [0.95, 1.0, 0.75] - 128) * 1.2 + 128, 0, 255).astype(np.uint8)
      name = f'{len(rows):04d}.png'
      Image.fromarray(pixels_HWC).save(folder / name)
      digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()[:16]
      rows.append((name, image.class_name, digest))
  return rows


def labels(path: pathlib.Path, rows: list[tuple[str, str, str]], num: int) -> pathlib.Path:
  """The list of the first `num` images of each class."""
  kept: dict[str, int] = {}
  with open(path, 'w', newline='') as file:
    writer = csv.writer(file)
    writer.writerow(['file', 'sha256_16', 'machine_label', 'human_label'])
    for name, label, digest in rows:
      kept[label] = kept.get(label, 0) + 1
      if kept[label] <= num:
        writer.writerow([name, f'sha256:{digest}', '', label])
  return path
