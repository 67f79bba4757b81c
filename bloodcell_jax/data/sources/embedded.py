"""The embedded data set: synthetic smears, several views of each "photograph", so that groups count."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
from PIL import Image

from bloodcell_jax.base import rng as rng_lib
from bloodcell_jax.base import types
from bloodcell_jax.data.sources import smear

CLASS_NAMES = smear.CLASS_NAMES
SPLITS = ('TRAIN', 'TEST', 'ORIGINALS')  # the last: the test photographs as they were drawn

# The views are made as the published copies were: Keras' ranges, black corners.
ROTATION_DEGREES = 20
SHIFT = 0.1
SHEAR_DEGREES = 0.2  # Keras takes shear_range in degrees; the 0.2 of the published copies is all but none


@dataclasses.dataclass(frozen=True)
class Spec:
  """How much is drawn."""

  num_train: int  # photographs a class, > 0
  num_test: int  # photographs a class, >= 0
  num_copies: int  # images of each photograph, > 0
  height: int  # pixels
  width: int  # pixels
  seed: int

  def __post_init__(self):
    for name, least in (('num_train', 1), ('num_test', 0), ('num_copies', 1), ('height', 32), ('width', 32)):
      if getattr(self, name) < least:
        raise types.UserError(f'data.embedded.{name} is {getattr(self, name)}; it must be {least} or more')


@dataclasses.dataclass(frozen=True)
class Drawn:
  """One image, encoded."""

  png: bytes
  label: int
  class_name: str
  source: str  # the photograph
  split: str  # one of SPLITS
  file: str


def draw_all(spec: Spec) -> list[Drawn]:
  """Every image: views of the training and test photographs, and the test photographs themselves.

  **Guarantees**: each photograph depends on the seed, its split, class and number alone, so that a larger
  data set holds the smaller one; all views of a photograph carry its name and stand in one split (an original
  stands beside its own test views).
  """
  images = []
  for split, num_photographs in (('TRAIN', spec.num_train), ('TEST', spec.num_test)):
    for label, name in enumerate(CLASS_NAMES):
      for number in range(num_photographs):
        rng = rng_lib.generator(spec.seed, f'embedded {split} {name}', number)
        photograph = smear.draw(name, rng, spec.height, spec.width)
        source = f'synthetic_{split.lower()}_{name.lower()}_{number:04d}'
        for view in range(spec.num_copies):
          png = _png(_view(photograph, rng))
          images.append(Drawn(png, label, name, source, split, f'{split}/{name}/{source}_{view}.png'))
        if split == 'TEST':
          file = f'ORIGINALS/{name}/{source}.png'
          images.append(Drawn(_png(photograph), label, name, source, 'ORIGINALS', file))
  return images


def _view(photograph: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """The photograph turned, shifted and mirrored, with black corners, its brightest value stretched to 255."""
  height, width, _ = photograph.shape
  turn = np.deg2rad(rng.uniform(-ROTATION_DEGREES, ROTATION_DEGREES))
  shear = np.deg2rad(rng.uniform(-SHEAR_DEGREES, SHEAR_DEGREES))
  shift = rng.uniform(-SHIFT, SHIFT, 2) * (width, height)
  matrix = np.array([[np.cos(turn), -np.sin(turn + shear)], [np.sin(turn), np.cos(turn + shear)]])
  matrix = matrix * rng.choice([-1, 1], 2)
  middle = np.array([width, height]) / 2 - 0.5
  offset = middle - matrix @ middle + shift
  moved = Image.fromarray(photograph).transform(
    (width, height),
    Image.Transform.AFFINE,
    (*matrix[0], offset[0], *matrix[1], offset[1]),
    Image.Resampling.BILINEAR,
  )
  array = np.asarray(moved, np.float32)
  return (array * (255 / array.max())).astype(np.uint8)


def _png(image: np.ndarray) -> bytes:
  buffer = io.BytesIO()
  # Level 1: half as small again would take five times as long, and nothing is stored.
  Image.fromarray(image).save(buffer, 'PNG', compress_level=1)
  return buffer.getvalue()
