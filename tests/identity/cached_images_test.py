"""Where the decoded images lie changes no bit of a run."""

import numpy as np
import pytest
from small_run import probs, run

pytestmark = pytest.mark.usefixtures('blank_figures')


@pytest.mark.parametrize('pipeline', ['numpy', pytest.param('device', marks=pytest.mark.long)])
def test_images_that_are_decoded_whenever_they_are_read_give_the_same_run(tmp_path, pipeline):
  whole = run(tmp_path / 'memory', **{'data.pipeline': pipeline, 'data.cache': 'memory'})
  read = run(tmp_path / 'none', **{'data.pipeline': pipeline, 'data.cache': 'none'})
  np.testing.assert_array_equal(probs(read, 'test'), probs(whole, 'test'))
  other = run(tmp_path / 'other', **{'data.pipeline': pipeline, 'data.cache': 'none', 'seed': 1})
  assert not np.array_equal(probs(other, 'test'), probs(whole, 'test'))
