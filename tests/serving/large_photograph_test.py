"""A photograph of too many pixels: the page names the flag of `serve`, with which the photograph is taken."""

from __future__ import annotations

import re
import struct
import zlib

import numpy as np
import page_server
import pytest

from bloodcell_jax.commands import serve
from bloodcell_jax.data.images import decode, photograph, rgb
from bloodcell_jax.inference import cell_finder, file_predictions
from bloodcell_jax.serving import analysis, photograph_file

WIDE = page_server.png(np.full((1200, 1000, 3), 230, np.uint8))


def bomb(side: int) -> bytes:
  """A PNG whose header alone says how large it is."""
  header = struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
  crc = struct.pack('>I', zlib.crc32(b'IHDR' + header))
  return b'\x89PNG\r\n\x1a\n' + struct.pack('>I', 13) + b'IHDR' + header + crc + bytes(4) + b'IDAT' + bytes(4)


def test_with_the_flag_that_is_named_the_photograph_is_taken(tmp_path):
  with page_server.running(tmp_path, pixels=10**6) as server:
    browser = server.browser()
    status, answer = browser.upload('wide.png', WIDE)
    assert browser.upload('one.png', page_server.cell_png(0))[0] == 200, 'a small one is taken'
  assert (status, answer['problem']) == (
    422,
    'wide.png: has 1000x1200 pixels, more than --most_megapixels=1 allows; start serve with --most_megapixels=2, '
    'or make the photograph smaller',
  )
  advice = re.search(r'start serve with --(\w+)=(\d+)', answer['problem'])
  assert advice
  assert advice[1] in serve._LIMITS
  with page_server.running(tmp_path, pixels=int(advice[2]) * 10**6) as server:
    assert server.browser().upload('wide.png', WIDE) == (200, {'is_new': True})


def test_a_photograph_that_no_limit_admits_is_to_be_made_smaller(server):
  status, answer = server.browser().upload('vast.png', bomb(60_000))
  problem = 'vast.png: has too many pixels to be read; make the photograph smaller'
  assert (status, answer['problem']) == (422, problem)


def test_a_file_of_more_bytes_than_so_many_pixels_have_is_admitted_by_the_limit_that_is_named(tmp_path):
  path = tmp_path / 'a.png'
  path.write_bytes(b'x' * (photograph._SPARE_BYTES + 8 * 2000 + 1))
  with pytest.raises(rgb.TooLarge) as caught:
    photograph.read(str(path), 2000)
  assert caught.value.enough == 2001
  assert len(photograph.read(str(path), caught.value.enough)) == path.stat().st_size


def test_the_flag_holds_in_place_of_the_runs_limit_and_the_network_keeps_its_name(tmp_path):
  loaded = page_server.loaded()
  own = loaded.job.experiment.data.decode
  few, many = (analysis.Analysis(loaded, 'run', '', 'auto', {}, n) for n in (10**6, 3 * own.max_pixels))
  path = tmp_path / 'wide.png'
  path.write_bytes(WIDE)
  uploaded = photograph_file.PhotographFile('1', path.name, path, 'ab', (0, 0), 9)
  with pytest.raises(decode.DecodeError, match='1000x1200'):
    few.decode_upload(uploaded)
  assert many.decode_upload(uploaded).size == (1000, 1200)
  assert many.spec.max_pixels == 3 * own.max_pixels
  assert few.network == many.network
  assert few.network == file_predictions.fingerprint(few.loaded, own, cell_finder.fingerprint('auto'))
  assert analysis.Analysis(loaded, 'run', 'nucleus', 'auto', {}, 10**6).network != few.network
