"""Synthetic photographs of a stained blood smear, one white cell in each, drawn from a generator.

Morphology after the usual description of a Wright-Giemsa stain (Bain, "Blood Cells", 5th ed., chapter 3): the
nucleus of an eosinophil has two lobes among coarse orange granules; of a lymphocyte it is round and fills a small
cell; of a monocyte it is folded like a kidney in a large grey-blue cell with vacuoles; of a neutrophil it has two to
five lobes on thin strands in pale pink. Stain, light, focus and size vary more than the classes differ, so that
colour and size alone do not tell them apart.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

CLASS_NAMES = ('EOSINOPHIL', 'LYMPHOCYTE', 'MONOCYTE', 'NEUTROPHIL')
# All lengths below are for a photograph of this many rows and scale with it.
ROWS = 120
# Red cells and platelets are drawn this many times larger and reduced, for soft edges.
SUPERSAMPLE = 2


@dataclasses.dataclass(frozen=True)
class _Look:
  """What sets a class apart; colours are RGB in 0..255 before stain and light."""

  radius: tuple[float, float]  # of the cell, in pixels at ROWS rows
  cytoplasm: tuple[float, float, float]
  nucleus: tuple[float, float, float]
  granule: tuple[float, float, float]
  num_granules: int
  granule_radius: float
  chromatin: float  # strength of the nucleus' texture


_LOOKS = {
  'EOSINOPHIL': _Look((14.5, 19.0), (226, 178, 172), (104, 66, 138), (214, 108, 92), 90, 1.25, 12),
  'LYMPHOCYTE': _Look((11.0, 16.5), (168, 178, 216), (96, 58, 136), (150, 90, 160), 3, 0.8, 14),
  'MONOCYTE': _Look((15.5, 20.5), (176, 172, 200), (116, 80, 150), (216, 206, 214), 7, 1.5, 24),
  'NEUTROPHIL': _Look((14.0, 18.5), (224, 192, 200), (100, 62, 136), (190, 136, 170), 60, 0.6, 14),
}


def draw(class_name: str, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
  """One photograph, uint8 [height, width, 3].

  Args:
    class_name: of the white cell, one of CLASS_NAMES.
    rng: everything that varies is drawn from it.
    height: rows.
    width: columns.
  """
  scale = height / ROWS
  centre = np.array([rng.uniform(0.3, 0.7) * width, rng.uniform(0.3, 0.7) * height])
  photograph = _red_cells(rng, height, width, scale, centre)
  photograph = _white_cell(photograph, class_name, rng, scale, centre)
  photograph = _stain(photograph, rng)
  photograph = _light(photograph, rng)
  blurred = Image.fromarray(photograph.clip(0, 255).astype(np.uint8)).filter(
    ImageFilter.GaussianBlur(rng.uniform(0.2, 0.9) * scale)
  )
  noise = rng.normal(0, rng.uniform(1.0, 4.0), (height, width, 1))
  return (np.asarray(blurred) + noise).clip(0, 255).astype(np.uint8)


def _red_cells(
  rng: np.random.Generator, height: int, width: int, scale: float, centre: np.ndarray
) -> np.ndarray:
  """The smear without its white cell: pale ground, red cells with a paler middle, a few platelets."""
  zoom = SUPERSAMPLE
  canvas = Image.new(
    'RGB', (width * zoom, height * zoom), tuple(int(c) for c in rng.normal((236, 228, 220), 4))
  )
  pen = ImageDraw.Draw(canvas)
  colour = np.array([214, 158, 152]) + rng.normal(0, 8, 3)
  radius = rng.uniform(8.5, 11.0) * scale
  keep_away = rng.uniform(0.6, 1.3) * 15 * scale  # below 1 red cells touch the white one
  for _ in range(rng.integers(18, 46)):
    x, y = rng.uniform(-0.05, 1.05, 2) * (width, height)
    if np.hypot(x - centre[0], y - centre[1]) < keep_away + radius:
      continue
    size = radius * rng.uniform(0.85, 1.12)
    squash = rng.uniform(0.82, 1.0)
    tint = colour + rng.normal(0, 5, 3)
    pallor = rng.uniform(0.3, 0.6)
    for share, lift in ((1.0, 0), (pallor, 9), (pallor * 0.7, 16), (pallor * 0.4, 22)):
      _ellipse(pen, x, y, size * share, size * share * squash, tint + lift, zoom)
  for _ in range(rng.integers(0, 7)):
    x, y = rng.uniform(0, 1, 2) * (width, height)
    size = rng.uniform(1.0, 2.6) * scale
    _ellipse(
      pen, x, y, size, size * rng.uniform(0.7, 1), np.array([150, 100, 160]) + rng.normal(0, 8, 3), zoom
    )
  small = canvas.resize((width, height), Image.Resampling.BOX)
  return np.asarray(small, np.float32)


def _ellipse(
  pen: ImageDraw.ImageDraw, x: float, y: float, rx: float, ry: float, colour: np.ndarray, zoom: int
) -> None:
  box = [zoom * (x - rx), zoom * (y - ry), zoom * (x + rx), zoom * (y + ry)]
  pen.ellipse(box, fill=tuple(int(c) for c in colour.clip(0, 255)))


def _white_cell(
  photograph: np.ndarray, class_name: str, rng: np.random.Generator, scale: float, centre: np.ndarray
) -> np.ndarray:
  """The photograph with the cell laid over it."""
  look = _LOOKS[class_name]
  radius = rng.uniform(*look.radius) * scale
  # Only the window around the cell is touched; 1.3 radii hold the most irregular outline.
  top, left = (max(0, int(at - 1.3 * radius)) for at in centre[::-1])
  bottom, right = (int(at + 1.3 * radius) + 1 for at in centre[::-1])
  window = photograph[top:bottom, left:right]
  height, width, _ = window.shape
  rows, columns = np.mgrid[top : top + height, left : left + width].astype(np.float32)
  # Coordinates in units of the cell's radius, turned and a little squashed: the cell is drawn upright in them.
  turn, squash = rng.uniform(0, 2 * np.pi), rng.uniform(0.9, 1.0)
  x, y = (columns - centre[0]) / radius, (rows - centre[1]) / radius
  u, v = np.cos(turn) * x + np.sin(turn) * y, (np.cos(turn) * y - np.sin(turn) * x) / squash
  soft = 0.8 / radius  # width of an edge
  angle = np.arctan2(v, u)
  outline = 1 + sum(rng.normal(0, 0.025) * np.cos(n * angle + rng.uniform(0, 2 * np.pi)) for n in (2, 3, 5))
  cell = _inside(np.hypot(u, v) - outline, soft)
  nucleus = _inside(_nucleus(class_name, rng, u, v), soft) * cell

  texture = _noise(rng, height, width, 2.2 * scale)
  cytoplasm = np.array(look.cytoplasm) + rng.normal(0, 7, 3) + 5 * texture[..., None]
  body = _over(window, cytoplasm, 0.93 * cell)
  granules = _granules(look, rng, u, v, scale / radius) * cell
  body = _over(body, np.array(look.granule) + rng.normal(0, 8, 3), 0.8 * granules)
  chromatin = look.chromatin * _noise(rng, height, width, 1.3 * scale)
  purple = np.array(look.nucleus) + rng.normal(0, 8, 3) + chromatin[..., None]
  whole = photograph.copy()
  whole[top:bottom, left:right] = _over(body, purple, 0.95 * nucleus)
  return whole


def _nucleus(class_name: str, rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
  """Signed distance to the nucleus' edge in cell radii, negative inside."""
  if class_name == 'LYMPHOCYTE':
    size = rng.uniform(0.72, 0.9)
    distance = np.hypot(u - rng.uniform(0, 0.9 - size), v * rng.uniform(0.95, 1.12)) - size
    dent = 0.25 - np.hypot(u - size - 0.12, v)  # a shallow notch in some
    return np.maximum(distance, dent) if rng.uniform() < 0.4 else distance
  if class_name == 'MONOCYTE':
    bend, thick = rng.uniform(1.3, 2.3), rng.uniform(0.3, 0.38)
    return _chain(_arc(rng, 7, 0.42, bend), np.full(7, thick), thick * 0.92, u, v)
  if class_name == 'EOSINOPHIL':
    points = _arc(rng, 2, rng.uniform(0.42, 0.5), rng.uniform(1.0, 1.25))
    return _chain(points, rng.uniform(0.32, 0.42, 2), 0.08, u, v)
  num_lobes = int(rng.choice([2, 3, 4, 5], p=[0.12, 0.38, 0.35, 0.15]))
  points = _arc(rng, num_lobes, 0.5, min(0.72 * (num_lobes - 1) / 2 + 0.25, 2.2))
  return _chain(points, rng.uniform(0.2, 0.31, num_lobes), 0.06, u, v)


def _arc(rng: np.random.Generator, num_points: int, radius: float, half_angle: float) -> np.ndarray:
  """[P, 2] points along an arc about the cell's centre, a little out of line."""
  angles = np.linspace(-half_angle, half_angle, num_points) + rng.normal(0, 0.08, num_points)
  points = radius * np.stack([np.cos(angles), np.sin(angles)], 1)
  return points - [0.3 * radius, 0] + rng.normal(0, 0.04, (num_points, 2))


def _chain(points: np.ndarray, radii: np.ndarray, strand: float, u: np.ndarray, v: np.ndarray) -> np.ndarray:
  """Signed distance to discs joined by strands of this half-width."""
  distances = [np.hypot(u - a, v - b) - r for (a, b), r in zip(points, radii, strict=True)]
  for (a, b), (c, d) in zip(points[:-1], points[1:], strict=True):
    along = (((u - a) * (c - a) + (v - b) * (d - b)) / ((c - a) ** 2 + (d - b) ** 2)).clip(0, 1)
    distances.append(np.hypot(u - a - along * (c - a), v - b - along * (d - b)) - strand)
  return np.min(distances, axis=0)


def _granules(look: _Look, rng: np.random.Generator, u: np.ndarray, v: np.ndarray, unit: float) -> np.ndarray:
  """Cover, 0 to 1, of the cell's granules (a monocyte's are vacuoles); `unit` is a pixel in cell radii."""
  num_granules = rng.poisson(look.num_granules)
  distance, angle = np.sqrt(rng.uniform(0, 0.9, num_granules)), rng.uniform(0, 2 * np.pi, num_granules)
  size = look.granule_radius * unit
  near_HW = np.full(u.shape, np.inf, np.float32)
  for a, b in zip(distance * np.cos(angle), distance * np.sin(angle), strict=True):
    near_HW = np.minimum(near_HW, (u - a) ** 2 + (v - b) ** 2)
  return _inside(np.sqrt(near_HW) - size, 0.5 * unit)


def _inside(distance: np.ndarray, soft: float) -> np.ndarray:
  return (0.5 - distance / soft).clip(0, 1)


def _over(below: np.ndarray, colour: np.ndarray, cover: np.ndarray) -> np.ndarray:
  return below + cover[..., None] * (colour - below)


def _noise(rng: np.random.Generator, height: int, width: int, grain: float) -> np.ndarray:
  """Smooth noise of unit strength whose blotches are about `grain` pixels wide."""
  rows, columns = max(2, int(height / grain)), max(2, int(width / grain))
  coarse = Image.fromarray(rng.standard_normal((rows, columns)).astype(np.float32))
  return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def _stain(photograph: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """Stronger, weaker, redder or bluer: the optical density of each channel is scaled (Beer-Lambert)."""
  density = -np.log((photograph.clip(1, 255)) / 256)
  density = density * (rng.uniform(0.65, 1.35) * rng.normal(1, 0.13, 3))
  return 256 * np.exp(-density)


def _light(photograph: np.ndarray, rng: np.random.Generator) -> np.ndarray:
  """Brightness, its fall towards one side, and the lamp's colour."""
  height, width, _ = photograph.shape
  slope = rng.normal(0, 0.06, 2)
  rows, columns = np.mgrid[-0.5 : 0.5 : height * 1j, -0.5 : 0.5 : width * 1j]
  gain = rng.uniform(0.82, 1.03) + slope[0] * rows + slope[1] * columns
  return photograph * gain[..., None] * rng.normal(1, 0.03, 3)
