"""`train --dry_run`: the plan that it prints is that of the config, and nothing is left behind."""

from __future__ import annotations

import re

import few_filters
import jax
import pytest
import small_ensemble
import starting

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data.images import feature_cache
from bloodcell_jax.ensemble_runs import dry_run
from bloodcell_jax.runs import cost
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import batch_part, progress, signals
from bloodcell_jax.train import devices as devices_lib
from configs import finetune

SMALL = {**small_ensemble.CHANGES, 'ensemble.method': ''}


def test_the_command_prints_the_plan_and_writes_no_folder(finished, tmp_path):
  folder = tmp_path / 'run'
  code, out, err = starting.run(*starting.TINY, '--dry_run', f'--workdir={folder}')
  assert code == 0, err
  assert not folder.exists()
  assert 'folder: ' in out.splitlines()[1]
  assert out.splitlines()[1].endswith('run, a new run')
  assert re.search(r'^devices: 1 x cpu \(cpu\) by pmap; 8 images an update, 8 on each device$', out, re.M)
  assert re.search(r'^images: \d+ of embedded, train \d+, validation \d+, test \d+, .*48x48', out, re.M)
  assert re.search(
    r'^memory: an update takes [\d.]+ MB to [\d.]+ MB on each device; [\d.]+ GB are free$', out, re.M
  )
  assert re.search(
    r'^stage train: 2 epochs of 5 updates; .* an update, .* an epoch including validation$', out, re.M
  )
  assert re.search(r'^in all: about .* for 1 network', out, re.M)
  # The control: the same command without the flag has left a folder.
  folder, _ = finished
  before = sorted(folder.rglob('*'))
  said = starting.run(*starting.TINY, '--dry_run', f'--workdir={folder}')[1]
  assert 'holds this run, complete; the times are for a new run' in said
  longer = (*starting.TINY, '--config.train.epochs=3', '--dry_run', f'--workdir={folder}')
  assert 'holds this run with 2 epochs; training continues it' in starting.run(*longer)[1]
  assert sorted(folder.rglob('*')) == before != []


@pytest.fixture
def plan(monkeypatch, tmp_path, capsys):
  """A function from changes of the small config to the lines of its plan, its updates a second each."""
  monkeypatch.setattr(cost, 'measure', lambda exp, *_: cost.Cost((1.0,) * len(exp.stages), 3.0, 0.5, False))
  monkeypatch.setattr(cost, 'update_bytes', lambda *_: (2_000_000,))

  def lines(changes, of=small_ensemble.config, num_hosts=1) -> list[str]:
    flat = {**experiment.flat(of()), **changes}
    dry_run.run(flat, workdir.Workdir(tmp_path / 'run'), signals.Stop(), progress.Progress(), num_hosts)
    assert not (tmp_path / 'run').exists()
    return capsys.readouterr().out.splitlines()

  return lines


def seconds(lines: list[str]) -> float:
  """The time of all, to the digits that are shown."""
  number, unit = re.search(r'in all: about ([\d.]+) (s|min|h)', lines[-1]).groups()
  return float(number) * {'s': 1, 'min': 60, 'h': 3600}[unit]


def test_several_hosts_are_those_of_the_plan_and_nobody_is_asked(plan):
  devices = len(jax.devices())
  changes = {**SMALL, 'train.batch_size': 12, 'train.parallel': 'jit', 'train.num_devices': 0}
  lines = plan(changes, num_hosts=3)
  line = next(line for line in lines if line.startswith('devices'))
  assert line.startswith(f'devices: 3 hosts with {devices} x cpu (cpu) by jit; 12 images an update, ')
  assert f', {12 // (3 * devices)} on each device' in line
  assert lines[-1].startswith('hosts: the times do not include')
  assert 'hosts with' not in ' '.join(plan(changes))


def test_a_batch_that_leaves_a_host_without_images_is_refused_as_by_the_training(plan, monkeypatch):
  """With as many images as two of three hosts have devices, the third has none."""
  one = {**SMALL, 'train.parallel': 'jit', 'train.num_devices': 0}
  on = devices_lib.devices(0, 'jit')
  with pytest.raises(types.UserError) as refused:
    plan({**one, 'train.batch_size': 2 * len(on)}, num_hosts=3)
  each = tuple(on) * 3
  monkeypatch.setattr(devices_lib.Devices, 'local', devices_lib.Devices(each[: len(on)], 'jit'))
  with pytest.raises(types.UserError) as by_training:
    batch_part.own(devices_lib.Devices(each, 'jit'), 2 * len(on))
  assert str(refused.value) == str(by_training.value)
  assert f'train.batch_size is {2 * len(on)}, which leaves a host' in str(refused.value)
  assert plan({**one, 'train.batch_size': 3 * len(on)}, num_hosts=3)
  # On each of hosts that divide members the whole batch is trained.
  divided = {**SMALL, 'train.batch_size': 2 * len(on), 'ensemble.method': 'average', 'ensemble.members': 3}
  assert plan(divided, num_hosts=3)


@pytest.mark.parametrize(
  ('changes', 'number', 'most'),
  [({'ensemble.method': 'average', 'ensemble.members': 5}, 5, 3), ({'train.folds': 4}, 4, 2)],
)
def test_hosts_that_divide_members_or_folds_train_whole_batches_and_share_the_time(
  plan, changes, number, most
):
  alone = plan({**SMALL, **changes, 'train.epochs': 40})
  lines = plan({**SMALL, **changes, 'train.epochs': 40}, num_hosts=2)
  assert [line for line in lines if line.startswith('devices')] == [
    line for line in alone if line.startswith('devices')
  ]
  assert f'{number} networks, at most {most} on each of 2 hosts' in lines[-2]
  assert lines[-1].startswith('hosts: each trains alone')
  assert seconds(alone) == pytest.approx(number / most * seconds(lines[:-1]), rel=0.1)


def test_the_time_is_that_of_the_updates_validations_and_networks(plan):
  one = plan({**SMALL, 'train.epochs': 40})
  assert 'stage train: 40 epochs of 4 updates; 1.0 s an update' in one[-2]
  images = next(line for line in one if line.startswith('images'))
  validation, test = (int(re.search(rf' {name} (\d+)', images)[1]) for name in ('validation', 'test'))
  expected = 40 * (4 + 0.5 * validation) + 0.5 * (validation + test) + cost.OVERHEAD + 3
  assert seconds(one) == pytest.approx(expected, rel=0.03)
  three = plan({**SMALL, 'train.epochs': 40, 'ensemble.method': 'average'})
  assert 'for 3 networks' in three[-1]
  assert seconds(three) == pytest.approx(3 * seconds(one), rel=0.1)
  assert seconds(plan({**SMALL, 'train.epochs': 80})) > 1.7 * seconds(one)
  of_eight = seconds(plan({**SMALL, 'train.epochs': 40, 'evaluate.tta': 'symmetries'}))
  assert of_eight == pytest.approx(expected + 7 * 0.5 * (validation + test), rel=0.03)


@pytest.mark.parametrize(
  ('changes', 'number'),
  [
    ({}, 1),
    ({'train.folds': 4}, 4),
    ({'train.folds': 4, 'train.fold': 2}, 1),
    (
      {
        'ensemble.method': 'average',
        'ensemble.members': 3,
        'ensemble.combine': 'logistic',
        'ensemble.folds': 2,
      },
      9,
    ),
    ({'ensemble.method': 'average', 'ensemble.members': 3, 'ensemble.member': 2}, 1),
  ],
)
def test_networks_are_counted(changes, number):
  exp = experiment.resolve(small_ensemble.config(**{'ensemble.method': '', **changes}))
  assert dry_run.num_trainings(exp) == number


def test_batches_that_do_not_divide_evenly_are_said_to_be_padded(plan):
  assert jax.local_device_count() == 2
  shared = plan({**SMALL, 'train.num_devices': 2, 'train.batch_size': 7})[2]
  assert '2 x cpu (cpu) by pmap; 7 images an update, 4 on each device, of which 1 in total only pad' in shared
  assert 'pad' not in plan({**SMALL, 'train.num_devices': 2})[2]


def test_cached_features_are_counted(plan):
  changes = {**{k: v for k, v in SMALL.items() if k.startswith('data.')}, 'weights.path': '',
             'augment.preprocessing_function': '', 'data.image_size': 36, 'train.num_devices': 1}  # fmt: skip
  with few_filters.blocks(((2, 4), (2, 6), (3, 8), (3, 12), (3, 16))):
    lines = plan(changes, finetune.get_config)
    train, validation = (
      int(re.search(rf'{name} (\d+)', '\n'.join(lines))[1]) for name in ('train', 'validation')
    )
    found = [line for line in lines if line.startswith('features')]
    assert len(found) == 2
    assert f'features: block 4 of {train + validation:,} images' in found[0]
    assert not [
      s for s in plan({**changes, 'stages.cache_features': False}, finetune.get_config) if s[:8] == 'features'
    ]


@pytest.mark.parametrize(('flip', 'copies'), [(True, 3), (False, 1)])
def test_the_time_of_features_is_that_of_all_augmented_copies(flip, copies):
  flat = {
    **experiment.flat(finetune.get_config('sgd')),
    'weights.path': '',
    'augment.preprocessing_function': '',
    'stages.num_augmented': 3,
  }
  exp = experiment.resolve(experiment.nest({**flat, 'augment.horizontal_flip': flip}))
  measured, counts = cost.Cost((1.0, 2.0), 0.0, 0.1, True), cost.Counts(100, 20, 60)
  rest = cost.OVERHEAD + 4 * (2 * 1.0 + 3 * 2.0) + 0.1 * 60
  assert cost.seconds(exp, measured, 4, (2, 3), 1, counts, True) == pytest.approx(rest)
  features = 0.1 * (100 * copies + 20)
  assert cost.seconds(exp, measured, 4, (2, 3), 1, counts, False) == pytest.approx(rest + features)


def test_images_on_the_devices_are_those_of_training_and_validation(plan):
  lines = plan({**SMALL, 'data.pipeline': 'device'})
  images = next(line for line in lines if line.startswith('images'))
  num = sum(int(re.search(rf' {name} (\d+)', images)[1]) for name in ('train', 'validation'))
  side = int(re.search(r'decoded at (\d+)x', images)[1])
  said = f', the training and validation images {feature_cache.format_bytes(3 * side**2 * num)} ('
  assert said in next(line for line in lines if line.startswith('memory'))
  assert 'validation' not in next(line for line in plan(SMALL) if line.startswith('memory'))


def test_what_the_training_would_refuse_is_refused(plan, tmp_path):
  with pytest.raises(types.UserError, match='nowhere'):
    plan({**SMALL, 'data.source': 'folders', 'data.dir': str(tmp_path / 'nowhere')})
  with pytest.raises(types.UserError, match='no_weights'):
    plan({**SMALL, 'weights.path': str(tmp_path / 'no_weights.h5')})
