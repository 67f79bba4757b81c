"""A contact sheet of one image under random augmentations, with the parameters of each as a caption."""

from __future__ import annotations

from typing import Any

import numpy as np

from bloodcell_jax.data.augmentation import augment, photometric, transform
from bloodcell_jax.data.images import nuclei
from bloodcell_jax.plots import samples

# The original and NUM_DRAWS augmented images fill three rows.
COLUMNS, NUM_DRAWS = 4, 11


def sheet(spec: transform.Spec, seed: int, image_HWC: np.ndarray, title: str) -> Any:
  """The original image and its augmentations at the first positions of the training stream, before standardization.

  Args:
    spec: the augmentation.
    seed: the seed of the run.
    image_HWC: uint8.
    title: the heading of the sheet.
  """
  positions, image_1HWC = np.arange(NUM_DRAWS), image_HWC[None]
  draw = transform.make_operands(spec, seed, nuclei.Nuclei(image_1HWC), np.zeros(1, np.int64))
  change = transform.make_changes(spec, image_HWC.shape)
  operand_BD = draw(positions, np.zeros(NUM_DRAWS, np.int64))
  augmented_BHWC = change(np.repeat(image_1HWC, NUM_DRAWS, 0), operand_BD).numpy()
  images = [image_HWC, *np.clip(augmented_BHWC, 0, 255).astype(np.uint8)]
  texts = captions(spec, seed, positions, operand_BD, image_HWC.shape)
  return samples.plot(images, ['as it is', *texts], COLUMNS, title)


def captions(
  spec: transform.Spec, seed: int, positions: np.ndarray, operand_BD: np.ndarray, shape: tuple[int, ...]
) -> list[str]:
  """The parameters of each position in words, in their order, without those that change nothing.

  Args:
    spec: the augmentation.
    seed: the seed of the run.
    positions: [B] ints.
    operand_BD: those of `transform.make_operands` at these positions; of them the crops are read.
    shape: (height, width, channels) of the image.
  """
  geometric = augment.draw(spec.augment, seed, positions, shape)
  photometric_draw = photometric.draw(spec.photometric, seed, positions)
  texts = []
  for i in range(len(positions)):
    words = _crop(operand_BD[i, transform.CROP], shape) if spec.crop.is_active else []
    words += _keras(geometric.parameters(i)) if spec.augment.is_active else []
    words += _photometric(photometric_draw.parameters(i)) if spec.photometric.is_active else []
    texts.append(', '.join(words) or 'unchanged')
  return texts


def _crop(edge_4: np.ndarray, shape: tuple[int, ...]) -> list[str]:
  """The crop's place and size; its operands are the first and the last of its rows and columns."""
  top, left, bottom, right = edge_4.tolist()
  height, width = bottom - top + 1, right - left + 1
  if (height, width) == shape[:2]:
    return []
  return [f'crop {width:.0f}x{height:.0f} px at {left:.0f}, {top:.0f}']


def _keras(drawn: dict[str, Any]) -> list[str]:
  words = [f'turn {drawn["theta"]:.1f}°'] if drawn['theta'] else []
  if drawn['tx'] or drawn['ty']:
    words.append(f'shift {drawn["tx"]:.1f}, {drawn["ty"]:.1f} px')
  if drawn['shear']:
    words.append(f'shear {drawn["shear"]:.2f}°')
  if (drawn['zx'], drawn['zy']) != (1, 1):
    words.append(f'zoom {drawn["zx"]:.2f}, {drawn["zy"]:.2f}')
  words += [
    word for key, word in (('flip_horizontal', 'mirrored'), ('flip_vertical', 'upside down')) if drawn[key]
  ]
  if drawn['channel_shift_intensity'] is not None:
    words.append(f'levels {drawn["channel_shift_intensity"]:+.0f}')
  if drawn['brightness'] is not None:
    words.append(f'brightness {drawn["brightness"]:.2f}')
  return words


def _photometric(drawn: dict[str, Any]) -> list[str]:
  words = [f'{int(drawn["turns"])} quarter turns'] if drawn['turns'] else []
  words += ['mirrored'] if drawn['mirror'] else []
  for key, text, none in (
    ('hue', 'hue {:+.3f}', 0), ('saturation', 'saturation {:.2f}', 1), ('blur', 'blur {:.2f} px', 0),
    ('noise', 'noise {:.1f}', 0), ('jpeg_quality', 'JPEG {:.0f}', 100),
  ):  # fmt: skip
    if drawn[key] != none:
      words.append(text.format(drawn[key]))
  if any(factor != 1 for factor in drawn['stain']):
    words.append('stains ' + ' '.join(f'{factor:.2f}' for factor in drawn['stain']))
  return words + (['erased'] if any(drawn['erased']) else [])
