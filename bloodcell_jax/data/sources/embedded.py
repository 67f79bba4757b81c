"""The embedded data set: synthetic smears, several copies of each "photograph", so that grouping matters."""

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

# Copies are augmented like the published ones: the ranges of Keras, black corners.
ROTATION_DEGREES = 20
SHIFT = 0.1
SHEAR_DEGREES = 0.2  # Keras takes shear_range in degrees; the 0.2 of the published copies is all but none


@dataclasses.dataclass(frozen=True)
class Spec:
  """Number and size of the drawn images."""

  num_train: int  # photographs a class, > 0
  num_test: int  # photographs a class, >= 0
  num_copies: int  # copies of each photograph, > 0
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
  """All images: copies of the training and test photographs, and the test photographs themselves.

  **Guarantees**: each photograph depends only on the seed, its split, class and number, so that a larger data set
  contains a smaller one; all copies of a photograph carry its name and are in one split (an original is in ORIGINALS,
  its copies in TEST).
  """
  images = []
  for split, num_photographs in (('TRAIN', spec.num_train), ('TEST', spec.num_test)):
    for label, name in enumerate(CLASS_NAMES):
      for number in range(num_photographs):
        rng = rng_lib.generator(spec.seed, f'embedded {split} {name}', number)
        photograph = smear.draw(name, rng, spec.height, spec.width)
        source = f'synthetic_{split.lower()}_{name.lower()}_{number:04d}'
        for copy in range(spec.num_copies):
          png = _png(_augmented(photograph, rng))
          images.append(Drawn(png, label, name, source, split, f'{split}/{name}/{source}_{copy}.png'))
        if split == 'TEST':
          file = f'ORIGINALS/{name}/{source}.png'
          images.append(Drawn(_png(photograph), label, name, source, 'ORIGINALS', file))
  return images


def _augmented(photograph: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """The photograph rotated, shifted and flipped at random, with black corners, scaled to a maximum of 255."""
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
  # Level 1: the files are never stored, and half the size would take five times as long.
  Image.fromarray(image).save(buffer, 'PNG', compress_level=1)
  return buffer.getvalue()
