"""Members trained together: each on its disk what it would be alone, stopped early, killed and continued."""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np
import pytest

from bloodcell_jax import experiment, job, staging, together, workdir
from bloodcell_jax.data import dataset
from bloodcell_jax.train import checkpoint, history, progress, signals
from configs import default

CHANGES = {
  'data.embedded.num_train': 6, 'data.embedded.num_test': 1, 'data.embedded.num_views': 1,
  'data.embedded.height': 48, 'data.embedded.width': 64, 'data.image_size': 46, 'data.cache': 'memory',
  'data.validation_fraction': 0.5, 'augment.horizontal_flip': True, 'augment.rotation_range': 20.0,
  'optimizer.name': 'sgd', 'optimizer.learning_rate': 0.05, 'optimizer.momentum': 0.9,
  'train.batch_size': 5, 'train.epochs': 4, 'train.steps_per_epoch': 2, 'train.ema_momentum': 0.5,
  'train.early_stopping_patience': 1, 'train.checkpoint_unit': 'steps', 'train.checkpoint_every': 1.0,
  'evaluate.batch_size': 12,
}  # fmt: skip
SEEDS = (0, 1, 2)


def resolve(**changes) -> experiment.Experiment:
  return experiment.resolve(experiment.nest({**experiment.flat(default.get_config()), **CHANGES, **changes}))


@functools.cache
def images() -> dataset.Dataset:
  exp = resolve()
  return dataset.build(exp.data, 0, '/nonexistent', lambda done, total: None)


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
  together.run(mades, [made.params for made in mades], folders, progress.Progress())
  return [written(made, place) for made, place in zip(mades, folders, strict=True)]


def written(made: job.Job, place: workdir.Workdir):
  """Newest and best state, and the history, from the files."""
  store = checkpoint.Store(place.checkpoints, made.experiment.monitor)
  found = [get(lambda stamp: made.template(stamp.stage)) for get in (store.latest, store.best)]
  store.close()
  records = [
    dataclasses.replace(r, seconds=0.0, images_per_second=0.0, wait_share=0.0)
    for r in history.read(place.history)
  ]
  assert len(found[0].records) == len(records)
  return [f.state for f in found], records


def train_alone(folder, seed: int, **changes):
  made, place = make(seed, **changes), workdir.Workdir(folder / str(seed))
  staging.run(made, made.params, place, progress.Progress())
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


def test_the_comparison_sees_swapped_seeds(alone, tmp_path):
  with pytest.raises(AssertionError):
    close(run(tmp_path, seeds=(1, 0, 2), **{'train.epochs': 1}), alone)
