"""Images of a split that a person should look at: the most confident mistakes and the least confident predictions."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import os
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from bloodcell_jax.base import types
from bloodcell_jax.system import atomic

MISTAKE, UNCERTAIN = 'mistake', 'uncertain'
# Images per kind: two rows on a page.
MAX_PER_KIND = 12
SIDE = 128  # pixels: larger images are reduced to this


@dataclasses.dataclass(frozen=True)
class Item:
  """One image to look at."""

  kind: str  # MISTAKE or UNCERTAIN
  file: str
  group: str
  label: str
  predicted: str
  confidence: float
  jpeg: str  # the image as the network sees it before augmentation, base64


def choose(predictions: types.Predictions) -> list[tuple[str, int]]:
  """At most MAX_PER_KIND images of each kind, one per group, because copies of one photograph look alike.

  Mistakes are sorted from the most confident one down, uncertain images, right or wrong, from the least confident up.

  Returns:
    (kind, row) of each.
  """
  confidence_N = predictions.probs_NK.max(1)
  wrong_N = predictions.probs_NK.argmax(1) != predictions.label_N
  descending_N = np.argsort(-confidence_N, kind='stable')
  chosen: list[tuple[str, int]] = []
  for kind, order in ((MISTAKE, descending_N[wrong_N[descending_N]]), (UNCERTAIN, descending_N[::-1])):
    _, first = np.unique(predictions.group_N[order], return_index=True)
    chosen += [(kind, int(row)) for row in order[np.sort(first)][:MAX_PER_KIND]]
  return chosen


def items(
  predictions: types.Predictions, chosen: Sequence[tuple[str, int]], image_of: Callable[[int], np.ndarray]
) -> list[Item]:
  """The chosen rows with their thumbnails.

  Args:
    predictions: of a split.
    chosen: as from `choose`.
    image_of: returns the uint8 image [H, W, 3] of a row.
  """
  names = predictions.class_names
  return [
    Item(
      kind=kind,
      file=str(predictions.file_N[row]),
      group=str(predictions.group_N[row]),
      label=names[predictions.label_N[row]],
      predicted=names[predictions.probs_NK[row].argmax()],
      confidence=float(predictions.probs_NK[row].max()),
      jpeg=jpeg(image_of(row)),
    )
    for kind, row in chosen
  ]


def write(path: str | os.PathLike[str], entries: Sequence[Item]) -> None:
  """Writes the items as JSON."""
  atomic.write_text(path, json.dumps([dataclasses.asdict(item) for item in entries]) + '\n')


def read(path: str | os.PathLike[str]) -> list[Item]:
  """The items that `write` wrote; none if there is no such file.

  Raises:
    UserError: the file is damaged.
  """
  if not os.path.exists(path):
    return []
  try:
    return [Item(**entry) for entry in json.loads(atomic.read_text(path))]
  except (ValueError, TypeError):
    raise types.UserError(f'{path}: damaged; evaluate the run again to rewrite it') from None


def heat(heat_HW: np.ndarray) -> str:
  """As `heat_png`, in base64."""
  return base64.b64encode(heat_png(heat_HW)).decode()


def heat_png(heat_HW: np.ndarray) -> bytes:
  """A map from 0 to 1 as a PNG of the same size: green, a colour of no stain, with the value as its opacity."""
  level_HW = np.round(255 * heat_HW).astype(np.uint8)
  green_HW, zero_HW = np.full_like(level_HW, 150), np.zeros_like(level_HW)
  return png_file(np.stack([zero_HW, green_HW, zero_HW, level_HW], -1))


def jpeg(image_HWC: np.ndarray) -> str:
  """The uint8 image as a base64 JPEG of at most SIDE pixels a side."""
  return base64.b64encode(jpeg_file(image_HWC, SIDE)).decode()


def jpeg_file(image_HWC: np.ndarray, side: int) -> bytes:
  """The uint8 image as a JPEG of at most so many pixels a side."""
  image = Image.fromarray(image_HWC)
  image.thumbnail((side, side))
  buffer = io.BytesIO()
  image.save(buffer, 'JPEG', quality=80)
  return buffer.getvalue()


def png_file(image_HWC: np.ndarray) -> bytes:
  """The uint8 image, of 3 or 4 channels, as a PNG."""
  buffer = io.BytesIO()
  Image.fromarray(image_HWC).save(buffer, 'PNG')
  return buffer.getvalue()
