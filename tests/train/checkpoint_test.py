"""Checkpoints over several processes: numbers, the best so far, saves before and after an evaluation."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bloodcell_jax.base import run_format, types
from bloodcell_jax.optim import keras
from bloodcell_jax.train import checkpoint, checkpoint_folder, checksums, history, state

OPTIMIZER = keras.Spec('sgd', 0.1, 0.0, 0.9, 0.9, False, 0.9, 0.999, 1e-7, 0.0, 0.0, 0.0)
STAGE_INFO = checkpoint_folder.StageInfo('train', 'abc', {'rescale': 0.5, 'preprocessing_function': ''})
LOSSES = (0.9, 0.3, 0.8, 0.7, 0.6, 0.5)


def records(count: int) -> list[history.Record]:
  return [
    history.Record(i, 10 * i, 'train', 1.0, 0.5, loss, loss, 0.1, 2.0, 100.0, 0.0)
    for i, loss in enumerate(LOSSES[:count], 1)
  ]


def make_state(epoch: int) -> state.State:
  """A state whose bits say its epoch, with values that only exact storage keeps."""
  generator = np.random.default_rng(epoch)
  kernel = generator.standard_normal((2, 3)).astype(np.float32)
  kernel[0, 0] = 1e-45  # the smallest there is, lost where denormals are flushed
  params = {'conv2d_1': {'kernel': kernel, 'bias': np.zeros(3, np.float32)}}
  made = state.create(jax.tree.map(jnp.asarray, params), keras.build(OPTIMIZER), True, 0)
  sums = state.Sums(jnp.float32(1.5), jnp.float32(2), jnp.float32(3))
  return dataclasses.replace(made, step=jnp.int32(10 * epoch), sums=sums)


def saved(current: state.State, epochs: int) -> checkpoint.Saved:
  return checkpoint.Saved(current, records(epochs), 0.25, STAGE_INFO)


def save(folder: pathlib.Path, epochs, monitor: str = 'val_loss', is_latest_best: bool = False) -> None:
  """One process' saves, each after an evaluation."""
  store = checkpoint.Store(folder, monitor, is_latest_best)
  for epoch in epochs:
    store.save(saved(make_state(epoch), epoch), True)
  store.close()


def read(folder: pathlib.Path, which: str, monitor: str = 'val_loss') -> checkpoint.Saved:
  store = checkpoint.Store(folder, monitor)
  try:
    return getattr(store, which)(lambda stage_info: make_state(0))
  finally:
    store.close()


def numbers(folder: pathlib.Path) -> list[int]:
  return sorted(int(path.name) for path in folder.iterdir())


def assert_is(found: checkpoint.Saved, epoch: int) -> None:
  """Every bit of the state, the records of the epochs up to here, the seconds."""
  for a, b in zip(jax.tree.leaves(found.state), jax.tree.leaves(make_state(epoch)), strict=True):
    assert a.dtype == b.dtype
    assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
  assert found.records == records(epoch)
  assert found.seconds == 0.25
  assert found.stage_info == STAGE_INFO


@pytest.mark.parametrize('parts', [(6,), (1, 6), (3, 6), (2, 4, 6)], ids=str)
def test_latest_two_and_best_are_kept_whatever_the_process_that_wrote_them(parts, tmp_path):
  for first, last in zip((0, *parts[:-1]), parts, strict=True):
    save(tmp_path, range(first + 1, last + 1))
  assert numbers(tmp_path) == [2, 5, 6]
  assert_is(read(tmp_path, 'best'), 2)
  assert_is(read(tmp_path, 'latest'), 6)
  with pytest.raises(AssertionError):  # the comparison sees another checkpoint
    assert_is(read(tmp_path, 'latest'), 5)


def test_an_accuracy_is_best_at_its_highest(tmp_path):
  save(tmp_path, range(1, 7), 'val_accuracy')
  assert numbers(tmp_path) == [1, 5, 6]
  assert_is(read(tmp_path, 'best', 'val_accuracy'), 1)


def test_a_save_before_its_evaluation_is_the_latest_but_never_the_best(tmp_path):
  save(tmp_path, [1, 2])
  store = checkpoint.Store(tmp_path, 'val_loss')
  store.save(saved(make_state(3), 2), True)  # the step of epoch 3's end, its figures not there yet
  store.close()
  found = read(tmp_path, 'latest')
  assert (int(found.state.step), len(found.records)) == (30, 2)
  assert_is(read(tmp_path, 'best'), 2)
  # The same step once more, now with its figures.
  save(tmp_path, [3])
  assert_is(read(tmp_path, 'latest'), 3)
  assert 2 in numbers(tmp_path)


def test_the_best_figure_of_what_is_no_candidate_is_never_the_best(tmp_path):
  least = int(np.argmin(LOSSES[:4])) + 1
  for folder, is_candidate in ((tmp_path / 'no', False), (tmp_path / 'yes', True)):
    store = checkpoint.Store(folder, 'val_loss')
    for epoch in range(1, 5):
      store.save(saved(make_state(epoch), epoch), is_candidate or epoch != least)
    store.close()
    found = len(read(folder, 'best').records)
    assert (found == least) == is_candidate
  assert_is(read(tmp_path / 'no', 'latest'), 4)


def test_saves_within_an_epoch_do_not_push_out_the_best(tmp_path):
  save(tmp_path, [1, 2])
  store = checkpoint.Store(tmp_path, 'val_loss')
  for step in range(21, 27):
    store.save(saved(dataclasses.replace(make_state(2), step=jnp.int32(step)), 2), True)
  store.close()
  assert numbers(tmp_path) == [2, 7, 8]
  assert_is(read(tmp_path, 'best'), 2)
  assert int(read(tmp_path, 'latest').state.step) == 26


def test_a_folder_without_checkpoints_has_no_latest_and_says_so_for_the_best(tmp_path):
  assert read(tmp_path, 'latest') is None
  with pytest.raises(types.UserError, match='train first') as caught:
    read(tmp_path, 'best')
  assert '\n' not in str(caught.value)


def test_a_stage_s_shapes_are_asked_for_by_what_the_checkpoint_says_of_itself(tmp_path):
  save(tmp_path, [1])
  store = checkpoint.Store(tmp_path, 'val_loss')
  asked: list[checkpoint_folder.StageInfo] = []

  def like(stage_info: checkpoint_folder.StageInfo) -> state.State:
    asked.append(stage_info)
    return make_state(0)

  assert store.stage_info() == STAGE_INFO
  store.latest(like)
  store.best(like)
  store.close()
  assert asked == [STAGE_INFO, STAGE_INFO]


def test_saving_does_not_read_what_is_donated_afterwards(tmp_path):
  store = checkpoint.Store(tmp_path, 'val_loss')
  current = make_state(1)
  store.save(saved(current, 1), True)
  for leaf in jax.tree.leaves(current):
    leaf.delete()
  store.close()
  assert_is(read(tmp_path, 'latest'), 1)


# Epochs 2, 4 and 5 are equal.
EQUAL = (0.9, 0.3, 0.8, 0.3, 0.3, 0.5)


@pytest.mark.parametrize('epochs', [range(1, 7), (2, 4, 6), (2, 3, 5)], ids=str)
def test_the_earliest_among_equal_epochs_is_the_best_however_often_it_is_saved(epochs, tmp_path, monkeypatch):
  monkeypatch.setattr(f'{__name__}.LOSSES', EQUAL)
  for epoch in epochs:  # a process each, so that the best is read from the folder too
    save(tmp_path, [epoch])
  assert history.best(records(6), 'val_loss').epoch == 2
  assert_is(read(tmp_path, 'best'), 2)
  assert_is(read(tmp_path, 'latest'), epochs[-1])
  assert len(numbers(tmp_path)) <= 3
  # Negative control: a better epoch is the best.
  monkeypatch.setattr(f'{__name__}.LOSSES', (*EQUAL[:5], 0.2))
  save(tmp_path, [6])
  assert_is(read(tmp_path, 'best'), 6)


def test_a_run_that_kept_the_latest_among_equals_keeps_it(tmp_path, monkeypatch):
  monkeypatch.setattr(f'{__name__}.LOSSES', EQUAL)
  save(tmp_path, [2, 4])
  # As an earlier version wrote it: both ranked, the later one named.
  two, four = (tmp_path / str(number) for number in (1, 2))
  (four / 'metrics').mkdir()
  (four / 'metrics' / 'metrics').write_text((two / 'metrics' / 'metrics').read_text())
  path = four / 'progress' / 'metadata'
  progress = json.loads(path.read_text())
  path.write_text(json.dumps({**progress, 'best': [4, 0.3]}))
  checksums.write(four)
  assert_is(read(tmp_path, 'best'), 4)
  assert_is(read(tmp_path, 'latest'), 4)
  save(tmp_path, [5])
  assert_is(read(tmp_path, 'best'), 4)


@pytest.mark.parametrize('epochs', [range(1, 7), (2, 4, 6), (2, 3, 5)], ids=str)
def test_in_the_first_format_the_latest_among_equal_epochs_is_the_best(epochs, tmp_path, monkeypatch):
  monkeypatch.setattr(f'{__name__}.LOSSES', EQUAL)
  for epoch in epochs:
    save(tmp_path, [epoch], is_latest_best=run_format.is_latest_best(1))
  assert_is(read(tmp_path, 'best'), max(set(epochs) & {2, 4, 5}))
  # Negative control: a worse epoch does not become the best, whatever comes last.
  assert_is(read(tmp_path, 'latest'), epochs[-1])
  assert not run_format.is_latest_best(run_format.CURRENT)
