"""One figure of each kind, as runs draw them, and the text that is on it."""

import numpy as np
from matplotlib import text as mpl_text

from bloodcell_jax.plots import (
  confusion,
  distribution,
  diversity,
  history,
  members_curve,
  reliability,
  risk_coverage,
  samples,
  study_curves,
  trees,
)

NAMES = ('EOSINOPHIL', 'LYMPHOCYTE', 'MONOCYTE', 'NEUTROPHIL')
NOTE = 'Synthetic data: drawn by the package, no real cells. These figures say nothing about real blood.'
CONFUSION = np.array([[486, 64, 53, 19], [2, 611, 0, 9], [71, 22, 490, 39], [30, 14, 22, 556]])
COUNTS = {
  'TRAIN': {name: (images, photographs) for name, images, photographs in zip(
    NAMES, (2497, 2483, 2478, 2499), (75, 27, 16, 159), strict=True)},
  'TEST': {name: (images, photographs) for name, images, photographs in zip(
    NAMES, (623, 620, 620, 624), (13, 6, 4, 48), strict=True)},
}  # fmt: skip


def bins():
  """15 bins of confidence; the lowest are empty, as with four classes they must be."""
  count = np.array([0, 0, 0, 1, 15, 59, 92, 103, 115, 123, 132, 176, 276, 458, 938.0])
  sure = (np.arange(15) + 0.5) / 15
  return np.stack([count, count * sure, np.round(count * sure**1.5)], 1)


def columns(num_epochs, staged=True):
  epoch = np.arange(1, num_epochs + 1)
  made = {
    'epoch': epoch, 'loss': 1.4 * np.exp(-epoch / 9), 'val_loss': 0.4 + np.exp(-epoch / 7),
    'accuracy': 1 - 0.7 * np.exp(-epoch / 8), 'val_accuracy': 0.87 - 0.6 * np.exp(-epoch / 6),
  }  # fmt: skip
  if staged:
    first = num_epochs // 2
    made['stage'] = ['head'] * first + ['block5'] * (num_epochs - first)
    made['learning_rate'] = [1e-3] * first + [1e-5] * (num_epochs - first)
  return made


def curve(num_epochs):
  epoch = np.arange(1, num_epochs + 1)
  return study_curves.Curve(200 * epoch, 1 - 0.7 * np.exp(-epoch / 8), 0.7 - 0.4 * np.exp(-epoch / 6))


def image(height=60, width=80):
  return np.random.default_rng(0).integers(256, size=(height, width, 3), dtype=np.uint8)


def by_members(num, in_order=False):
  size = np.arange(1, num + 1)
  error = 0.1 + 0.05 / size
  band = np.stack([error - 0.04, error + 0.05], 1)
  return members_curve.plot(
    size, error, band, None if in_order else band / 4 + 0.75 * error[:, None],
    'samme, in the order of training' if in_order else 'mean of probabilities', 0.95,
    f'test: 2,488 images of 68 groups, {num} members',
  )  # fmt: skip


def pairs(num, prefix='member '):
  generator = np.random.default_rng(num)
  apart, alike = (generator.uniform(*ends, (num, num)) for ends in ((0.02, 0.15), (0.7, 0.95)))
  alike[0, 1] = alike[1, 0] = np.nan
  names = [f'{prefix}{m + 1}' for m in range(num)]
  return diversity.plot(
    (apart + apart.T) / 2, (alike + alike.T) / 2, names, 'test: 2,488 images of 68 groups'
  )


MAKERS = {
  'error by members': lambda: by_members(10),
  'error by members, in order': lambda: by_members(10, in_order=True),
  'error of one member': lambda: by_members(1),
  'diversity': lambda: pairs(5),
  'diversity of two': lambda: pairs(2, 'cnn_b_fold_'),
  'diversity of many': lambda: pairs(20, ''),
  'confusion': lambda: confusion.plot(CONFUSION, NAMES, 'test: 2,488 images of 68 groups'),
  'confusion of two': lambda: confusion.plot(
    np.array([[9, 1], [0, 0]]), ('A', 'B'), 'test_simple: 10 images'
  ),
  'confusion of eight': lambda: confusion.plot(
    np.eye(8, dtype=int) * 1200, ['IMMATURE GRANULOCYTE'] * 8, 'test: 9,600 images of 9,600 groups'
  ),
  'confusion of forty': lambda: confusion.plot(
    np.eye(40, dtype=int) * 12,
    [f'IMMATURE GRANULOCYTE {k}' for k in range(40)],
    'test: 480 images of 480 groups',
  ),
  'confusion of a thousand': lambda: confusion.plot(
    np.eye(1000, dtype=int), [f'class {k}' for k in range(1000)], 'test: 1,000 images of 1,000 groups'
  ),
  'reliability': lambda: reliability.plot(bins(), 'test: 2,488 images of 68 groups'),
  'risk and coverage': lambda: risk_coverage.plot(
    np.linspace(0.01, 1, 100),
    np.linspace(0, 0.3, 100) ** 2,
    (0.6, 0.03),
    0.05,
    'test: 2,488 images of 68 groups',
  ),
  'risk and coverage of nothing named': lambda: risk_coverage.plot(
    np.array([1.0]), np.array([0.9]), None, 0.05, 'test: 3 images of 2 groups'
  ),
  'distribution': lambda: distribution.plot(COUNTS),
  'distribution of a thousand': lambda: distribution.plot(
    {split: {f'class {k}': (k % 50, k % 7) for k in range(1000)} for split in ('train', 'validation', 'test')}
  ),
  'history': lambda: history.plot(columns(40, staged=False), 17, True, False),
  'history in stages': lambda: history.plot(columns(40), 17, False, True),
  'history of one epoch': lambda: history.plot(columns(1), 1, True, False),
  'importance of trees': lambda: trees.importance(
    0.01 * np.arange(128)[::-1] ** 2,
    np.full(128, 0.3),
    np.full(128, 1 / 128),
    'channel',
    'random forest on 512 features',
  ),
  'importance of three units': lambda: trees.importance(
    np.array([0.1, 0.0, -0.01]), np.zeros(3), None, 'unit', 'hist gradient boosting on 3 features'
  ),
  'error by trees': lambda: trees.error(
    np.linspace(0.3, 0.05, 200),
    {'validation': 0.21, 'test': 0.12, 'test_originals': 0.11},
    'out of bag, by groups',
    True,
    'random forest: errors',
  ),
  'loss of one round': lambda: trees.error(
    np.array([0.7]),
    {'the best, round 1': 0.7},
    'validation, groups weighted equally',
    False,
    'hist gradient boosting: log loss',
  ),
  'curves of a study': lambda: study_curves.plot(
    [
      study_curves.Panel(
        f'VGG16 on the nucleus, block 5 by optimizer {i}', [curve(i), curve(2 * i)], 0.91 * (i % 2)
      )
      for i in range(1, 23)
    ]
  ),
  'curves of a study not begun': lambda: study_curves.plot([study_curves.Panel('no epoch yet', [], 0.0)]),
  'samples': lambda: samples.plot([image()] * 7, ['neutrophil _40_2816, augmented'] * 7, 3, 'TRAIN'),
}


def visible_texts(made):
  found = made.findobj(lambda item: isinstance(item, mpl_text.Text) and item.get_visible())
  return [item for item in found if item.get_text().strip()]


def texts(made):
  return [item.get_text() for item in visible_texts(made)]
