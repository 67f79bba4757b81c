"""The whole study on the embedded images, as docs/study.md gives it for a first look."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import time

import html_checker
import pytest
import starting

from configs import study

MINUTES = 8
# On a quiet machine of two cores. Where others are at work the rows have their least length, of which the processors'
# time is the measure.
MOST_SECONDS, MOST_OF_PROCESSORS = 10 * 60, 12 * 60


def _of_processors() -> float:
  """Seconds that the processes started here and ended have used of all processors."""
  used = resource.getrusage(resource.RUSAGE_CHILDREN)
  return used.ru_utime + used.ru_stime


@pytest.mark.slow
def test_every_row_runs_on_the_embedded_images_and_one_page_shows_them(tmp_path):
  began, before = time.monotonic(), _of_processors()
  command = (sys.executable, 'main.py', 'study', f'--budget={MINUTES}', f'--workdir={tmp_path}')
  done = subprocess.run(command, cwd=starting.ROOT, capture_output=True, text=True, timeout=6 * MOST_SECONDS)
  seconds = time.monotonic() - began
  assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
  of_processors = _of_processors() - before
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
  in_time = seconds < MOST_SECONDS or of_processors < MOST_OF_PROCESSORS
  assert in_time, f'{seconds:.0f} s, {of_processors:.0f} s of the processors'
  left = [int(n) for n in re.findall(r'study: (\d+) of \d+ runs done', done.stdout)]
  assert left == sorted(left)
