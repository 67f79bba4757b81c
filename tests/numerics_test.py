"""A value that is not finite is named where it first shows: an output, a statistic, a kept feature, an update."""

import jax
import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.data.augmentation import standardize
from bloodcell_jax.data.images import feature_cache
from bloodcell_jax.runs import forward

FILES = ['a.png', 'b.png', 'c.png']


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_an_output_that_is_not_finite_is_named_by_its_image(value):
  output_NK = np.zeros((3, 4), np.float32)
  forward.check(output_NK, FILES)
  output_NK[1, 2] = value
  with pytest.raises(
    types.RunError, match=r'^b\.png: the output of the network is not finite, for 1 of 3 images'
  ):
    forward.check(output_NK, FILES)


def test_statistics_that_are_not_finite_are_refused(tmp_path):
  path, mean_C = tmp_path / 'statistics.npz', np.ones(3, np.float32)
  standardize.write(path, standardize.Statistics(1.0, mean_C, None, None))
  np.testing.assert_array_equal(standardize.read(path).mean_C, mean_C)
  mean_C[1] = np.nan
  standardize.write(path, standardize.Statistics(1.0, mean_C, None, None))
  with pytest.raises(types.UserError, match=r'statistics\.npz: .*mean_C is not finite'):
    standardize.read(path)


@pytest.mark.parametrize('dtype', feature_cache.DTYPES)
def test_features_that_are_not_finite_are_not_kept(dtype, tmp_path):
  def build(value):
    def compute(rows):
      return np.full((len(rows), 2, 2, 3), value, np.float32)

    return feature_cache.read_or_build(tmp_path, 'x', (4, 2, 2, 3), dtype, compute, lambda done, total: None)

  with pytest.raises(types.RunError, match=r'x\.partial\.npy: the frozen features are not finite'):
    build(np.inf)
  assert np.asarray(build(2.0), np.float32).min() == 2  # the same folder goes on


def test_a_finite_gradient_and_an_update_beyond_all_bounds_are_reported():
  import jax.numpy as jnp
  import optax

  from bloodcell_jax.train import devices, state, step

  params = {'dense_1': {'kernel': jnp.ones((3, 2))}}
  tx = optax.scale(-1.0)
  made = step.make(
    lambda params, image, *_: image.reshape(len(image), -1) @ params['dense_1']['kernel'],
    step.softmax(0.0, 0.0), tx, 0.0, jax.tree.map(lambda _: True, params), devices.AXIS,
  )  # fmt: skip
  run = devices.make_train(made, devices.devices(1, 'pmap'))
  image = np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 1, 1, 3)
  given = types.Batch(image, np.eye(2, dtype=np.float32)[[0, 1, 1, 1]], np.ones(4, np.float32), np.arange(4))
  for scale, finite in ((1.0, True), (np.inf, False)):
    fresh = state.create(params, tx, False, 0)
    after, report = run(fresh, given, jax.random.key(0), np.float32(scale))
    assert np.isfinite(report.loss)
    assert bool(report.finite) is finite
    assert bool(np.isfinite(np.asarray(after.params['dense_1']['kernel'])).all()) is finite
