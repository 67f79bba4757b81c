"""What a page says of hundreds of classes: their number where a list would be longer than a reader's patience."""

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.plots import confusion, figure
from bloodcell_jax.reports import report, split_section
from bloodcell_jax.stats import bootstrap, intervals
from bloodcell_jax.storage import workdir

SPEC = intervals.Spec(100, 0.95, 'bca', ())


def entry(num_classes, images_a_class=2):
  """The figures of a set in which each image is a group of its own, and half of the classes are recognised."""
  label_N = np.repeat(np.arange(num_classes, dtype=np.int32), images_a_class)
  called_N = np.where(label_N % 2 == 0, label_N, 0)
  file_N = np.arange(len(label_N)).astype(str)
  names = tuple(f'class {k:03d}' for k in range(num_classes))
  found = types.Predictions(np.eye(num_classes)[called_N], label_N, file_N, file_N, names)
  return {**bootstrap.summary(found, SPEC, 0), 'note': ''}


def test_few_groups_are_counted_for_many_classes_and_named_for_few():
  (many, _), (few, _) = (report.warnings({'test': entry(num)}) for num in (150, 3))
  assert many.startswith('Few groups: 150 of 150 classes in test (fewer than 5 each). ')
  assert few.startswith('Few groups: class 000 in test (2), class 001 in test (2), class 002 in test (2). ')


def test_the_section_of_many_classes_has_a_row_for_each_and_sentences_of_a_readable_length(tmp_path):
  figures, folder = entry(150), workdir.Workdir(tmp_path)
  picture = confusion.plot(np.array(figures['confusion']), figures['class_names'], 'test')
  figure.write(folder.figures / 'confusion_test.png', picture, '')
  page = split_section.section(folder, 'test', figures, False, {})
  assert page.count('<th scope="row">class ') == 150
  assert len(page) < 400_000
  sentence = page[page.index('Intervals computed by other methods') :]
  sentence = sentence[: sentence.index('</p>')]
  assert 'of 150 classes' in sentence
  assert 'class 001' not in sentence
  assert len(sentence) < 1500
  # Negative control: of few classes those concerned are named.
  assert 'class 001' in split_section.section(folder, 'test', entry(3, 12), False, {})
