"""Stages: trained in order, left anywhere and continued to the same bits, from images as from kept features."""

from __future__ import annotations

import dataclasses
import functools

import few_filters
import jax
import numpy as np
import pytest

from bloodcell_jax.base import tree, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset, reading
from bloodcell_jax.data.images import feature_cache
from bloodcell_jax.runs import frozen_features, job, stage_training
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import host_store
from bloodcell_jax.train import checkpoint, devices, events, history, hosts, plan, progress, signals, state
from configs import default, finetune

CHANGES = {
  'data.embedded.num_train': 4, 'data.embedded.num_test': 1, 'data.embedded.num_copies': 2,
  'data.embedded.height': 40, 'data.embedded.width': 48, 'data.image_size': 36, 'data.validation_fraction': 0.5,
  'weights.path': '', 'augment.preprocessing_function': '', 'augment.rescale': 1 / 255, 'train.batch_size': 4,
  'stages.head.epochs': 2, 'stages.block5.epochs': 2, 'evaluate.batch_size': 6, 'train.num_devices': 1,
  'train.steps_per_epoch': 2,
}  # fmt: skip
# VGG16's blocks with few filters: what is claimed of stages, checkpoints and the cache holds at any width.
NARROW = ((2, 4), (2, 6), (3, 8), (3, 12), (3, 16))


@pytest.fixture(scope='module', autouse=True)
def narrow():
  with few_filters.blocks(NARROW):
    yield


def resolve(**changes) -> experiment.Experiment:
  return experiment.resolve(
    experiment.nest({**experiment.flat(finetune.get_config('sgd')), **CHANGES, **changes})
  )


@functools.cache
def images() -> dataset.Dataset:
  exp = resolve()
  return reading.build(exp.data, exp.seed, '/nonexistent', lambda done, total: None)


@functools.cache
def compiled(maker, *key):
  """One compilation for all tests of a kind."""
  return maker()


def make(**changes) -> job.Job:
  exp = resolve(**changes)
  made = job.Job(exp, images(), exp.transform.standardize, None, signals.Stop())
  made.params = compiled(lambda: made.params, 'params')
  return made


class Killed(Exception):
  """Stands for a process that ends without a word."""


def run(folder, monkeypatch=None, kill_at=None, **changes):
  """The state and records of a run in `folder`, killed before this update where it is given."""
  made = make(**changes)
  original = job.Job.train_step

  def train_step(self, stage, model):
    update = original(self, stage, model)

    def step(current, *rest):
      if int(current.step) == kill_at:
        raise Killed
      return update(current, *rest)

    return step

  if kill_at is not None:
    monkeypatch.setattr(job.Job, 'train_step', train_step)
  place = workdir.Workdir(folder)
  try:
    records = stage_training.run(made, made.params, place, progress.Progress())
  finally:
    monkeypatch.undo() if monkeypatch else None
  store = checkpoint.Store(place.checkpoints, made.experiment.monitor)
  found = store.latest(lambda stage_info: made.template(stage_info.stage))
  store.close()
  return found.state, records


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
  return functools.cache(lambda: run(tmp_path_factory.mktemp('undisturbed')))


def timeless(records: list[history.Record]) -> list[history.Record]:
  return [dataclasses.replace(r, seconds=0.0, images_per_second=0.0, wait_share=0.0) for r in records]


def same(a, b) -> bool:
  leaves = zip(jax.tree.leaves(a[0]), jax.tree.leaves(b[0]), strict=True)
  return all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in leaves) and timeless(
    a[1]
  ) == timeless(b[1])


def test_stages_train_what_they_name_and_nothing_else(undisturbed, capsys):
  final, records = undisturbed()
  before, after = tree.names(make().params), tree.names(final.params)
  changed = {
    name.split('_')[0]
    for name in before
    if np.asarray(before[name]).tobytes() != np.asarray(after[name]).tobytes()
  }
  assert changed == {'block5', 'dense'}
  assert [(r.epoch, r.stage, r.step) for r in records] == [
    (1, 'head', 2), (2, 'head', 4), (3, 'block5', 6), (4, 'block5', 8)
  ]  # fmt: skip
  assert [r.learning_rate for r in records] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])


def test_a_run_killed_in_every_stage_continues_to_the_same_bits(undisturbed, tmp_path, monkeypatch):
  # One run: what went wrong after any of the kills would be in its bits at the end.
  for kill_at in (1, 3, 4, 5, 7):
    with pytest.raises(Killed):
      run(tmp_path, monkeypatch, kill_at)
  assert same(run(tmp_path), undisturbed())


def test_the_comparison_sees_another_seed(undisturbed, tmp_path):
  assert not same(run(tmp_path, seed=1), undisturbed())


def test_a_complete_run_is_left_as_it_is(tmp_path, monkeypatch):
  first = run(tmp_path)
  assert same(run(tmp_path, monkeypatch, kill_at=8), first)


@pytest.mark.parametrize(('announced', 'stopped'), [(3, 3), (6, 6), (None, None)])
def test_a_stop_that_another_host_announces_in_a_stage_is_that_of_the_next_where_it_is_due_there(
  tmp_path, monkeypatch, announced, stopped
):
  """Stages of four updates: number 6 of the run is the second of the second stage."""
  group = hosts.Hosts(0, 2, host_store.Store())
  monkeypatch.setattr(hosts, '_current', group)
  if announced:
    group.client.key_value_set('stop/1', str(announced))
    with pytest.raises(signals.Stopped):
      run(tmp_path)
  else:
    run(tmp_path)
  assert group.is_settled == bool(announced)
  store = checkpoint.Store(workdir.Workdir(tmp_path).checkpoints, 'val_loss')
  found = store.latest(lambda stage_info: make().template(stage_info.stage))
  store.close()
  assert int(found.state.step) == (stopped or 8)


def test_training_from_kept_features_is_training_from_images(undisturbed, tmp_path):
  kept, _ = undisturbed()
  whole, _ = run(tmp_path, **{'stages.cache_features': False})
  assert not list((tmp_path / 'cache').glob('*')) if (tmp_path / 'cache').exists() else True
  for name, leaf in tree.names(kept.params).items():
    np.testing.assert_allclose(leaf, tree.names(whole.params)[name], atol=2e-6, err_msg=name)
  moved = np.abs(
    np.asarray(kept.params['dense_2']['kernel']) - np.asarray(make().params['dense_2']['kernel'])
  )
  assert moved.max() > 1e-4, 'the tolerance is far below what training does'


def test_views_are_drawn_by_the_augmentation_and_kept(tmp_path):
  made = make(**{'augment.horizontal_flip': True, 'augment.rotation_range': 20.0, 'stages.num_augmented': 3})
  stage = made.experiment.stages[1]
  shown = progress.Progress()
  features = frozen_features.build(made, stage, made.params, tmp_path, shown)
  (path,) = tmp_path.glob('block4-train-*.npy')
  maps = np.load(path)
  num = len(made.data.rows['train'])
  assert maps.shape == (3 * num, 2, 2, NARROW[3][1])
  assert not np.array_equal(maps[0], maps[1])
  batches = features.batches(0)
  first = next(batches)
  batches.close()
  again = frozen_features.build(made, stage, made.params, tmp_path, shown).batches(0)
  np.testing.assert_array_equal(next(again).image_BHWC, first.image_BHWC)
  again.close()
  assert {p.name.split('-')[0] for p in tmp_path.glob('*.npy')} == {'block4'}


@pytest.mark.parametrize(
  ('platform', 'block', 'expected'), [('cpu', 500, [16] * 4), ('gpu', 500, [256] * 2), ('gpu', 20, [20] * 4)]
)
def test_features_are_computed_in_batches_of_the_platform_with_parameters_moved_once(
  tmp_path, monkeypatch, platform, block, expected
):
  """For 48 items and 16, no larger than a block of the cache. What a GPU is given is computed by the CPU here."""
  made, sizes, moves = make(**{'stages.num_augmented': 3, 'augment.horizontal_flip': True}), [], []
  replicate, original = devices.replicate, job.Job.make_apply

  def counted(tree, on):
    moves.append((found := replicate(tree, on)) is not tree)
    return found

  def make_apply(self, model, **options):
    apply = original(self, model, **options)

    def run(params, batch):
      sizes.append(len(batch.image_BHWC))
      return apply(params, batch)

    return run

  monkeypatch.setattr(feature_cache, 'items_of_block', lambda shape, dtype: block)
  monkeypatch.setattr(devices, 'replicate', counted)
  monkeypatch.setattr(job.Job, 'make_apply', make_apply)
  monkeypatch.setattr(devices.Devices, 'platform', platform)
  frozen_features.build(made, made.experiment.stages[1], made.params, tmp_path, progress.Progress())
  assert sizes == expected
  assert sum(moves) == 2, 'once for each split'


def test_other_weights_or_pixels_are_never_taken_from_the_cache(tmp_path):
  shown, made = progress.Progress(), make()
  stage = made.experiment.stages[1]
  frozen_features.build(made, stage, made.params, tmp_path, shown)
  count = len(list(tmp_path.glob('*.npy')))
  frozen_features.build(made, stage, made.params, tmp_path, shown)
  assert len(list(tmp_path.glob('*.npy'))) == count == 2
  other = tree.names(made.params)
  other['block2_conv1/bias'] = other['block2_conv1/bias'] + 1
  frozen_features.build(made, stage, tree.nest(other), tmp_path, shown)
  assert len(list(tmp_path.glob('*.npy'))) == 2 * count
  late = tree.names(made.params)
  late['block5_conv1/bias'] = late['block5_conv1/bias'] + 1
  frozen_features.build(made, stage, tree.nest(late), tmp_path, shown)
  assert len(list(tmp_path.glob('*.npy'))) == 2 * count, 'block 5 is not part of what block 4 gives'
  pixels = make(**{'augment.rescale': 1.0})
  frozen_features.build(pixels, stage, made.params, tmp_path, shown)
  assert len(list(tmp_path.glob('*.npy'))) == 3 * count


def test_features_of_rounded_features_are_not_taken_for_those_of_the_images(tmp_path):
  both = make(**{'stages.feature_dtype': 'bfloat16'})
  head = both.experiment.stages[0]
  alone = make(**{'stages.feature_dtype': 'bfloat16'})
  alone.experiment = dataclasses.replace(alone.experiment, stages=(head,))
  for made in (both, alone):
    frozen_features.build(made, head, made.params, tmp_path, progress.Progress())
  of_features, of_images = (np.load(path) for path in tmp_path.glob('block5-train-*.npy'))
  assert (of_features != of_images).any()


def test_mixed_images_have_no_kept_features(tmp_path):
  made = make(**{'augment.mixup_alpha': 0.2})
  with pytest.raises(types.UserError, match=r'stages\.cache_features=False'):
    frozen_features.build(made, made.experiment.stages[0], made.params, tmp_path, progress.Progress())


def test_a_pattern_that_names_no_weight_is_an_error(tmp_path):
  with pytest.raises(types.UserError, match='blok5'):
    run(tmp_path, **{'stages.block5.trainable': ('blok5_.*',)})


def test_a_network_without_stages_trains_all_its_weights():
  exp = experiment.resolve(default.get_config())
  (stage,) = exp.stages
  assert stage.fit == plan.Stage('train', 12, stage.fit.monitoring, True)
  assert stage.weights.trainable == ('.*',)
  made = job.Job(exp, images(), exp.transform.standardize, None, signals.Stop())
  assert frozen_features.build(made, stage, made.params, None, progress.Progress()) is None
  assert len(jax.tree.leaves(state.inference_params(made.initial_state(stage, made.params, 0)))) == len(
    jax.tree.leaves(made.params)
  )


def test_the_last_checkpoint_is_waited_for_where_the_figures_cannot_be_written(tmp_path, monkeypatch):
  closed = []
  original = checkpoint.Store.close

  def close(store):
    closed.append(store)
    original(store)

  def refuse(board):
    raise OSError(28, 'No space left on device', 'events')

  monkeypatch.setattr(checkpoint.Store, 'close', close)
  monkeypatch.setattr(events.Events, 'close', refuse)
  with (
    pytest.raises(OSError, match='events'),
    stage_training.opened(make(), workdir.Workdir(tmp_path / 'run')),
  ):
    pass
  assert closed
