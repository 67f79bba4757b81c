"""What each figure shows: its numbers, marks and axes."""

import matplotlib
import numpy as np
import pytest
from drawn import COUNTS, MAKERS, bins, columns, image, texts

from bloodcell_jax.plots import distribution, figure, history, samples


def test_the_error_by_members_shows_its_bands_and_says_how_they_are_combined():
  plain, ordered = ([text.get_text() for text in MAKERS[name]().legends[0].get_texts()] for name in (
    'error by members', 'error by members, in order'))  # fmt: skip
  assert plain == ['95% over subsets and groups', '95% over subsets alone', 'mean of probabilities']
  assert ordered == ['95% over groups', 'samme, in the order of training'], 'there is one subset of each size'
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


def test_pictures_of_a_thousand_classes_are_as_large_as_a_page_and_say_what_they_leave_out():
  for name in ('confusion of a thousand', 'distribution of a thousand'):
    assert max(MAKERS[name]().get_size_inches()) < 12, name
  shown = texts(MAKERS['confusion of a thousand']())
  assert 'predicted (number of the class)' in shown
  assert not [text for text in shown if text.startswith('class ')]
  assert 'IMMATURE GRANULOCYTE 39' in texts(MAKERS['confusion of forty']())
  assert 'train: 1,000 classes, 20 without images' in texts(MAKERS['distribution of a thousand']())
  # Negative control: of a few classes each is named.
  assert {'EOSINOPHIL', 'NEUTROPHIL'} <= set(texts(MAKERS['distribution']()))


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
  staged, plain = (
    history.plot(columns(40), 17, True, False),
    history.plot(columns(40, staged=False), 17, True, False),
  )
  assert {'head', 'block5', 'learning rate', 'best epoch: 17'} <= set(texts(staged))
  assert not {'head', 'block5', 'learning rate'} & set(texts(plain))
  assert (len(staged.axes), len(plain.axes)) == (3, 2)


def test_the_history_says_what_the_loss_is_and_whether_training_images_weigh_differently():
  alike, weighted = (
    set(texts(history.plot(columns(10), 3, *which))) for which in ((True, False), (False, True))
  )
  assert {'cross-entropy, nats', 'training'} <= alike
  assert {'that of each stage', 'training, weighted'} <= weighted
  assert not alike & {'that of each stage', 'training, weighted'}
  assert not weighted & {'cross-entropy, nats', 'training'}


def test_a_loss_that_is_not_finite_leaves_a_gap():
  broken = columns(10)
  broken['loss'] = [*broken['loss'][:5], float('nan'), *broken['loss'][6:]]
  assert len(figure.png(history.plot(broken, 3, True, False), '')) > 1000


def test_a_loss_that_falls_a_hundredfold_gets_a_logarithmic_axis():
  steep = columns(10)
  steep['loss'] = 10.0 ** np.linspace(1, -1, 10)
  assert history.plot(steep, 3, True, False).axes[0].get_yscale() == 'log'
  assert history.plot(columns(10), 3, True, False).axes[0].get_yscale() == 'linear'


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
