"""The output layer of an adapted run: honest about labels left out, and good on both laboratories."""

from __future__ import annotations

import dataclasses

import numpy as np

from bloodcell_jax.adaptation import head_choice
from bloodcell_jax.heads import logistic

NUM_CLASSES = 3
BEFORE = logistic.Linear(np.eye(6, NUM_CLASSES), np.zeros(NUM_CLASSES))


def examples(num: int, seed: int, shift: float) -> head_choice.Examples:
  rng = np.random.default_rng(seed)
  label_N = np.arange(num) % NUM_CLASSES
  # The new laboratory turns the classes round.
  centre_ND = 4 * np.eye(6)[(label_N + (3 if shift else 0)) % 6]
  embedding_ND = centre_ND + rng.normal(size=(num, 6)) + shift
  group_N = np.array([f'g{i // 2}' for i in range(num)])
  return head_choice.Examples(embedding_ND.astype(np.float32), label_N, group_N)


def choose(new: head_choice.Examples) -> head_choice.Choice:
  return head_choice.choose(examples(60, 0, 0.0), new, BEFORE, 0, lambda: None)


def test_it_learns_the_new_laboratory_and_keeps_the_old_one():
  new, later, home = examples(24, 1, 1.0), examples(90, 2, 1.0), examples(90, 3, 0.0)
  layer = choose(new).layer

  def accuracy(one: logistic.Linear, at: head_choice.Examples) -> float:
    return float((one.logits(at.embedding_ND).argmax(1) == at.label_N).mean())

  assert accuracy(BEFORE, later) < 0.5
  assert accuracy(layer, later) > 0.85
  assert accuracy(layer, home) > 0.85


def test_no_label_has_a_part_in_what_is_said_of_its_own_group():
  new = examples(24, 1, 1.0)
  other_N = new.label_N.copy()
  # Of the second row of a group: groups are dealt to folds by their first one.
  other_N[7] = (other_N[7] + 1) % NUM_CLASSES
  first, second = (
    choose(dataclasses.replace(new, label_N=label_N)).cross_fitted_NK for label_N in (new.label_N, other_N)
  )
  rows = np.flatnonzero(np.abs(first - second).max(1) > 0)
  assert len(rows), 'the labels matter to other groups'
  assert not {6, 7} & set(rows.tolist())
  assert np.isfinite(first).all()


def test_the_same_arguments_give_the_same_bits():
  new = examples(12, 1, 1.0)
  assert choose(new).layer.kernel_DK.tobytes() == choose(new).layer.kernel_DK.tobytes()


def test_a_class_without_new_labels_rests_on_the_old_images():
  new = examples(24, 1, 1.0)
  choice = choose(new.take(new.label_N != 2))
  home = examples(90, 3, 0.0)
  own = home.label_N == 2
  assert (choice.layer.logits(home.embedding_ND)[own].argmax(1) == 2).mean() > 0.8


def test_the_layer_alone_is_that_of_the_choice():
  new, home = examples(24, 1, 1.0), examples(60, 0, 0.0)
  alone = head_choice.fit_chosen(home, new, BEFORE, 0, lambda: None)
  assert alone.kernel_DK.tobytes() == choose(new).layer.kernel_DK.tobytes()
  fewer = head_choice.fit_chosen(home, new.take(np.arange(12)), BEFORE, 0, lambda: None)
  assert alone.kernel_DK.tobytes() != fewer.kernel_DK.tobytes()
