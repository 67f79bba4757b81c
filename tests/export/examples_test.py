"""The examples of the card read an image file as the run does, whatever its alpha."""

from __future__ import annotations

import dataclasses
import pathlib
import sys

import numpy as np
import pytest
from PIL import Image

from bloodcell_jax.config import experiment
from bloodcell_jax.data.images import decode
from bloodcell_jax.export import contract, examples
from configs import default

SPEC = dataclasses.replace(experiment.resolve(default.get_config()).data.decode, stretch_brightness=False)
SIZE = SPEC.image_size


def read(path: pathlib.Path, monkeypatch, name: str) -> np.ndarray:
  """What the example of this format passes to the network: its lines from the opening of the file to the image."""
  lines = examples.source(name, SPEC).splitlines()
  first = next(i for i, line in enumerate(lines) if line.startswith('photo = '))
  last = next(i for i, line in enumerate(lines) if line.startswith('image = '))
  names = {'np': np, 'sys': sys}
  monkeypatch.setattr(sys, 'argv', ['example', str(path)])
  exec('from PIL import Image, ImageOps\n' + '\n'.join(lines[first : last + 1]), names)
  return names['image']


def colours() -> Image.Image:
  """A photograph in many colours, none of them white; of the size that the network sees."""
  pixel_HWC = np.random.default_rng(0).integers(0, 200, (SIZE, SIZE, 3), np.uint8)
  return Image.fromarray(pixel_HWC)


def with_alpha(kind: str, alpha: Image.Image | int) -> Image.Image:
  photo = colours() if kind == 'RGBA' else colours().convert('L')
  photo.putalpha(alpha)
  return photo


ALPHAS = {
  'hides all': 0,
  'hides all, as good as': 1,
  'hides nearly all': 2,
  'gradient': Image.linear_gradient('L').resize((SIZE, SIZE)),
  'opaque': 255,
}


@pytest.mark.parametrize('kind', ['RGBA', 'LA'])
@pytest.mark.parametrize('alpha', ALPHAS)
def test_alpha_is_treated_as_by_the_run(monkeypatch, tmp_path, kind, alpha):
  path = tmp_path / 'cell.png'
  with_alpha(kind, ALPHAS[alpha]).save(path)
  expected_HWC, _ = decode.image(str(path), SPEC)
  for name in ('onnx', 'stablehlo', 'savedmodel'):
    np.testing.assert_array_equal(read(path, monkeypatch, name), expected_HWC)
  # Negative control: what hides a part of the photograph whitens it, what hides all of it says nothing of it.
  opaque_HWC = np.asarray(with_alpha(kind, 255).convert('RGB'))
  is_ignored = alpha in ('hides all', 'hides all, as good as', 'opaque')
  assert np.array_equal(expected_HWC, opaque_HWC) == is_ignored


def test_a_palette_whose_only_colours_are_transparent_is_read_as_by_the_run(monkeypatch, tmp_path):
  for transparency, name in ((bytes(256), 'hidden'), (bytes([0, 255] * 128), 'half')):
    path = tmp_path / f'{name}.png'
    colours().quantize(64).save(path, transparency=transparency)
    expected_HWC, _ = decode.image(str(path), SPEC)
    np.testing.assert_array_equal(read(path, monkeypatch, 'onnx'), expected_HWC)
    assert ((expected_HWC == 255).all(2).mean() > 0.1) == (name == 'half')


def test_the_contract_says_what_becomes_of_alpha():
  first = contract.decoding(SPEC)[0]
  assert (
    'composite alpha on white unless it hides every pixel (nowhere above 1 of 255: then ignore it)' in first
  )
