"""A whole run where the file system keeps no attributes: macOS, Windows, many network drives."""

from __future__ import annotations

import json
import os

import evaluating
import numpy as np
import pytest

from bloodcell_jax import commands
from bloodcell_jax.commands import train
from bloodcell_jax.storage import predictions_csv, workdir
from bloodcell_jax.system import atomic
from bloodcell_jax.train import checksums, signals
from configs import default

pytestmark = pytest.mark.usefixtures('blank_figures')

TINY = {
  'data.image_size': 48,
  'data.pipeline': 'numpy',
  'data.embedded.num_train': 10,
  'data.embedded.num_test': 6,
  'data.embedded.height': 60,
  'data.embedded.width': 80,
  'train.batch_size': 8,
  'train.steps_per_epoch': 3,
  'evaluate.num_resamples': 100,
}


@pytest.fixture
def no_attributes(monkeypatch):
  for name in ('setxattr', 'getxattr', 'listxattr', 'removexattr'):
    monkeypatch.delattr(os, name, raising=False)


def finish(folder, epochs):
  config = default.get_config()
  config.update_from_flattened_dict({**TINY, 'train.epochs': epochs})
  train.run(commands.Request(config, 'default', str(folder), ()), signals.Stop())
  return predictions_csv.read(workdir.Workdir(folder).predictions('test')).probs_NK


@pytest.mark.long
def test_a_run_ends_continues_and_is_evaluated_to_the_same_bits(tmp_path, no_attributes, monkeypatch):
  finish(tmp_path / 'parts', 1)
  probs_NK = finish(tmp_path / 'parts', 2)
  np.testing.assert_array_equal(probs_NK, finish(tmp_path / 'whole', 2))
  evaluating.run(monkeypatch, tmp_path / 'parts')
  again = predictions_csv.read(workdir.Workdir(tmp_path / 'parts').predictions('test')).probs_NK
  np.testing.assert_array_equal(again, probs_NK)


def test_the_sums_of_a_checkpoint_are_checked_all_the_same(tmp_path, no_attributes):
  (tmp_path / checksums.METADATA).write_text('{}')
  (tmp_path / 'weights').write_bytes(b'what was learned')
  checksums.write(tmp_path)
  assert atomic.sum_file(tmp_path / checksums.FILE).exists(), 'the case that is tested'
  assert checksums.damage(tmp_path) == ''
  # Negative controls: a file that is no part of it, and one that has changed.
  (tmp_path / '.other').write_text('?')
  assert 'does not belong there' in checksums.damage(tmp_path)
  (tmp_path / '.other').unlink()
  (tmp_path / 'weights').write_bytes(b'something else')
  assert 'differs from what was written' in checksums.damage(tmp_path)
  sums = json.loads((tmp_path / checksums.FILE).read_text())['sha256']
  assert list(sums) == ['weights']


def test_a_hidden_sum_goes_when_the_file_gets_an_attribute(tmp_path):
  path = tmp_path / 'config.json'
  with pytest.MonkeyPatch.context() as patch:
    for name in ('setxattr', 'getxattr', 'listxattr', 'removexattr'):
      patch.delattr(os, name, raising=False)
    atomic.write_text(path, 'first')
    assert atomic.sum_file(path).exists()
  atomic.write_text(path, 'second')
  if not hasattr(os, 'listxattr') or not os.listxattr(path):
    pytest.skip('this file system keeps no attributes')
  assert not atomic.sum_file(path).exists()
  copy = tmp_path / 'copied' / 'config.json'
  copy.parent.mkdir()
  for file in tmp_path.glob('*config.json*'):
    (copy.parent / file.name).write_bytes(file.read_bytes())  # without attributes, as `cp -r` copies
  assert atomic.read_text(copy) == 'second'
  # Negative control: in its place it is still checked.
  path.write_text('third!')
  with pytest.raises(ValueError, match='changed since it was written'):
    atomic.read_text(path)
