"""Lines about image files: an image saved as its line says is read."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from bloodcell_jax.base import types
from bloodcell_jax.data.images import photograph
from bloodcell_jax.data.sources import input_paths


def tiff(array: np.ndarray, **options) -> bytes:
  buffer = io.BytesIO()
  tifffile.imwrite(buffer, array, **options)
  return buffer.getvalue()


EIGHT_HWC = np.random.default_rng(0).integers(0, 255, (16, 20, 3), np.uint8)
GREY = {'photometric': 'minisblack'}
# a file; words of the line; what it says, done
IMAGES = {
  'below 0': (tiff(EIGHT_HWC.astype(np.int16) - 99, photometric='rgb'), 'save it with 8 or 16 bits'),
  'complex': (tiff(EIGHT_HWC[..., 0].astype(np.complex64), **GREY), 'save it with 8 or 16 bits'),
  'not finite': (tiff(np.full((16, 20), np.nan, np.float32), **GREY), 'save it with 8 or 16 bits'),
  '32 bits': (tiff(EIGHT_HWC.astype(np.uint32) << 20, photometric='rgb'), 'save it with 8 or 16'),
  'a stack': (
    tiff(np.stack([EIGHT_HWC] * 4), photometric='rgb'), 'save one of them, or their projection, as an RGB image'),
  'three pages': (tiff(np.moveaxis(EIGHT_HWC, -1, 0), **GREY), 'save it as RGB; else save one of them'),
  'five channels': (
    tiff(np.concatenate([EIGHT_HWC] * 2, -1)[..., :5].astype(np.uint16) * 257, **GREY, planarconfig='contig'),
    'save it as RGB'),
}  # fmt: skip


@pytest.mark.parametrize('kind', IMAGES)
def test_an_image_saved_as_the_line_says_is_read(kind):
  data, words = IMAGES[kind]
  with pytest.raises(photograph.rgb.DecodeError) as caught:
    photograph.upright(data, 10**6)
  assert words in str(caught.value)
  for better in (
    tiff(EIGHT_HWC, photometric='rgb'),
    tiff(EIGHT_HWC.astype(np.uint16) * 257, photometric='rgb'),
  ):
    np.testing.assert_array_equal(np.asarray(photograph.upright(better, 10**6)[0]), EIGHT_HWC)


@pytest.mark.parametrize(
  ('data', 'words'),
  [
    (b'version https://git-lfs.github.com/spec/v1\noid sha256:aa\n', 'fetch it with `git lfs pull`'),
    (b'<!DOCTYPE html><html>not found</html>', 'a web page in place of the image; download it again'),
  ],
)
def test_what_came_in_the_place_of_an_image_says_so(data, words):
  with pytest.raises(photograph.rgb.DecodeError) as caught:
    photograph.upright(data, 10**6)
  assert words in str(caught.value)


def test_the_folder_of_a_run_is_no_folder_of_images(tmp_path):
  for name in ('config.json', 'environment.json'):
    (tmp_path / name).write_text('{}')
  for place in ('figures/history.png', 'checkpoints/1/x', 'predict/slides/a.png'):
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    Image.fromarray(EIGHT_HWC).save(path, 'png')
  with pytest.raises(types.UserError) as caught:
    input_paths.read([str(tmp_path)])
  assert (
    'holds runs or results of this program and no image; name the folder of the images as the path'
    in str(caught.value)
  )
  # Images that lie in the folder of a run are found, and nothing of the run with them.
  (tmp_path / 'slides').mkdir()
  Image.fromarray(EIGHT_HWC).save(tmp_path / 'slides/b.png')
  assert [one.shown for one in input_paths.read([str(tmp_path)]).inputs] == ['slides/b.png']
  assert [one.shown for one in input_paths.read([str(tmp_path / 'slides')]).inputs] == ['b.png']
  # A folder that is no run may call its folders what it likes.
  (tmp_path / 'config.json').rename(tmp_path / 'settings.json')
  (tmp_path / 'environment.json').unlink()
  assert 'figures/history.png' in [one.shown for one in input_paths.read([str(tmp_path)]).inputs]
