"""The images of a split that a person should look at: the surest mistakes and the least certain ones."""

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
# Of each kind so many are kept: two rows on a page.
MOST = 12
SIDE = 128  # pixels: a larger image is reduced to it


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
  """(kind, row) of at most MOST of each kind, one a group, because the copies of a photograph look alike.

  Mistakes begin with the surest; the uncertain, right or wrong, with the least sure.
  """
  confidence_N = predictions.probs_NK.max(1)
  wrong_N = predictions.probs_NK.argmax(1) != predictions.label_N
  sure_first = np.argsort(-confidence_N, kind='stable')
  found = []
  for kind, order in ((MISTAKE, sure_first[wrong_N[sure_first]]), (UNCERTAIN, sure_first[::-1])):
    _, first = np.unique(predictions.group_N[order], return_index=True)
    found += [(kind, int(row)) for row in order[np.sort(first)][:MOST]]
  return found


def items(
  predictions: types.Predictions, chosen: Sequence[tuple[str, int]], image_of: Callable[[int], np.ndarray]
) -> list[Item]:
  """The chosen rows with their images.

  Args:
    predictions: of a split.
    chosen: (kind, row).
    image_of: a row's uint8 image [H, W, 3].
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


def write(path: str | os.PathLike[str], found: Sequence[Item]) -> None:
  """The items as JSON."""
  atomic.write_text(path, json.dumps([dataclasses.asdict(item) for item in found]) + '\n')


def read(path: str | os.PathLike[str]) -> list[Item]:
  """What `write` wrote; none where there is no such file.

  Raises:
    UserError: it is damaged.
  """
  if not os.path.exists(path):
    return []
  try:
    return [Item(**entry) for entry in json.loads(atomic.read_text(path))]
  except (ValueError, TypeError):
    raise types.UserError(f'{path}: damaged; evaluate the run again, which writes it anew') from None


def heat(heat_HW: np.ndarray) -> str:
  """A map from 0 to 1 as a PNG in base64, of its own size: green, which no stain is, and clear where it is 0."""
  level_HW = np.round(255 * heat_HW).astype(np.uint8)
  green, none = np.full_like(level_HW, 150), np.zeros_like(level_HW)
  buffer = io.BytesIO()
  Image.fromarray(np.stack([none, green, none, level_HW], -1)).save(buffer, 'PNG')
  return base64.b64encode(buffer.getvalue()).decode()


def jpeg(image_HWC: np.ndarray) -> str:
  """The uint8 image as a JPEG of at most SIDE pixels a side, in base64."""
  image = Image.fromarray(image_HWC)
  image.thumbnail((SIDE, SIDE))
  buffer = io.BytesIO()
  image.save(buffer, 'JPEG', quality=80)
  return base64.b64encode(buffer.getvalue()).decode()
