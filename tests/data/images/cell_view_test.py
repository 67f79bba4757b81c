"""The view that shows every cell at one scale."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from bloodcell_jax.base import cell
from bloodcell_jax.data.images import cell_view, decode
from bloodcell_jax.data.sources import smear
from bloodcell_jax.inference import cell_finder

GROUND, NUCLEUS = (232, 228, 226), (104, 70, 158)
SIZE = 64


def cut(image_HWC: np.ndarray) -> np.ndarray:
  return cell_view.cut(image_HWC, cell_view.NAME, SIZE, Image.Resampling.BILINEAR)[0]


def drawn(radius: float, middle: tuple[float, float], shape=(200, 260), seed: int = 0) -> np.ndarray:
  """A pale cell with a round nucleus beside two red cells."""
  y, x = np.mgrid[: shape[0], : shape[1]]
  image = np.full((*shape, 3), GROUND, np.float64)
  for row, column in ((20, 20), (shape[0] - 25, shape[1] - 30)):
    image[np.hypot(y - row, x - column) < 0.9 * radius] = (208, 158, 152)
  image[np.hypot(y - middle[0], x - middle[1]) < 1.4 * radius] = (208, 184, 204)
  image[np.hypot(y - middle[0], x - middle[1]) < radius] = NUCLEUS
  noise = np.random.default_rng(seed).normal(0, 2, image.shape)
  return (image + noise).clip(0, 255).astype(np.uint8)


def difference(a: np.ndarray, b: np.ndarray) -> float:
  return float(np.abs(a.astype(float) - b.astype(float)).mean())


def share_of_nucleus(view_HWC: np.ndarray) -> float:
  return float((np.abs(view_HWC.astype(int) - NUCLEUS).max(-1) < 30).mean())


@pytest.mark.parametrize('factor', [0.5, 1.5, 3.0])
def test_a_scaled_twin_gives_the_same_view(factor):
  image_HWC = smear.draw('EOSINOPHIL', np.random.default_rng(4), 240, 320)
  twin = Image.fromarray(image_HWC).resize((round(320 * factor), round(240 * factor)))
  other = smear.draw('EOSINOPHIL', np.random.default_rng(5), 240, 320)
  assert difference(cut(image_HWC), cut(np.asarray(twin))) < 9 < difference(cut(image_HWC), cut(other))


def test_cells_of_any_size_fill_the_same_share():
  shares = [share_of_nucleus(cut(drawn(radius, (100, 130)))) for radius in (18, 30, 45)]
  assert shares == pytest.approx([1 / cell_view.SIDES[cell_view.NAME] ** 2] * 3, rel=0.15)
  # The full image, resized, shows them at three scales.
  whole = [np.asarray(Image.fromarray(drawn(radius, (100, 130))).resize((SIZE, SIZE))) for radius in (18, 45)]
  assert share_of_nucleus(whole[1]) > 4 * share_of_nucleus(whole[0])


def test_the_close_view_shows_the_same_cell_larger():
  image_HWC = drawn(30, (100, 130))
  close_HWC = cell_view.cut(image_HWC, cell_view.CLOSE, SIZE, Image.Resampling.BILINEAR)[0]
  larger = (cell_view.SIDES[cell_view.NAME] / cell_view.SIDES[cell_view.CLOSE]) ** 2
  assert share_of_nucleus(close_HWC) == pytest.approx(larger * share_of_nucleus(cut(image_HWC)), rel=0.1)
  spec = decode.Spec(SIZE, cell_view.CLOSE, 'bilinear', False, 10**6, 'memory')
  file = io.BytesIO()
  Image.fromarray(image_HWC).save(file, 'png')
  np.testing.assert_array_equal(decode.image(file.getvalue(), spec)[0], close_HWC)


def test_each_of_two_cells_that_touch_is_in_the_middle_of_its_own_view():
  # Two nuclei, nearly touching, as lobes of one would be.
  first, second = drawn(30, (100, 96)), drawn(30, (100, 164))
  image_HWC = np.minimum(first, second)
  boxes = [cell.Box(60, 64, 132, 136), cell.Box(128, 64, 200, 136)]
  views = [cell_view.cut(image_HWC, cell_view.NAME, SIZE, Image.Resampling.BILINEAR, box)[0] for box in boxes]
  for view_HWC in views:
    middle_HWC = view_HWC[SIZE // 2 - 4 : SIZE // 2 + 4, SIZE // 2 - 4 : SIZE // 2 + 4]
    assert share_of_nucleus(middle_HWC) == 1
  # Their neighbours lie on opposite sides.
  left, right = (view_HWC[:, : SIZE // 4] for view_HWC in views)
  assert share_of_nucleus(right) > 0.1 > share_of_nucleus(left)
  # Negative control: without their boxes they are one nucleus, between the two.
  middle_HWC = cut(image_HWC)[:, SIZE // 2 - 2 : SIZE // 2 + 2]
  assert share_of_nucleus(middle_HWC) < 0.35
  # The box of a cell that stands alone changes nothing.
  alone = drawn(30, (100, 130))
  boxed = cell_view.cut(alone, cell_view.NAME, SIZE, Image.Resampling.BILINEAR, cell.Box(94, 64, 166, 136))[0]
  assert difference(boxed, cut(alone)) < 1


def test_beyond_the_edge_lies_the_ground_and_the_cell_stays_in_the_middle():
  view_HWC = cut(drawn(30, (20, 130)))
  assert np.abs(view_HWC[:8].astype(int) - GROUND).max() < 12
  middle = view_HWC[SIZE // 2 - 3 : SIZE // 2 + 3, SIZE // 2 - 3 : SIZE // 2 + 3].astype(int)
  assert np.abs(middle - NUCLEUS).max() < 25


def test_without_a_nucleus_the_whole_image_is_taken_and_noted():
  image_HWC = np.full((40, 80, 3), 200, np.uint8)
  view_HWC, notes = cell_view.cut(image_HWC, cell_view.NAME, SIZE, Image.Resampling.BILINEAR)
  assert view_HWC.shape == (SIZE, SIZE, 3)
  assert (view_HWC == 200).all()
  assert notes == (cell_view.NOTE,)
  assert cell_view.cut(drawn(30, (100, 130)), cell_view.NAME, SIZE, Image.Resampling.BILINEAR)[1] == ()


def test_a_cell_of_a_field_is_seen_as_the_same_cell_alone(tmp_path):
  image_HWC = drawn(30, (100, 130))
  Image.fromarray(image_HWC).save(tmp_path / 'field.png')
  spec = decode.Spec(SIZE, 'cell', 'bilinear', False, 10**6, 'memory')
  box = cell.Box(88, 58, 172, 142)
  frames = cell_finder.framer('cell')
  ((_, cells),) = decode.each([str(tmp_path / 'field.png')], spec, lambda *_: True, lambda *_: (box,), frames)
  ((_, view_HWC),) = cells
  alone, _ = decode.image((tmp_path / 'field.png').read_bytes(), spec)
  assert difference(view_HWC, alone) < 4
  elsewhere = decode.Spec(SIZE, 'nucleus', 'bilinear', False, 10**6, 'memory')
  assert difference(view_HWC, decode.image((tmp_path / 'field.png').read_bytes(), elsewhere)[0]) > 8


def test_frames_hold_the_cell_and_stay_in_the_photograph():
  (frame,) = cell_finder.framer('cell')(np.zeros((200, 260, 3), np.uint8), [cell.Box(0, 60, 50, 110)])
  assert (frame.left, frame.top) == (0, 30)
  assert frame.right < 100


def test_decode_takes_the_view():
  out = io.BytesIO()
  Image.fromarray(drawn(30, (100, 130))).save(out, 'PNG')
  spec = decode.Spec(SIZE, 'cell', 'bilinear', False, 10**6, 'memory')
  image_HWC, notes = decode.image(out.getvalue(), spec)
  assert notes == ()
  assert (image_HWC == cut(drawn(30, (100, 130)))).all()
