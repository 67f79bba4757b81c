"""A run without checkpoints answers as the run that it was written from, and not with other weights."""

from __future__ import annotations

import pathlib
import shutil
import sys

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.inference import classifier
from bloodcell_jax.runs import compact_run
from bloodcell_jax.storage import calibration_file, workdir
from bloodcell_jax.train import signals
from bloodcell_jax.weights import own

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / 'export'))
import trained


@pytest.fixture(scope='module')
def run(tmp_path_factory) -> workdir.Workdir:
  folder = trained.write_run(tmp_path_factory.mktemp('runs') / 'tiny', trained.load('cnn_a', None))
  loaded = classifier.load(folder, signals.Stop())
  calibration_file.write(folder, trained.RULE, loaded.models.fitted_for())
  return folder


@pytest.fixture
def compact(run, tmp_path) -> workdir.Workdir:
  loaded = classifier.load(run, signals.Stop())
  folder = workdir.Workdir(tmp_path)
  for path in (run.config, run.environment, run.calibration):
    shutil.copy(path, tmp_path)
  compact_run.write_weights(folder, loaded.params, loaded.job.transform.standardize, loaded.class_names)
  return folder


def test_it_answers_as_the_run(run, compact):
  images = trained.images(trained.SIZES['cnn_a'], 4).image_NHWC
  before, now = (classifier.load(folder, signals.Stop()) for folder in (run, compact))
  np.testing.assert_array_equal(now.probabilities(images), before.probabilities(images))
  assert (now.origin, now.class_names, now.rule) == (before.origin, before.class_names, before.rule)
  assert not compact_run.is_here(run)


def test_other_weights_are_refused(compact):
  arrays, about = own.read(compact.path / own.FILE)
  changed = {name: array * np.float32(1.01) for name, array in arrays.items()}
  own.write(compact.path / own.FILE, changed, about)
  with pytest.raises(types.UserError, match='fitted for other weights'):
    classifier.load(compact, signals.Stop())


def test_without_its_calibration_it_is_no_run(compact):
  compact.calibration.unlink()
  with pytest.raises(types.UserError, match=r'calibration\.json'):
    classifier.load(compact, signals.Stop())
