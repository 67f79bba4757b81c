"""Which images and which class are explained, without a network."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.commands import explain
from bloodcell_jax.storage import predictions_csv

CLASSES = ('A', 'B', 'C')


class Counted(np.ndarray):
  """An array that counts how many of its entries are compared."""

  num_compared = 0

  def __eq__(self, other: Any) -> Any:
    Counted.num_compared += self.size
    return np.asarray(self) == np.asarray(other)

  __hash__ = None  # type: ignore[assignment]


def given(num: int, monkeypatch) -> tuple[Any, np.ndarray]:
  """A run's folder with a test split of so many images, two a photograph, and the labels of these."""
  label_N = np.random.default_rng(0).integers(0, 3, num).astype(np.int32)
  file_N = np.array([f'{i:05}.png' for i in range(num)])
  table = SimpleNamespace(label=label_N.view(Counted), class_names=CLASSES, file=file_N, content=file_N)
  data = SimpleNamespace(table=table, rows={'test': np.arange(num), 'validation': np.arange(0)})
  monkeypatch.setattr(explain, '_undecoded', lambda exp, folder: data)
  # All wrong, and the second image of each photograph the more so.
  right_N = np.where(np.arange(num) % 2, 0.1, 0.2)
  probs_NK = np.full((num, 3), 0.0)
  probs_NK[np.arange(num), label_N] = right_N
  probs_NK[np.arange(num), (label_N + 1) % 3] = 1 - right_N
  group_N = np.array([f'{i // 2:05}' for i in range(num)]).view(Counted)
  predictions = types.Predictions(probs_NK, label_N, group_N, file_N, CLASSES)
  monkeypatch.setattr(predictions_csv, 'read', lambda path: predictions)
  path = SimpleNamespace(exists=lambda: True)
  return SimpleNamespace(predictions=lambda split: path), label_N


def chosen(kind: str, num: int, monkeypatch) -> tuple[list[str], int]:
  """The files that are chosen, and how many labels or groups were compared for it."""
  folder, _ = given(num, monkeypatch)
  Counted.num_compared = 0
  exp: Any = None
  images = explain._own(exp, folder) if kind == 'own' else explain._missed(exp, folder, 'test')
  return [name for name, *_ in images], Counted.num_compared


def test_one_image_of_each_class_comes_before_a_second_of_any(monkeypatch):
  label_N = given(60, monkeypatch)[1]
  before = [np.count_nonzero(label_N[:i] == label_N[i]) for i in range(60)]
  order = sorted(range(60), key=lambda i: (before[i], label_N[i]))
  assert chosen('own', 60, monkeypatch)[0] == [f'{i:05}.png' for i in order]


def test_of_a_missed_photograph_the_worst_image_is_chosen(monkeypatch):
  assert chosen('missed', 60, monkeypatch)[0] == [f'{i:05}.png' for i in range(1, 60, 2)]


@pytest.mark.parametrize('kind', ['own', 'missed'])
def test_the_choice_compares_a_few_labels_an_image(kind, monkeypatch):
  files, num_compared = chosen(kind, 600, monkeypatch)
  assert len(files) == (600 if kind == 'own' else 300)
  assert num_compared < 5 * 600


@pytest.mark.parametrize(
  ('name', 'said'),
  [
    ('neutrophil', 'did you mean Neutrophil?'),
    ('NEUTROPHIL', 'did you mean Neutrophil?'),
    ('Neutrofil', 'did you mean Neutrophil?'),
    ('band-form', 'did you mean Band form?'),
    ('x', 'choose one of Band form, Neutrophil'),
  ],
)
def test_a_class_written_otherwise_is_met_with_its_name(name, said):
  with pytest.raises(types.UserError) as caught:
    explain._label(name, ('Band form', 'Neutrophil'))
  assert str(caught.value) == f'target_class is {name!r}; {said}'
  assert explain._label('Neutrophil', ('Band form', 'Neutrophil')) == 1
