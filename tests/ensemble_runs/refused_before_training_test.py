"""Images that cannot calibrate or cannot be divided into folds are refused before anything is trained, by the dry run
as well."""

from __future__ import annotations

import re

import pytest
import small_ensemble

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data.sources import embedded
from bloodcell_jax.ensemble_runs import dry_run, vectorized
from bloodcell_jax.runs import cost, stage_training
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import progress, signals

STACKED = {'ensemble.combine': 'logistic', 'ensemble.folds': 2, 'ensemble.members': 2}


@pytest.fixture
def dry(monkeypatch, tmp_path):
  """A function from changes of the small ensemble to its plan."""
  monkeypatch.setattr(cost, 'measure', lambda exp, *_: cost.Cost((1.0,) * len(exp.stages), 3.0, 0.5, False))
  monkeypatch.setattr(cost, 'update_bytes', lambda *_: (2_000_000,))

  def run(**changes):
    flat = experiment.flat(small_ensemble.config(**changes))
    dry_run.run(flat, workdir.Workdir(tmp_path / 'dry'), signals.Stop(), progress.Progress(), 1)

  return run


class Begun(Exception):
  """The training of a network has begun."""


@pytest.fixture
def begins(monkeypatch):
  """Training stops where it begins."""

  def begin(*_):
    raise Begun

  monkeypatch.setattr(stage_training, 'run', begin)
  monkeypatch.setattr(vectorized, 'run', begin)


@pytest.fixture(scope='module')
def earlier(blank_figures, tmp_path_factory):
  """A trained network."""
  return small_ensemble.run(tmp_path_factory.mktemp('earlier'), **{'ensemble.method': ''})


@pytest.fixture
def smears(tmp_path):
  """A function from the number of photographs of each class in each split, and the patients of the last split, to the
  keys that read them."""

  def write(numbers, num_patients):
    spec = embedded.Spec(num_train=4, num_test=0, num_copies=1, height=48, width=64, seed=0)
    lines = ['file,group']
    for split, most in numbers.items():
      seen = dict.fromkeys(range(4), 0)
      for i, drawn in enumerate(embedded.draw_all(spec)):
        rank = seen[drawn.label]
        seen[drawn.label] += 1
        if rank >= most:
          continue
        name = f'{split}/{embedded.CLASS_NAMES[drawn.label]}/{split}{i}.png'
        path = tmp_path / 'cells' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Bytes behind the image, so that the file is not that of another split.
        path.write_bytes(drawn.png + split.encode())
        patient = (drawn.label + rank) % num_patients
        lines.append(f'{name},{f"patient{patient}" if split == list(numbers)[-1] else f"{split}{i}"}')
    (tmp_path / 'groups.csv').write_text('\n'.join(lines) + '\n')
    return {
      'data.source': 'folders', 'data.dir': str(tmp_path / 'cells'), 'data.groups_csv': str(tmp_path / 'groups.csv'),
      'data.allow_leak': True, 'ensemble.method': '', 'evaluate.splits': (),
    }  # fmt: skip

  return write


def test_classes_of_too_few_groups_for_stacking_are_refused_and_after_the_advice_it_is_trained(
  begins, dry, tmp_path
):
  keys = {**STACKED, 'data.embedded.num_train': 5, 'data.validation_fraction': 0.25}
  folder = tmp_path / 'run'
  for _ in range(2):  # The second fold has fewer groups to divide than the first.
    with pytest.raises(types.UserError, match='too few groups') as by_plan:
      dry(**keys)
    with pytest.raises(types.UserError) as by_training:
      small_ensemble.run(folder, **keys)
    assert str(by_training.value) == str(by_plan.value)
    assert not (folder / 'members').exists(), 'no member was trained'
    advice = re.search(r'set it to ([\d.]+) or more', str(by_plan.value))
    assert advice
    keys['data.validation_fraction'] = float(advice[1])
  dry(**keys)
  with pytest.raises(Begun):
    small_ensemble.run(folder, **keys)


@pytest.mark.parametrize('method', ['', 'average'])
def test_validation_of_one_group_is_refused_and_of_two_is_trained(method, begins, smears, dry, tmp_path):
  numbers = {'TRAIN': 2, 'VALIDATION': 1}
  few = {**smears(numbers, 1), 'ensemble.method': method, 'ensemble.members': 2 if method else 1}
  folder = tmp_path / 'run'
  said = 'validation has images of one group only, patient0; '
  with pytest.raises(types.UserError, match=said):
    dry(**few)
  with pytest.raises(types.UserError, match=said):
    small_ensemble.run(folder, **few)
  assert not list(folder.rglob('history.jsonl')), 'nothing was trained'
  enough = {**few, **smears(numbers, 2), 'ensemble.method': method}
  dry(**enough)
  with pytest.raises(Begun):
    small_ensemble.run(folder, **enough)


def test_a_fold_whose_validation_is_one_group_is_refused_before_the_first_is_trained(smears, dry, tmp_path):
  # Of four patients a fold holds out two; of the others one validates.
  few = {**smears({'TRAIN': 4}, 4), 'train.folds': 2, 'data.validation_fraction': 0.5}
  folder = tmp_path / 'run'
  with pytest.raises(types.UserError, match='validation has images of one group only'):
    dry(**few)
  with pytest.raises(types.UserError, match='validation has images of one group only'):
    small_ensemble.run(folder, **few)
  assert not list(folder.rglob('history.jsonl'))


@pytest.mark.parametrize('together', [0, 2])
def test_weights_that_have_seen_the_validation_images_are_refused_before_members_are_trained(
  together, earlier, begins, tmp_path
):
  keys = {
    'weights.path': str(earlier.path),
    'augment.preprocessing_function': 'weights',
    'ensemble.members': 2,
    'ensemble.vectorized': together,
  }
  with pytest.raises(types.UserError, match='trained on'):
    small_ensemble.run(tmp_path / 'other', seed=1, **keys)
  # The control: with the same division the weights have seen training images alone.
  with pytest.raises(Begun):
    small_ensemble.run(tmp_path / 'same', **keys)
