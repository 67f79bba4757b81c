"""A calibration is read back as it was written, or refused by the name of its file."""

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.stats import calibration, conformal
from bloodcell_jax.storage import calibration_file, workdir

FITTED_FOR = calibration_file.FittedFor(
  {'best_epoch': 2, 'epochs': 3}, ('1', '2'), 'mean', 'none', 'abc', 1.0
)


@pytest.mark.parametrize('limit', [0.8, np.inf])
@pytest.mark.parametrize('fitted_for', [FITTED_FOR, None])
def test_a_calibration_is_read_back_as_written(tmp_path, limit, fitted_for):
  folder = workdir.Workdir(tmp_path)
  rule = calibration.Calibration(1.6, 0.05, 0.7, conformal.Conformal('lac', 0.1, limit), 16, 8)
  calibration_file.write(folder, rule, fitted_for)
  assert calibration_file.read(folder) == (rule, fitted_for)


@pytest.mark.parametrize('damaged', ['', '{', '{"temperature": 1}', '[]'])
def test_a_damaged_calibration_is_an_error_that_names_the_file(tmp_path, damaged):
  folder = workdir.Workdir(tmp_path)
  with pytest.raises(types.UserError, match='missing'):
    calibration_file.read(folder)
  folder.calibration.write_text(damaged)
  with pytest.raises(types.UserError, match=r'calibration\.json: damaged'):
    calibration_file.read(folder)
