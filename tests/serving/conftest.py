"""The page's server, one for the tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import page_server
import pytest


@pytest.fixture(scope='module')
def server(tmp_path_factory) -> Iterator[page_server.Server]:
  with page_server.running(tmp_path_factory.mktemp('serve'), num_sessions=100) as running:
    yield running
