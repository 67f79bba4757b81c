"""Draws synthetic photographs of a stained blood smear with one white cell each.

Morphology after the usual description of a Wright-Giemsa stain (Bain, "Blood Cells", 5th ed., chapter 3): the
nucleus of an eosinophil has two lobes among coarse orange granules; of a lymphocyte it is round and fills
a small cell; of a monocyte it is folded like a kidney in a large grey-blue cell with vacuoles; of a
neutrophil it has two to five lobes on thin strands in pale pink. Stain, light, focus and size vary so much
within a class that a linear classifier of pixels or colours does poorly. The ranges were chosen by eye
beside photographs of smears and widened until it did.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from PIL import Image, ImageFilter

CLASS_NAMES = ('EOSINOPHIL', 'LYMPHOCYTE', 'MONOCYTE', 'NEUTROPHIL')
# Lengths below are in pixels of a photograph with this many rows, and scale with it.
ROWS = 120

_GROUND = np.array([232.0, 228.0, 226.0])
_RED_CELL = np.array([208.0, 158.0, 152.0])
_PLATELET = np.array([146.0, 108.0, 176.0])
_PINK_TO_BLUE = np.array([-1.0, 0.0, 0.8])


@dataclasses.dataclass(frozen=True)
class _Look:
  """The morphology of a class; colours are RGB in 0..255 before staining and lighting."""

  radius: tuple[float, float]  # of the cell, in pixels at ROWS rows
  cytoplasm: tuple[float, float, float]
  nucleus: tuple[float, float, float]
  granule: tuple[float, float, float]
  num_granules: int
  granule_radius: float
  chromatin: float  # strength of the texture of the nucleus
  grain: float  # grain size of that texture
  ragged: float  # irregularity of the outline


_LOOKS = {
  'EOSINOPHIL': _Look(
    (15.5, 21.5), (214, 180, 188), (106, 76, 162), (200, 128, 134), 140, 1.45, 10, 1.5, 0.02
  ),
  'LYMPHOCYTE': _Look((13.5, 19.5), (182, 180, 214), (98, 66, 156), (150, 90, 160), 2, 0.8, 10, 2.0, 0.025),
  'MONOCYTE': _Look((17.0, 23.0), (188, 178, 204), (118, 88, 172), (226, 220, 226), 8, 1.6, 20, 1.5, 0.035),
  'NEUTROPHIL': _Look((15.5, 21.5), (212, 184, 200), (104, 70, 158), (190, 132, 160), 90, 0.7, 12, 1.5, 0.02),
}


@dataclasses.dataclass(frozen=True)
class _Stain:
  """Factors on the optical density of the pink dye (eosin) and of the blue one (azure)."""

  eosin: np.ndarray
  azure: np.ndarray

  def dyed(self, colour: np.ndarray, azure: float) -> np.ndarray:
    """The colour under this stain (Beer-Lambert); `azure` in 0..1 is the share of the blue dye."""
    return 256 * np.exp(-_density(colour) * ((1 - azure) * self.eosin + azure * self.azure))


def draw(class_name: str, rng: np.random.Generator, height: int, width: int) -> np.ndarray:
  """One photograph, uint8 [height, width, 3].

  Args:
    class_name: of the white cell, one of CLASS_NAMES.
    rng: everything that varies is drawn from it.
    height: rows.
    width: columns.

  Example:
    >>> draw('MONOCYTE', np.random.default_rng(0), 60, 80).shape
    (60, 80, 3)
  """
  look = _LOOKS[class_name]
  scale = height / ROWS * rng.uniform(0.9, 1.4)  # magnification, the same for all cells
  centre = np.array([rng.uniform(0.35, 0.65) * width, rng.uniform(0.35, 0.65) * height])
  radius = rng.uniform(*look.radius) * scale
  # One strength for the slide, and one factor for each dye, so that no colour identifies a class.
  strength = rng.uniform(0.65, 1.4)
  stain = _Stain(*(strength * rng.uniform(0.8, 1.25) * rng.normal(1, 0.08, 3) for _ in range(2)))

  ground = (_GROUND + rng.normal(0, 4, 3)).astype(np.float32)
  behind, before = _red_cells(rng, (height, width), scale, centre, radius)
  red = _density(stain.dyed(_RED_CELL + rng.normal(0, 6, 3), 0.05)) - _density(_GROUND)
  red = red.astype(np.float32)
  photograph = ground * np.exp(-behind[..., None] * red)
  _platelets(photograph, rng, stain, scale)
  _white_cell(photograph, class_name, rng, stain, scale, centre, radius)
  if before.any():
    photograph *= np.exp(-before[..., None] * red)
  photograph *= _light(rng, height, width)

  focus = ImageFilter.GaussianBlur(rng.uniform(0.2, 0.8) * height / ROWS)
  blurred = Image.fromarray(photograph.clip(0, 255).astype(np.uint8)).filter(focus)
  noise = rng.standard_normal((height, width, 1), np.float32) * np.float32(rng.uniform(1.0, 3.5))
  return (np.asarray(blurred) + noise).clip(0, 255).astype(np.uint8)


def _density(colour: np.ndarray) -> np.ndarray:
  return -np.log(np.clip(colour, 1, 255) / 256)


def _red_cells(
  rng: np.random.Generator, shape: tuple[int, int], scale: float, centre: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray]:
  """Thickness [height, width] of the red cells below the white one, and of the few that overlap its edge."""
  height, width = shape
  behind, before = np.zeros((2, height, width), np.float32)
  typical = rng.uniform(10.0, 12.5) * scale
  pallor = rng.uniform(0.3, 0.85)
  gap = rng.uniform(0.75, 1.15)  # below 1 they touch the white cell
  # Cells are single or in rows (rouleaux); the fraction that touches the previous cell differs between smears.
  leaning = rng.uniform(0, 0.6)
  share = rng.uniform(0.35, 1.2)  # of the area that they would cover without overlap
  previous = None
  for _ in range(int(share * height * width / (np.pi * typical**2))):
    size = typical * rng.uniform(0.85, 1.12)
    at = rng.uniform(-0.05, 1.05, 2) * (width, height)
    if previous is not None and rng.uniform() < leaning:
      turn = rng.uniform(0, 2 * np.pi)
      at = previous + 1.3 * size * np.array([np.cos(turn), np.sin(turn)])
    if np.hypot(*(at - centre)) < gap * radius + size:
      continue
    previous = at
    _disc(behind, rng, at, size, pallor * rng.uniform(0.7, 1.2))
  for _ in range(rng.choice(3, p=[0.6, 0.25, 0.15])):
    turn, size = rng.uniform(0, 2 * np.pi), typical * rng.uniform(0.85, 1.12)
    at = centre + (0.8 * radius + size) * np.array([np.cos(turn), np.sin(turn)])
    _disc(before, rng, at, size, pallor)
  return behind, before


def _disc(
  thickness: np.ndarray, rng: np.random.Generator, at: np.ndarray, size: float, pallor: float
) -> None:
  """Adds one biconcave disc in place: of full thickness at its rim, thinner by `pallor` in the middle."""
  turn, squash = rng.uniform(0, np.pi), rng.uniform(0.8, 1.0)
  rows, columns = (slice(max(0, int(a - size) - 1), max(0, int(a + size) + 3)) for a in (at[1], at[0]))
  window = thickness[rows, columns]
  if not window.size:
    return
  y = np.arange(rows.start, rows.start + window.shape[0], dtype=np.float32)[:, None] - np.float32(at[1])
  x = np.arange(columns.start, columns.start + window.shape[1], dtype=np.float32) - np.float32(at[0])
  c, s = np.float32(np.cos(turn) / size), np.float32(np.sin(turn) / size)
  square = (c * x + s * y) ** 2 + ((c * y - s * x) / np.float32(squash)) ** 2
  middle = 1 - np.float32(pallor) * np.exp(-4 * square)
  disc = _inside(np.sqrt(square) - 1, 1.5 / size) * middle * np.float32(rng.uniform(0.85, 1.1))
  # Two overlapping cells are darker, but less than twice as dark, because they flatten.
  window[...] = np.maximum(window, disc) + 0.3 * np.minimum(window, disc)


def _platelets(photograph: np.ndarray, rng: np.random.Generator, stain: _Stain, scale: float) -> None:
  """Draws purple grains (platelets) in place, single or in a clump as large as a nucleus."""
  height, width, _ = photograph.shape
  at = rng.uniform(0, 1, (rng.integers(0, 6), 2)) * (width, height)
  if rng.uniform() < 0.6:
    clump = rng.uniform(0.05, 0.95, 2) * (width, height)
    at = np.concatenate([at, clump + rng.normal(0, 5 * scale, (rng.integers(5, 40), 2))])
  colour = stain.dyed(_PLATELET + rng.normal(0, 10, 3), 0.8)
  strength = rng.uniform(0.45, 0.85)
  for x, y, size in zip(*at.T, rng.uniform(1.0, 2.8, len(at)) * scale, strict=True):
    rows, columns = (slice(max(0, int(a - size) - 2), max(0, int(a + size) + 3)) for a in (y, x))
    window = photograph[rows, columns]
    away = _away(window.shape, rows.start - y, columns.start - x)
    window[...] = _over(window, colour, strength * _inside(away - size, 1.2 * scale))


def _away(shape: tuple[int, ...], row: float, column: float) -> np.ndarray:
  """Distance [height, width] in pixels from a point, in a window that starts at this offset from the point."""
  rows = np.arange(shape[0], dtype=np.float32)[:, None] + np.float32(row)
  return np.sqrt(rows**2 + (np.arange(shape[1], dtype=np.float32) + np.float32(column)) ** 2)


def _white_cell(
  photograph: np.ndarray,
  class_name: str,
  rng: np.random.Generator,
  stain: _Stain,
  scale: float,
  centre: np.ndarray,
  radius: float,
) -> None:
  """Draws the cell into the photograph, in place."""
  look = _LOOKS[class_name]
  # Only the window around the cell changes; 1.3 radii contain the most irregular outline.
  top, left = (max(0, int(at - 1.3 * radius)) for at in centre[::-1])
  bottom, right = (int(at + 1.3 * radius) + 1 for at in centre[::-1])
  window = photograph[top:bottom, left:right]
  height, width, _ = window.shape
  rows, columns = np.mgrid[top : top + height, left : left + width].astype(np.float32)
  # Coordinates in units of the cell's radius, rotated and slightly compressed, in which the cell is upright.
  turn, squash = rng.uniform(0, 2 * np.pi), rng.uniform(0.85, 1.0)
  x, y = (columns - centre[0]) / radius, (rows - centre[1]) / radius
  u, v = np.cos(turn) * x + np.sin(turn) * y, (np.cos(turn) * y - np.sin(turn) * x) / squash
  soft = 1.0 / radius  # width of an edge
  angle = np.arctan2(v, u)
  waves = (rng.normal(0, look.ragged) * np.cos(n * angle + rng.uniform(0, 2 * np.pi)) for n in (2, 3, 5, 7))
  cell = _inside(np.hypot(u, v) - 1 - sum(waves), soft)
  # The edge of a lobe is never quite round.
  nucleus = _nucleus(class_name, rng, u, v) + 0.025 * _noise(rng, height, width, 5 * scale)
  nucleus = _inside(nucleus, soft) * cell

  # The uptake of the dyes in the cytoplasm varies more between cells than between classes.
  cytoplasm = np.array(look.cytoplasm) + rng.normal(0, 6, 3) + rng.uniform(-26, 26) * _PINK_TO_BLUE
  body = stain.dyed(cytoplasm, 0.5) + 5 * _noise(rng, height, width, 2.2 * scale)[..., None]
  body = _over(window, body, 0.9 * cell)
  granules = _granules(look, rng, u, v, scale / radius) * cell
  granule = stain.dyed(np.array(look.granule) + rng.normal(0, 10, 3), 0.35)
  body = _over(body, granule, rng.uniform(0.6, 0.85) * granules)
  chromatin = look.chromatin * _noise(rng, height, width, look.grain * scale)
  purple = stain.dyed(np.array(look.nucleus) + rng.normal(0, 8, 3), 0.9) + chromatin[..., None]
  window[...] = _over(body, purple, 0.95 * nucleus)


def _nucleus(class_name: str, rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
  """Signed distance to the nucleus' edge in cell radii, negative inside."""
  if class_name == 'LYMPHOCYTE':
    size = rng.uniform(0.72, 0.9)
    distance = np.hypot(u - rng.uniform(0, 0.9 - size), v * rng.uniform(0.95, 1.12)) - size
    dent = 0.25 - np.hypot(u - size - 0.12, v)  # a shallow notch in some
    return np.maximum(distance, dent) if rng.uniform() < 0.4 else distance
  if class_name == 'MONOCYTE':
    bend, thick = rng.uniform(1.3, 2.2), rng.uniform(0.28, 0.37)
    return _chain(_arc(rng, 7, 0.45, bend), np.full(7, thick), thick * 0.92, u, v)
  if class_name == 'EOSINOPHIL':
    num_lobes = int(rng.choice([2, 3], p=[0.88, 0.12]))
    points = _arc(rng, num_lobes, rng.uniform(0.44, 0.52), rng.uniform(1.05, 1.3))
    return _chain(points, rng.uniform(0.3, 0.42, num_lobes) - 0.06 * (num_lobes - 2), 0.07, u, v)
  num_lobes = int(rng.choice([2, 3, 4, 5], p=[0.08, 0.4, 0.36, 0.16]))
  # Spaced so that lobes stay separate: merged ones would look like a monocyte's nucleus.
  points = _arc(rng, num_lobes, 0.54, min(0.62 * (num_lobes - 1) + 0.15, 2.4))
  return _chain(points, rng.uniform(0.2, 0.28, num_lobes), 0.06, u, v)


def _arc(rng: np.random.Generator, num_points: int, radius: float, half_angle: float) -> np.ndarray:
  """[P, 2] points along an arc about the cell's centre, with a small random offset."""
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
  distance, angle = np.sqrt(rng.uniform(0, 0.95, num_granules)), rng.uniform(0, 2 * np.pi, num_granules)
  near_HW = np.full(u.shape, np.inf, np.float32)
  for a, b, size in zip(
    distance * np.cos(angle), distance * np.sin(angle), rng.uniform(0.75, 1.2, num_granules), strict=True
  ):
    # Distances are compared in units of each granule's own size.
    near_HW = np.minimum(near_HW, ((u - np.float32(a)) ** 2 + (v - np.float32(b)) ** 2) / np.float32(size**2))
  return _inside(np.sqrt(near_HW) - np.float32(look.granule_radius * unit), np.float32(0.8 * unit))


def _inside(distance: np.ndarray, soft: float | np.floating) -> np.ndarray:
  return np.minimum(np.maximum(0.5 - distance / soft, 0), 1)


def _over(below: np.ndarray, colour: np.ndarray, cover: np.ndarray) -> np.ndarray:
  return below + cover[..., None].astype(np.float32) * (colour.astype(np.float32) - below)


def _noise(rng: np.random.Generator, height: int, width: int, grain: float) -> np.ndarray:
  """Smooth noise of unit strength whose blotches are about `grain` pixels wide."""
  rows, columns = max(2, int(height / grain)), max(2, int(width / grain))
  coarse = Image.fromarray(rng.standard_normal((rows, columns)).astype(np.float32))
  return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def _light(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
  """Factors [height, width, 3]: brightness, its fall towards one side, and the lamp's colour."""
  slope = rng.normal(0, 0.06, 2)
  fall = slope[0] * np.linspace(-0.5, 0.5, height)[:, None] + slope[1] * np.linspace(-0.5, 0.5, width)
  gain = (rng.uniform(0.82, 1.05) + fall).astype(np.float32)
  return gain[..., None] * rng.normal(1, 0.03, 3).astype(np.float32)
