"""What a run's images look like is read back as it was written, of one laboratory or of several."""

from __future__ import annotations

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.stats import look_reference, unlike
from bloodcell_jax.storage import calibration_file, unlike_file, workdir

FITTED_FOR = calibration_file.FittedFor({'best_epoch': 2}, (), '', 'none', 'abc', 1.0)


def reference(shift: float) -> look_reference.Reference:
  look_ND = np.random.default_rng(0).normal(size=(60, 4)) + shift
  aspects = ('stain', 'stain', 'scale', 'sharpness')
  return look_reference.fit(
    look_ND, np.arange(60) % 2, np.arange(60).astype(str), aspects, np.full(4, 0.01), 0
  )


@pytest.mark.parametrize('shifts', [(0,), (0, 5), (0, 5, -5)])
def test_each_laboratorys_reference_is_read_back(tmp_path, shifts):
  folder = workdir.Workdir(tmp_path)
  written = unlike_file.Measure(1, tuple(reference(shift) for shift in shifts), None, None, FITTED_FOR)
  unlike_file.write(folder, written)
  found = unlike_file.read(folder)
  assert found is not None
  assert found.fitted_for == FITTED_FOR
  assert len(found.references) == len(shifts)
  for one, other in zip(found.references, written.references, strict=True):
    np.testing.assert_array_equal(one.centre_D, other.centre_D)
    assert (one.folder_limit, one.aspects) == (other.folder_limit, other.aspects)
  look_ND = np.random.default_rng(1).normal(size=(20, 4)) + max(shifts)
  judged = unlike.judge(found.references, look_ND, ['x'] * 20, unlike.Spec(0.03), False)
  assert not judged.foreign
  # The control: the first reference alone does not know the images of another laboratory.
  alone = unlike.judge(found.references[:1], look_ND, ['x'] * 20, unlike.Spec(0.03), False)
  assert bool(alone.foreign) == (len(shifts) > 1)


def test_a_file_that_lacks_an_array_is_damaged(tmp_path):
  folder = workdir.Workdir(tmp_path)
  unlike_file.write(folder, unlike_file.Measure(1, (reference(0),), None, None, FITTED_FOR))
  with np.load(folder.unlike) as archive:
    arrays = {name: archive[name] for name in archive.files if name != 'centre_D'}
  np.savez(folder.unlike, **arrays)
  with pytest.raises(types.UserError, match=r'unlike\.npz: damaged'):
    unlike_file.read(folder)
