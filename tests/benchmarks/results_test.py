"""The page of results says what its generator says, and denies nothing that other pages tell."""

from __future__ import annotations

import pathlib

from benchmarks import results

ROOT = pathlib.Path(__file__).parent.parent.parent


def test_the_page_begins_as_its_command_writes_it():
  assert (ROOT / 'docs' / 'results.md').read_text().startswith(results.HEAD)


def test_the_page_tells_what_was_chosen_after_figures_of_test_were_seen():
  # docs/hybrid.md tells of a rate that was lowered after figures of TEST had been printed.
  assert 'TEST figures' in (ROOT / 'docs' / 'hybrid.md').read_text()
  head = ' '.join(results.HEAD.split())
  for words in ('after TEST figures had been seen', '0.607', 'hybrid.md'):
    assert words in head
  assert 'accuracy on `test_clean`' in (ROOT / 'docs' / 'results.md').read_text()
