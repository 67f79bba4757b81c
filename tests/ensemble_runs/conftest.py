"""The averaged ensemble, trained once for all workers; every module has its own copy."""

from __future__ import annotations

import pytest
import shared_runs
import small_ensemble

from bloodcell_jax.storage import workdir


@pytest.fixture(scope='module')
def averaged(blank_figures, tmp_path_factory) -> workdir.Workdir:
  return workdir.Workdir(shared_runs.copy('averaged', small_ensemble.run, tmp_path_factory))
