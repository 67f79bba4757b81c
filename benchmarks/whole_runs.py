"""Whole runs of the study's size on whatever device is there: CNN B from scratch, and VGG16 fine-tuned.

    python -m benchmarks.whole_runs FOLDER --images=12444 --pipeline=device

Writes images of noise below FOLDER, 320x240 as the study's, and weights drawn at random for VGG16, which cost what
real ones cost; then trains by `main.py` with the study's lengths: 30 epochs of 200 updates of 50 for CNN B, six and six
epochs of all images for VGG16. Figures of accuracy mean nothing there. Prints for each run the seconds of its epochs'
updates, without validation and checkpoints, and of the whole command from start to report.
"""

from __future__ import annotations

import argparse
import io
import json
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent import futures
from typing import Any

import numpy as np
from PIL import Image

CLASSES = ('EOSINOPHIL', 'LYMPHOCYTE', 'MONOCYTE', 'NEUTROPHIL')
RUNS = {'cnn_b': 'configs/cnn_b.py:rmsprop', 'finetune': 'configs/finetune.py'}
WIDTH, HEIGHT = 320, 240


def write_images(folder: pathlib.Path, num: int) -> None:
  """Writes `num` JPEG files in a folder for each class; what is there already is left alone."""

  def write(i: int) -> None:
    path = folder / CLASSES[i % len(CLASSES)] / f'{i}.jpeg'
    if path.exists():
      return
    coarse = np.random.default_rng(i).integers(0, 256, (HEIGHT // 20, WIDTH // 20, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(buffer, 'jpeg')
    path.write_bytes(buffer.getvalue())

  for name in CLASSES:
    (folder / name).mkdir(parents=True, exist_ok=True)
  with futures.ThreadPoolExecutor() as pool:
    list(pool.map(write, range(num)))


def write_weights(path: pathlib.Path) -> None:
  """Writes weights for VGG16's convolutions in torchvision's form, drawn as He et al. (2015) initialize them."""
  import safetensors.numpy

  from bloodcell_jax.weights import published

  rng, inputs, tensors = np.random.default_rng(0), 3, {}
  for name, layer in published.VGG16_TORCHVISION.layers.items():
    if layer in published.VGG16_TORCHVISION.head:
      continue
    units = min(512, 32 * 2 ** int(layer[len('block')]))
    spread = np.sqrt(2 / (9 * inputs))
    tensors[f'{name}.weight'] = (rng.standard_normal((units, inputs, 3, 3)) * spread).astype(np.float32)
    tensors[f'{name}.bias'] = np.zeros(units, np.float32)
    inputs = units
  safetensors.numpy.save_file(tensors, path)


def train(config: str, workdir: pathlib.Path, settings: Iterable[str]) -> dict[str, Any]:
  """Trains by the command line; the seconds of its epochs by stage, and of the whole command."""
  command = [sys.executable, 'main.py', f'--config={config}', f'--workdir={workdir}']
  shutil.rmtree(workdir, ignore_errors=True)
  began = time.monotonic()
  subprocess.run([*command, *(f'--config.{setting}' for setting in settings)], check=True)
  whole = time.monotonic() - began
  stages: dict[str, list[float]] = {}
  for line in (workdir / 'history.jsonl').read_text('utf-8').splitlines():
    epoch = json.loads(line)
    stages.setdefault(epoch['stage'], []).append(epoch['seconds'])
  return {'whole': round(whole, 1), 'stages': stages}


def main() -> None:
  """Parses the command line, writes the images, trains and prints."""
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  parser.add_argument('folder', type=pathlib.Path, help='of the images and runs')
  parser.add_argument('--images', type=int, default=12444)
  parser.add_argument('--runs', default=','.join(RUNS), help=f'among {", ".join(RUNS)}')
  parser.add_argument('--pipeline', default='device', help='data.pipeline')
  parser.add_argument(
    '--set', action='append', default=[], metavar='KEY=VALUE', help='a setting of the config'
  )
  arguments = parser.parse_args()
  images, weights = arguments.folder / 'images', arguments.folder / 'random.safetensors'
  write_images(images, arguments.images)
  write_weights(weights)
  for name in arguments.runs.split(','):
    settings = ['data.source=folders', f'data.dir={images}', f'data.pipeline={arguments.pipeline}']
    settings += [f'weights.path={weights}'] * (name == 'finetune') + arguments.set
    took = train(RUNS[name], arguments.folder / name, settings)
    for stage, seconds in took['stages'].items():
      print(
        f'{name}, {stage}: {len(seconds)} epochs in {sum(seconds):.1f} s, the first in {seconds[0]:.1f} s'
      )
    print(f'{name}: the whole command {took["whole"]:.1f} s', flush=True)


if __name__ == '__main__':
  main()
