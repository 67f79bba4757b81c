"""The images to look at: the surest mistakes, the least certain, one of each photograph."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from bloodcell_jax.base import types
from bloodcell_jax.reports import review_images


def found(num_groups=15, size=8):
  generator = np.random.default_rng(0)
  num = num_groups * size
  probs_NK = generator.dirichlet(np.ones(3), num)
  label_N = generator.integers(0, 3, num).astype(np.int32)
  group_N = np.repeat(np.arange(num_groups), size).astype(str)
  return types.Predictions(probs_NK, label_N, group_N, np.arange(num).astype(str), tuple('ABC'))


def test_mistakes_are_wrong_and_sure_and_the_uncertain_are_unsure_one_of_each_group():
  predictions = found()
  chosen = review_images.choose(predictions)
  called_N, confidence_N = predictions.probs_NK.argmax(1), predictions.probs_NK.max(1)
  wrong_N = called_N != predictions.label_N
  for kind in (review_images.MISTAKE, review_images.UNCERTAIN):
    rows = [row for k, row in chosen if k == kind]
    assert len(rows) == review_images.MAX_PER_KIND
    assert len(set(predictions.group_N[rows])) == len(rows)
  mistakes = [row for k, row in chosen if k == review_images.MISTAKE]
  assert wrong_N[mistakes].all()
  assert (np.diff(confidence_N[mistakes]) <= 0).all()
  assert mistakes[0] == np.flatnonzero(wrong_N)[confidence_N[wrong_N].argmax()]
  uncertain = [row for k, row in chosen if k == review_images.UNCERTAIN]
  assert uncertain[0] == confidence_N.argmin()
  # Negative control: without the rule of one a group, a group would stand there twice.
  plain = np.argsort(confidence_N)[: review_images.MAX_PER_KIND]
  assert len(set(predictions.group_N[plain])) < len(plain)


def test_a_flawless_network_has_no_mistakes_to_show():
  predictions = found()
  predictions.probs_NK[:] = np.eye(3)[predictions.label_N]
  assert {kind for kind, _ in review_images.choose(predictions)} == {review_images.UNCERTAIN}


def test_items_are_read_as_they_were_written_and_show_the_row_they_name(tmp_path):
  predictions = found()

  def image_of(row):
    return np.full((300, 200, 3), row, np.uint8)

  items = review_images.items(predictions, review_images.choose(predictions), image_of)
  review_images.write(tmp_path / 'test.json', items)
  assert review_images.read(tmp_path / 'test.json') == items
  for item in items:
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(item.jpeg))))
    assert max(shown.shape) == review_images.SIDE
    assert shown.mean() == pytest.approx(int(item.file), abs=2)
  assert review_images.read(tmp_path / 'none.json') == []
  (tmp_path / 'test.json').write_text('[{}]')
  with pytest.raises(types.UserError, match=r'test\.json: damaged'):
    review_images.read(tmp_path / 'test.json')
