"""Runs that several test files need: each is trained once, by the worker that needs it first."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Callable

import filelock
import pytest


def copy(
  name: str, train: Callable[[pathlib.Path], object], tmp_path_factory: pytest.TempPathFactory
) -> pathlib.Path:
  """A copy of the folder that `train` fills, which it is called for in one worker only."""
  top = tmp_path_factory.getbasetemp()
  if 'PYTEST_XDIST_WORKER' in os.environ:
    top = top.parent
  place = top / 'shared' / name
  place.mkdir(parents=True, exist_ok=True)
  with filelock.FileLock(place / 'lock'):
    if not (place / 'complete').exists():
      train(place / 'run')
      (place / 'complete').touch()
  folder = tmp_path_factory.mktemp(name) / 'run'
  shutil.copytree(place / 'run', folder)
  return folder
