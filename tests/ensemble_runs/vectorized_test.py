"""Members trained together: each on its disk what it would be alone, stopped early, killed and continued."""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset, reading
from bloodcell_jax.ensemble_runs import vectorized
from bloodcell_jax.runs import frozen_features, job, stage_training
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import checkpoint, history, progress, signals
from configs import default

CHANGES = {
  'data.embedded.num_train': 6, 'data.embedded.num_test': 1, 'data.embedded.num_copies': 1,
  'data.embedded.height': 48, 'data.embedded.width': 64, 'data.image_size': 46, 'data.cache': 'memory',
  'data.validation_fraction': 0.5, 'augment.horizontal_flip': True, 'augment.rotation_range': 20.0,
  'optimizer.name': 'sgd', 'optimizer.learning_rate': 0.05, 'optimizer.momentum': 0.9,
  'train.batch_size': 5, 'train.epochs': 4, 'train.steps_per_epoch': 2, 'train.ema_momentum': 0.5,
  'train.early_stopping_patience': 1, 'train.checkpoint_unit': 'steps', 'train.checkpoint_every': 1.0,
  'evaluate.batch_size': 12, 'train.num_devices': 1,
}  # fmt: skip
SEEDS = (0, 1, 2)


def resolve(**changes) -> experiment.Experiment:
  return experiment.resolve(experiment.nest({**experiment.flat(default.get_config()), **CHANGES, **changes}))


@functools.cache
def images() -> dataset.Dataset:
  exp = resolve()
  return reading.build(exp.data, 0, '/nonexistent', lambda done, total: None)


@functools.cache
def fresh(seed: int):
  exp = resolve(seed=seed)
  return job.Job(exp, images(), exp.transform.standardize, None, signals.Stop()).params


def make(seed: int, stop=None, **changes) -> job.Job:
  exp = resolve(seed=seed, **changes)
  made = job.Job(exp, images(), exp.transform.standardize, None, stop or signals.Stop())
  made.params = fresh(seed)
  return made


class Killed(Exception):
  """Stands for a process that ends without a word."""


def run(folder, seeds=SEEDS, stop=None, **changes):
  """What lies on the disk of each member, trained together."""
  mades = [make(seed, stop, **changes) for seed in seeds]
  folders = [workdir.Workdir(folder / str(k)) for k in range(1, len(seeds) + 1)]
  vectorized.run(mades, [made.params for made in mades], folders, progress.Progress())
  return [written(made, place) for made, place in zip(mades, folders, strict=True)]


def written(made: job.Job, place: workdir.Workdir):
  """Newest and best state, and the history, from the files."""
  store = checkpoint.Store(place.checkpoints, made.experiment.monitor)
  found = [get(lambda stage_info: made.template(stage_info.stage)) for get in (store.latest, store.best)]
  store.close()
  records = [
    dataclasses.replace(r, seconds=0.0, images_per_second=0.0, wait_share=0.0)
    for r in history.read(place.history)
  ]
  assert len(found[0].records) == len(records)
  return [f.state for f in found], records


def train_alone(folder, seed: int, **changes):
  made, place = make(seed, **changes), workdir.Workdir(folder / str(seed))
  stage_training.run(made, made.params, place, progress.Progress())
  return written(made, place)


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
  return [train_alone(tmp_path_factory.mktemp('alone'), seed) for seed in SEEDS]


def close(a, b) -> None:
  for (states_a, records_a), (states_b, records_b) in zip(a, b, strict=True):
    for x, y in zip(jax.tree.leaves(states_a), jax.tree.leaves(states_b), strict=True):
      np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5)
    assert len(records_a) == len(records_b)
    for x, y in zip(records_a, records_b, strict=True):
      assert dataclasses.asdict(x) == pytest.approx(dataclasses.asdict(y), abs=1e-5)


def test_members_trained_together_leave_what_each_leaves_alone(alone, tmp_path, capsys):
  found = run(tmp_path)
  close(found, alone)
  lengths = [len(records) for _, records in found]
  assert len(set(lengths)) > 1, f'early stopping should end some before others: {lengths}'
  out = capsys.readouterr().out
  assert all(f'member {k}: train epoch 1/4' in out for k in (1, 2, 3))
  # Once more does nothing.
  close(run(tmp_path), alone)


def first_epochs(found) -> list[list[float]]:
  return [[r.loss, r.accuracy, r.val_loss, r.val_accuracy] for r in (records[0] for _, records in found)]


# The first epoch alone: training makes much of a last bit, and eight updates of a last digit.
@pytest.mark.parametrize(
  ('how', 'num_devices'),
  [
    pytest.param('vmap', 1, marks=pytest.mark.slow),
    pytest.param('vmap', 2, marks=pytest.mark.slow),
    pytest.param('map', 2, marks=pytest.mark.slow),
  ],
)
def test_they_are_so_at_once_and_over_two_devices(how, num_devices, alone, tmp_path, monkeypatch):
  monkeypatch.setattr(vectorized, 'WAY', how)
  found = first_epochs(run(tmp_path, **{'train.num_devices': num_devices, 'train.epochs': 1}))
  np.testing.assert_allclose(found, first_epochs(alone), rtol=1e-4)
  with pytest.raises(AssertionError):
    np.testing.assert_allclose(found[::-1], first_epochs(alone), rtol=1e-4)


# Between the saves of two members: at an epoch's end before the evaluation, and after it.
@pytest.mark.parametrize(
  'number', [pytest.param(4, marks=pytest.mark.long), pytest.param(6, marks=pytest.mark.slow)]
)
def test_a_kill_between_two_members_saves_changes_nothing(number, alone, tmp_path, monkeypatch):
  original, saves = checkpoint.Store.save, []

  def save(self, saved, is_candidate):
    saves.append(int(saved.state.step))
    if len(saves) == number:
      raise Killed
    original(self, saved, is_candidate)

  with monkeypatch.context() as patched:
    patched.setattr(checkpoint.Store, 'save', save)
    with pytest.raises(Killed):
      run(tmp_path, SEEDS[:2])
  assert saves[-2:] == [2, 2], 'a member is saved at this step and the next one is not'
  close(run(tmp_path, SEEDS[:2]), alone[:2])


class Soon(signals.Stop):
  """A stop that is asked for when it has been looked at so many times."""

  def __init__(self, looks: int):
    self.looks = looks

  @property
  def requested(self) -> bool:  # type: ignore[override]
    self.looks -= 1
    return self.looks < 0


# Within a step, and within the evaluation of a member.
@pytest.mark.parametrize('looks', [1, pytest.param(8, marks=pytest.mark.slow)])
def test_a_stop_saves_every_member(looks, alone, tmp_path):
  with pytest.raises(signals.Stopped):
    run(tmp_path, SEEDS[:2], stop=Soon(looks))
  assert all(list((tmp_path / str(k) / 'checkpoints').glob('[0-9]*')) for k in (1, 2))
  close(run(tmp_path, SEEDS[:2]), alone[:2])


def test_a_loss_that_is_not_finite_names_the_member(tmp_path):
  mades = [make(seed) for seed in SEEDS[:2]]
  broken = jax.tree.map(lambda leaf: leaf * np.nan, mades[1].params)
  folders = [workdir.Workdir(tmp_path / str(k)) for k in (1, 2)]
  with pytest.raises(
    types.RunError, match='member 2: step 1: the loss, a gradient or an update is not finite'
  ):
    vectorized.run(mades, [mades[0].params, broken], folders, progress.Progress())


def test_members_that_share_no_program_are_told_apart(monkeypatch, tmp_path):
  first = make(0)
  assert vectorized.obstacle([first, make(1), make(2)]) == ''
  assert 'members 1 and 2 differ in batch_size' in vectorized.obstacle(
    [first, make(1, **{'train.batch_size': 4})]
  )
  assert 'differ in model' in vectorized.obstacle([first, make(1, **{'model.dropout_rate': 0.1})])
  twice = make(0)
  twice.experiment = dataclasses.replace(twice.experiment, stages=2 * twice.experiment.stages)
  assert '2 stages' in vectorized.obstacle([twice])
  fitted = make(0)
  stage = dataclasses.replace(fitted.experiment.stages[0], output_layer='svr')
  fitted.experiment = dataclasses.replace(fitted.experiment, stages=(stage,))
  assert 'a fitted output layer' in vectorized.obstacle([fitted])
  with pytest.raises(types.UserError, match=r'ensemble\.vectorized: .*fitted output layer.*; set it to 1'):
    vectorized.run([fitted], [fitted.params], [workdir.Workdir(tmp_path)], progress.Progress())
  assert not list(tmp_path.iterdir())
  monkeypatch.setattr(frozen_features, 'depth_of', lambda made, stage: 4)
  assert 'stages.cache_features' in vectorized.obstacle([first])


def test_the_comparison_sees_swapped_seeds(alone, tmp_path):
  found = first_epochs(run(tmp_path, seeds=(1, 0), **{'train.epochs': 1}))
  np.testing.assert_allclose(found[::-1], first_epochs(alone[:2]), rtol=1e-4)
  with pytest.raises(AssertionError):
    np.testing.assert_allclose(found, first_epochs(alone[:2]), rtol=1e-4)
