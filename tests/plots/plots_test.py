"""Every figure: says what it should, keeps its text inside, and leaves matplotlib as it was."""

import io
import pathlib
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib import text as mpl_text
from PIL import Image

from bloodcell_jax.plots import (
  confusion,
  distribution,
  diversity,
  figure,
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
    error + 0.01 * np.cos(size) if in_order else None, 0.95, f'test: 2,488 images of 68 groups, {num} members',
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
  'history': lambda: history.plot(columns(40, staged=False), 17),
  'history in stages': lambda: history.plot(columns(40), 17),
  'history of one epoch': lambda: history.plot(columns(1), 1),
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
    'validation, groups alike',
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


def overhang(made):
  """How far, in inches, what is drawn reaches over the figure's border."""
  made.draw_without_rendering()
  box, size = made.get_tightbbox(), made.get_size_inches()
  return max(-box.x0, -box.y0, box.x1 - size[0], box.y1 - size[1])


@pytest.mark.parametrize('name', MAKERS)
def test_every_figure_is_a_png_that_keeps_its_text_inside_and_says_its_note(name):
  made = MAKERS[name]()
  data = figure.png(made, NOTE)
  shape = Image.open(io.BytesIO(data)).size
  np.testing.assert_allclose(shape, made.get_size_inches() * figure.DPI, atol=1)
  assert ' '.join(made.get_supxlabel().split()) == NOTE
  assert overhang(made) < 0.02
  # Negative control: without the line breaks the note does not fit into a narrow figure.
  made._supxlabel.set_text(' '.join([NOTE] * 3))
  assert overhang(made) > 0.5


def test_without_a_note_there_is_none():
  made = MAKERS['confusion']()
  figure.png(made, '')
  assert made.get_supxlabel() == ''


def test_a_figure_is_written_whole_and_the_same_every_time(tmp_path):
  path = tmp_path / 'figures' / 'history.png'
  figure.write(path, MAKERS['history'](), NOTE)
  first = path.read_bytes()
  figure.write(path, MAKERS['history'](), NOTE)
  assert path.read_bytes() == first
  assert [item.name for item in path.parent.iterdir()] == ['history.png']
  figure.write(path, MAKERS['history'](), '')
  assert path.read_bytes() != first


def test_drawing_leaves_matplotlib_as_it_was():
  before = dict(matplotlib.rcParams)
  for make in MAKERS.values():
    made = make()
  figure.png(made, '')
  assert dict(matplotlib.rcParams) == before


def test_neither_plots_nor_stats_load_pyplot_tensorflow_or_scikit_learn():
  names = 'plots.confusion plots.distribution plots.figure plots.history plots.reliability plots.samples'
  names += ' plots.diversity plots.members_curve stats.bootstrap stats.calibration stats.metrics stats.paired'
  code = ''.join(f'import bloodcell_jax.{name}\n' for name in names.split())
  heavy = ('matplotlib.pyplot', 'tensorflow', 'sklearn', 'scipy')
  code += f'import sys\nprint([m for m in {heavy} if m in sys.modules])'
  root = pathlib.Path(__file__).parents[2]
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=root, check=True)
  assert done.stdout.strip() == '[]'


def texts(made):
  return [item.get_text() for item in visible_texts(made)]


def test_the_error_by_members_shows_its_bands_and_the_order_where_there_is_one():
  plain, ordered = ([text.get_text() for text in MAKERS[name]().legends[0].get_texts()] for name in (
    'error by members', 'error by members, in order'))  # fmt: skip
  assert plain == ['95% over subsets and groups', '95% over subsets alone', 'mean of probabilities']
  assert ordered == ['95% over subsets and groups', 'mean of probabilities', 'in the order of training']
  axis = MAKERS['error by members']().axes[0]
  np.testing.assert_allclose(axis.lines[0].get_ydata(), 0.1 + 0.05 / np.arange(1, 11))
  assert axis.get_ylim()[0] == 0, 'an axis of shares begins at 0'


def test_diversity_shows_each_pair_twice_and_no_member_beside_itself():
  made = MAKERS['diversity']()
  numbers = [text for text in texts(made) if text.endswith('%')]
  assert len(numbers) == 5 * 4
  assert texts(made).count('–') == 2, 'an undefined kappa is a dash'
  assert not [text for text in texts(MAKERS['diversity of many']()) if text == '–'], 'too small for numbers'


def test_the_confusion_matrix_shows_counts_and_shares_of_the_true_class():
  shown = texts(MAKERS['confusion']())
  assert '98.2%' in shown  # 611 of 622 lymphocytes
  assert {'611', '486', '71'} <= set(shown)
  # The share of what was called lymphocyte would be 611 / 711.
  assert '85.9%' not in shown


def test_a_class_without_images_has_no_shares():
  assert texts(MAKERS['confusion of two']()).count('–') == 2


def test_text_on_the_confusion_matrix_can_be_read_on_its_cell():
  made = MAKERS['confusion']()
  axis = made.axes[0]
  drawn = axis.images[0]

  def luminance(color):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color[:3]]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

  for item in axis.texts:
    j, i = (round(part) for part in item.get_position())
    cell = luminance(drawn.cmap(drawn.norm(drawn.get_array()[i, j])))
    ink = luminance(matplotlib.colors.to_rgb(item.get_color()))
    contrast = (max(cell, ink) + 0.05) / (min(cell, ink) + 0.05)
    assert contrast > 4.5, f'{item.get_text()}: {contrast:.1f}'  # WCAG 2.1, text


def test_the_distribution_shows_every_count_of_images_and_of_photographs():
  shown = texts(MAKERS['distribution']())
  for classes in COUNTS.values():
    for images, photographs in classes.values():
      assert f'{images:,}' in shown
      assert f'{photographs:,}' in shown
      assert f'× {images / photographs:,.0f}' in shown


def test_a_class_without_images_is_shown_as_none():
  shown = texts(distribution.plot({'TEST': {'A': (10, 2), 'B': (0, 0)}}))
  assert 'none' in shown


def test_the_history_marks_stages_and_learning_rate_where_there_are_such():
  staged, plain = history.plot(columns(40), 17), history.plot(columns(40, staged=False), 17)
  assert {'head', 'block5', 'learning rate', 'best epoch: 17'} <= set(texts(staged))
  assert not {'head', 'block5', 'learning rate'} & set(texts(plain))
  assert (len(staged.axes), len(plain.axes)) == (4, 2)


def test_a_loss_that_is_not_finite_leaves_a_gap():
  broken = columns(10)
  broken['loss'] = [*broken['loss'][:5], float('nan'), *broken['loss'][6:]]
  assert len(figure.png(history.plot(broken, 3), '')) > 1000


def test_a_loss_that_falls_a_hundredfold_gets_a_logarithmic_axis():
  steep = columns(10)
  steep['loss'] = 10.0 ** np.linspace(1, -1, 10)
  assert history.plot(steep, 3).axes[0].get_yscale() == 'log'
  assert history.plot(columns(10), 3).axes[0].get_yscale() == 'linear'


def test_the_reliability_diagram_states_the_same_error_as_the_metrics():
  count, sure, right = bins().T
  expected = np.abs(sure - right).sum() / count.sum()
  assert f'mean gap (ECE) {expected:.3f}' in texts(MAKERS['reliability']())


def test_the_risk_coverage_figure_marks_the_threshold_of_the_run_where_there_is_one():
  assert "the run's threshold: 60% accepted, 3.0% errors" in texts(MAKERS['risk and coverage']())
  assert 'threshold' not in texts(MAKERS['risk and coverage of nothing named']())


def test_a_contact_sheet_holds_images_of_different_sizes_and_kinds():
  kinds = [image(60, 80), image(96, 96) / 255.0, image(30, 30)[..., 0]]
  made = samples.plot(kinds, ['a', 'b', 'c'], 2, '')
  assert [len(axis.images) for axis in made.axes] == [1, 1, 1, 0]
  assert len(figure.png(made, '')) > 1000


def test_a_contact_sheet_needs_a_caption_for_each_image():
  for images, captions in (([], []), ([image()], [])):
    with pytest.raises(ValueError, match='at least one image'):
      samples.plot(images, captions, 4, '')
