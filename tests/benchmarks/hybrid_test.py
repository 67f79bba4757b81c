"""The benchmark of output layers fits each of them on features and scores it on other images."""

from __future__ import annotations

import types as python_types

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.heads import svr
from bloodcell_jax.stats import intervals
from bloodcell_jax.system import process

NAMES = ('A', 'B', 'C')


def draw(num, seed):
  """Features whose class means are far apart, and the table of their images."""
  generator = np.random.default_rng(seed)
  label_N = (np.arange(num) % 3).astype(np.int32)
  feature_ND = 3 * np.eye(3, 6)[label_N] + generator.normal(size=(num, 6))
  text_N = np.array([f'{seed}-{i}' for i in range(num)])
  table = types.Table(
    content=(b'',) * num, file=text_N, label=label_N, source=text_N, group=text_N, split=np.full(num, 'TEST'),
    digest=text_N, class_names=NAMES, name='random', synthetic=True,
  )  # fmt: skip
  return feature_ND.astype(np.float32), table


def test_every_output_layer_separates_classes_that_differ(monkeypatch):
  monkeypatch.setenv(process.SWITCH, '1')
  from benchmarks import hybrid

  monkeypatch.setattr(hybrid, 'NUM_FEATURES', 40)
  train_ND, train = draw(90, 0)
  splits = {split: draw(60, seed) for seed, split in enumerate(hybrid.SPLITS, 1)}
  inputs = hybrid.Features(
    train_ND,
    train.label,
    {k: x_ND for k, (x_ND, _) in splits.items()},
    {k: t for k, (_, t) in splits.items()},
  )
  contenders = list(hybrid.on_features(inputs, len(NAMES), svr.Spec(0.1, 1.0), 6))
  assert len({one.name for one in contenders}) == 7
  for one in contenders:
    predictions = one.predictions['test']
    right = predictions.probs_NK.argmax(1) == predictions.label_N
    assert right.mean() > 0.8, one.name
    assert predictions.probs_NK.sum(1) == pytest.approx(1)
  exp = python_types.SimpleNamespace(intervals=intervals.Spec(200, 0.95, 'bca', ()), seed=0)
  row = hybrid.row(contenders[1], contenders[0], exp)
  assert row.startswith(f'| {contenders[1].name} | ')
  assert row.count('|') == hybrid.HEAD.splitlines()[0].count('|')
  # Negative control: features without the classes' information give no such accuracy.
  noise_ND = np.random.default_rng(5).normal(size=train_ND.shape).astype(np.float32)
  blind = hybrid.Features(noise_ND, inputs.label_N, inputs.split_ND, inputs.tables)
  first = next(hybrid.on_features(blind, len(NAMES), svr.Spec(0.1, 1.0), 6)).predictions['test']
  assert (first.probs_NK.argmax(1) == first.label_N).mean() < 0.8
