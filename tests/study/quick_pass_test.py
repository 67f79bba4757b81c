"""The whole study on the embedded images, as docs/study.md gives it for a first look."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time

import html_checker
import pytest
import starting

from configs import study

MINUTES = 8
# A quiet machine of two cores needs less than 10 minutes; others may be at work here.
MOST_SECONDS = 15 * 60


@pytest.mark.slow
def test_every_row_runs_on_the_embedded_images_and_one_page_shows_them(tmp_path):
  began = time.monotonic()
  command = (sys.executable, 'main.py', 'study', f'--budget={MINUTES}', f'--workdir={tmp_path}')
  done = subprocess.run(command, cwd=starting.ROOT, capture_output=True, text=True, timeout=4 * MOST_SECONDS)
  seconds = time.monotonic() - began
  assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
  print(f'{seconds:.0f} s')
  rows = json.loads((tmp_path / 'study.json').read_text())['rows']
  assert [row['name'] for row in rows] == [row.name for row in study.ROWS]
  assert len(rows) >= 15
  assert {row['state'] for row in rows} == {'complete'}
  assert all(row['metrics']['test']['accuracy']['value'] > 0 for row in rows)
  pages = list(tmp_path.glob('*.html'))
  assert [page.name for page in pages] == ['study.html']
  page = pages[0].read_text()
  assert html_checker.check(page) == []
  assert f'{len(rows)} of {len(rows)} rows complete' in page
  assert 'Synthetic data' in page
  assert seconds < MOST_SECONDS, f'{seconds:.0f} s'
  left = [int(n) for n in re.findall(r'study: (\d+) of \d+ runs done', done.stdout)]
  assert left == sorted(left)
