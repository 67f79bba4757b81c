"""Review pages with drawn cells, for tests, and what a browser exports from them."""

import base64
import csv
import io
import time

import numpy as np
from PIL import Image

from bloodcell_jax.base import cell
from bloodcell_jax.inference import differential_count, review_page
from bloodcell_jax.stats import calibration, conformal

NAMES = ('A', 'B"<script>alert(1)</script>', 'C')
RULE = calibration.Calibration(1.0, 0.05, 0.6, conformal.Conformal('lac', 0.1, 0.7), 100, 20)
HOSTILE = '</script><img src=x onerror=alert(1)>,"q".png'


def jpeg():
  buffer = io.BytesIO()
  Image.fromarray(np.full((32, 32, 3), 99, np.uint8)).save(buffer, 'JPEG')
  return base64.b64encode(buffer.getvalue()).decode()


def write(path, num, names=NAMES, heat='', boxes=(None,), marks=(), most=None, model='run abc'):
  """The page of so many photographs, with each of the boxes in each; the first box has the marks."""
  probs_NK = np.random.default_rng(0).dirichlet(np.ones(len(names)), num * len(boxes))
  files = [HOSTILE, *(f'{i}.png' for i in range(1, num))]
  cells = [
    cell.Cell(file, f'{i:016x}', number, box, () if number > 1 else marks)
    for i, file in enumerate(files)
    for number, box in enumerate(boxes, 1)
  ]
  classified = differential_count.classify(cells, probs_NK, names, RULE, None)
  rows, _ = review_page.in_order(classified, (), len(cells) if most is None else most)
  about = {'title': 'slides <b>', 'model': model}
  pictures = [(jpeg(), heat)] * len(rows)
  path.write_text(review_page.render(classified, rows, 0, pictures, about, ['Synthetic'], []))
  return classified, rows


def exported(driver, folder):
  """The CSV file that the page exports."""
  driver.find_element('id', 'export').click()
  target = folder / 'corrections.csv'
  for _ in range(50):
    if target.exists():
      break
    time.sleep(0.1)
  return list(csv.DictReader(io.StringIO(target.read_text())))
