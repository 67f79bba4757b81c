"""The review page in a real browser: filtered, corrected by keyboard, kept, exported; hostile names stay words."""

import base64
import csv
import io
import time

import browser
import html_checker
import numpy as np
from PIL import Image

from bloodcell_jax.inference import differential_count, review_page
from bloodcell_jax.stats import calibration

NAMES = ('A', 'B"<script>alert(1)</script>', 'C')
RULE = calibration.Calibration(1.0, 0.05, 0.6, calibration.Conformal('lac', 0.1, 0.7), 100, 20)
HOSTILE = '</script><img src=x onerror=alert(1)>,"q".png'


def jpeg():
  buffer = io.BytesIO()
  Image.fromarray(np.full((32, 32, 3), 99, np.uint8)).save(buffer, 'JPEG')
  return base64.b64encode(buffer.getvalue()).decode()


def made(path, num, names=NAMES):
  probs_NK = np.random.default_rng(0).dirichlet(np.ones(3), num)
  files = [HOSTILE, *(f'{i}.png' for i in range(1, num))]
  found = differential_count.of(files, [f'{i:016x}' for i in range(num)], probs_NK, names, RULE)
  rows = review_page.order(found, num)
  about = {'title': 'slides <b>', 'model': 'run abc'}
  path.write_text(review_page.make(found, rows, [(jpeg(), '')] * num, about, ['Synthetic'], []))
  return found, rows


def test_the_least_certain_come_first_and_at_most_so_many(tmp_path):
  found, rows = made(tmp_path / 'review.html', 30)
  confidence = found.probs_NK.max(1)[rows]
  assert (np.diff(confidence) >= 0).all()
  assert review_page.order(found, 5) == rows[:5]


def test_no_name_becomes_html(tmp_path):
  made(tmp_path / 'review.html', 3)
  text = (tmp_path / 'review.html').read_text()
  assert html_checker.check(text) == []
  assert '<img src=x' not in text
  assert text.count('<script') == 3


def test_labels_are_given_by_keyboard_kept_and_exported(tmp_path):
  page = tmp_path / 'review.html'
  found, rows = made(page, 30)
  with browser.opened(page, 1280) as driver:
    assert browser.problems(driver, 1280) == []
    driver.execute_cdp_cmd('Page.setDownloadBehavior', {'behavior': 'allow', 'downloadPath': str(tmp_path)})
    cells = driver.find_elements('css selector', '.item')
    assert len(cells) == 30
    cells[0].click()
    # Class 2, which moves on; agree; class 3, taken back; class 1.
    for keys in ('2', '\ue007', '3', '\ue012', '\ue003', '1'):
      driver.switch_to.active_element.send_keys(keys)
    assert '3 labelled by you' in driver.find_element('id', 'status').text
    for _ in range(20):  # The browser keeps them a moment after the key, in another process.
      time.sleep(0.5)
      driver.refresh()
      if '3 labelled by you' in driver.find_element('id', 'status').text:
        break
    assert '3 labelled by you' in driver.find_element('id', 'status').text, 'labels outlast a reload'
    driver.find_element('css selector', '#filter option[value="+"]').click()
    assert len([c for c in driver.find_elements('css selector', '.item') if c.is_displayed()]) == 3
    driver.find_element('id', 'export').click()
    target = tmp_path / 'corrections.csv'
    for _ in range(50):
      if target.exists():
        break
      time.sleep(0.1)
    assert browser.problems(driver, 1280) == []
  given = list(csv.DictReader(io.StringIO(target.read_text())))
  expected = [(rows[0], NAMES[1]), (rows[1], found.likeliest[rows[1]]), (rows[2], NAMES[0])]
  assert [(row['file'], row['human_label']) for row in given] == [
    (found.file[i], name) for i, name in expected
  ]
  assert given[0]['machine_label'] == found.named[rows[0]]
  assert given[0]['model'] == 'run abc'
  assert given[0]['sha256_16'] == found.digest[rows[0]]


def test_two_thousand_images_are_shown_and_filtered_without_a_wait(tmp_path):
  page = tmp_path / 'review.html'
  made(page, 2000, ('A', 'B', 'C'))
  with browser.opened(page, 1280) as driver:
    took = driver.execute_script(
      'const f = document.getElementById("filter"); const began = performance.now();'
      'for (const v of ["A", "unclassified", "*"]) { f.value = v; f.dispatchEvent(new Event("change"));'
      'document.body.offsetHeight; } return (performance.now() - began) / 3;'
    )
    assert took < 1000, f'{took:.0f} ms a filter'
    assert driver.execute_script('return document.querySelectorAll(".item").length') == 2000
