"""Finished runs, each trained once for all workers; every module has its own copy."""

from __future__ import annotations

import pytest
import shared_runs
import small_run

from bloodcell_jax.storage import workdir


@pytest.fixture(scope='module', autouse=True)
def _blank(blank_figures) -> None:
  """No test of this folder looks at a figure."""


@pytest.fixture(scope='module')
def single(blank_figures, tmp_path_factory) -> workdir.Workdir:
  return workdir.Workdir(shared_runs.copy('single', small_run.run, tmp_path_factory))


@pytest.fixture(scope='module')
def ensemble(blank_figures, tmp_path_factory) -> workdir.Workdir:
  def train(folder):
    small_run.run(folder, 'svr', **{'ensemble.method': 'average'})

  return workdir.Workdir(shared_runs.copy('ensemble', train, tmp_path_factory))
