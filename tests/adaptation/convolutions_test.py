"""Convolutions trained for another laboratory: what is frozen, drawn, left out and refused."""

from __future__ import annotations

import dataclasses
import types as python_types

import numpy as np
import pytest

from bloodcell_jax.adaptation import adapted_config, adapted_run, convolutions, home_images
from bloodcell_jax.base import tree, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset, stream
from bloodcell_jax.models import zoo
from bloodcell_jax.optim import staged
from bloodcell_jax.runs import job as job_lib
from bloodcell_jax.storage import adaptation_file, box, workdir
from bloodcell_jax.train import progress, signals
from configs import default, finetune, travel

NUM_HOME, NUM_NEW = 60, 12


def derived(config, tmp_path) -> dict:
  flat = experiment.flat(config)
  exp = experiment.from_flat(flat)
  kept = adapted_config.derive(flat, exp, tmp_path / 'run', tmp_path / 'images', tmp_path / 'g.csv', 'none')
  return adapted_config.with_convolutions(kept, exp.model.network, 7)


@pytest.mark.parametrize(
  ('config', 'first'),
  [
    (default.get_config(), {'conv2d_1'}),
    (travel.get_config('tuned'), {'block1_conv1'}),
    (finetune.get_config(), {'block1_conv1', 'block1_conv2'}),
  ],
  ids=['cnn_a', 'alexnet', 'vgg16'],
)
def test_all_is_trained_but_the_first_convolution_or_block(config, first, tmp_path):
  exp = experiment.from_flat(derived(config, tmp_path))
  (stage,) = exp.stages
  shapes = zoo.shapes(zoo.build(exp.model, 4), 64)
  chosen = tree.names(staged.trainable(stage.weights, shapes))
  assert {name.split('/')[0] for name, is_trained in chosen.items() if not is_trained} == first
  assert (exp.loop.steps_per_epoch, stage.fit.epochs) == (7, 1)
  assert not exp.cache_features, 'features of before would be those of other weights'


def test_a_runs_own_augmentation_is_kept_and_one_that_keeps_colours_is_widened(tmp_path):
  own, widened = (derived(travel.get_config(name), tmp_path) for name in ('tuned', 'pooled'))
  of_run = experiment.flat(travel.get_config('tuned'))
  assert {key: own[key] for key in own if key.startswith('augment.')} == {
    key: of_run[key] for key in of_run if key.startswith('augment.')
  }
  assert widened['augment.rotation_range'] == adapted_config.AUGMENTATION['rotation_range']
  assert widened['augment.stain_range'] > 0
  # A pipeline that does not augment is exchanged, and only then.
  c = default.get_config()
  c.data.pipeline = 'numpy'
  assert derived(c, tmp_path)['data.pipeline'] == 'tf_data'
  c.augment.rotation_range, c.data.pipeline = 10.0, 'device'
  assert derived(c, tmp_path)['data.pipeline'] == 'device'


@pytest.fixture
def job(tmp_path) -> job_lib.Job:
  """Of an adapted run: old images of which two thirds are of the first class, and a few new ones, two a group."""
  num = NUM_HOME + NUM_NEW
  label_N = np.r_[np.repeat([0, 0, 1], NUM_HOME // 3), np.arange(NUM_NEW) // 2 % 2].astype(np.int32)
  name_N = np.array([f'{i:03d}' for i in range(num)])
  group_N = np.array([f'home {i}' if i < NUM_HOME else f'new {(i - NUM_HOME) // 2}' for i in range(num)])
  table = types.Table(
    ('',) * num, name_N, label_N, name_N, group_N, np.full(num, 'TRAIN'), name_N, ('A', 'B'), 'cells', True
  )  # fmt: skip
  image_NHWC = np.zeros((num, 48, 48, 3), np.uint8)
  data = dataset.Dataset(table, image_NHWC, {'train': np.arange(num)}, [], [], ())
  c = default.get_config()
  c.data.image_size = 48
  exp = experiment.from_flat(derived(c, tmp_path))
  return job_lib.Job(exp, data, exp.transform.standardize, None, signals.Stop())


@pytest.fixture
def trainings(monkeypatch) -> list[job_lib.Job]:
  """The jobs of the trainings, none of which is carried out: each network says how often each class was there."""
  jobs: list[job_lib.Job] = []
  monkeypatch.setattr(convolutions.stage_training, 'run', lambda job, *_: jobs.append(job))
  monkeypatch.setattr(
    convolutions.cost, 'measure', lambda *_: python_types.SimpleNamespace(update_seconds=(2.0,))
  )
  monkeypatch.setattr(convolutions.model_set, 'load_network', lambda *_: (jobs[-1], {'best_epoch': 1}))

  def predict(models, rows, folder, progress):
    data = jobs[-1].data
    table = data.table.take(rows)
    own = data.rows['train'][data.rows['train'] >= NUM_HOME]
    share_K = np.bincount(data.table.label[own], minlength=2) / len(own)
    return types.Predictions(
      np.tile(share_K, (len(rows), 1)), table.label, table.group, table.file, ('A', 'B')
    )

  monkeypatch.setattr(convolutions, '_predict', predict)
  return jobs


def test_half_of_what_is_drawn_is_of_the_new_laboratory_and_of_each_class_alike(job, trainings, tmp_path):
  rows = NUM_HOME + np.arange(NUM_NEW)
  kept_N = np.arange(NUM_NEW) >= 4
  place = workdir.Workdir(tmp_path / 'one')
  convolutions.train_one(job, place, rows, kept_N, lambda _: None, progress.Progress())
  (own,) = trainings

  def drawn(one: job_lib.Job) -> np.ndarray:
    order = stream.order(one.arrays, one.data.rows['train'], one.experiment.batch_size, 0, 0)
    return np.concatenate([next(order)[0] for _ in range(4)])

  rows_B = drawn(own)
  assert (rows_B >= NUM_HOME).mean() == 0.5
  for is_new in (False, True):
    label_B = own.data.table.label[rows_B[(rows_B >= NUM_HOME) == is_new]]
    assert label_B.mean() == 0.5
  assert not set(rows_B.tolist()) & set(rows[~kept_N].tolist()), 'what is left out is not drawn'
  # One laboratory of all images would give the few new ones their share of the classes only.
  plain = job_lib.Job(job.experiment, own.data, job.transform.standardize, None, signals.Stop())
  assert (drawn(plain) >= NUM_HOME).mean() < 0.3


def test_each_label_is_left_out_by_the_network_that_speaks_of_it_and_folds_are_not_trained_twice(
  job, trainings, tmp_path, capsys
):
  rows, place = NUM_HOME + np.arange(NUM_NEW), workdir.Workdir(tmp_path / 'run')
  begun: list[np.ndarray] = []
  trained = convolutions.train(job, place, rows, begun.append, progress.Progress())
  assert 'about 1 minute ' in capsys.readouterr().out
  assert (trained.num_folds, len(trainings)) == (3, 4)
  *folds, whole = (set(one.data.rows['train'].tolist()) for one in trainings)
  assert whole == set(range(NUM_HOME + NUM_NEW))
  left_out = [whole - fold for fold in folds]
  assert sorted(row for one in left_out for row in one) == rows.tolist()
  group_N = job.data.table.group
  for fold, out in zip(folds, left_out, strict=True):
    assert not {group_N[row] for row in fold} & {group_N[row] for row in out}
  assert [int(kept_N.sum()) for kept_N in begun] == [NUM_NEW - len(out) for out in left_out] + [NUM_NEW]
  # Another label changes what is said of the other groups, not of its own.
  other = dataclasses.replace(job.data.table, label=job.data.table.label.copy())
  other.label[rows[5]] = 1 - other.label[rows[5]]
  changed = job_lib.Job(
    job.experiment, dataclasses.replace(job.data, table=other), job.transform.standardize, None, signals.Stop()
  )  # fmt: skip
  again = convolutions.train(
    changed, workdir.Workdir(tmp_path / 'b'), rows, begun.append, progress.Progress()
  )
  differs_N = np.abs(again.cross_fitted_NK - trained.cross_fitted_NK).max(1) > 0
  assert not differs_N[[4, 5]].any()
  assert differs_N.any()
  # Once a fold has predicted it is not trained again.
  trainings.clear()
  once_more = convolutions.train(job, place, rows, begun.append, progress.Progress())
  assert len(trainings) == 1
  np.testing.assert_array_equal(once_more.cross_fitted_NK, trained.cross_fitted_NK)


def test_without_tensorflow_it_is_refused_before_anything_is_written(tmp_path, monkeypatch):
  home = home_images.HomeImages(frozenset(), True, {}, None)

  def fail():
    raise ImportError('no module named tensorflow')

  monkeypatch.setattr(convolutions.tensorflow_cpu, 'load', fail)
  with pytest.raises(types.UserError, match=r'install requirements.txt, or leave --trainable out$'):
    convolutions.check(tmp_path, home)
  monkeypatch.setattr(convolutions.tensorflow_cpu, 'load', lambda: None)
  convolutions.check(tmp_path, home)


def test_a_run_that_came_without_its_images_is_adapted_by_its_output_layer_or_with_them(tmp_path):
  request = adapted_run.Request(
    workdir.Workdir(box.FOLDER), str(tmp_path / 'none'), str(tmp_path / 'labels.csv'), 'labels.csv', '', '', (), 5,
    updates=3,
  )  # fmt: skip

  def refused(request: adapted_run.Request) -> str:
    with pytest.raises(types.UserError) as error:
      adapted_run.adapt(request, workdir.Workdir(tmp_path / 'to'), signals.Stop(), progress.Progress())
    assert not (tmp_path / 'to').exists()
    return str(error.value)

  line = refused(request)
  assert 'leave --trainable out, or name the folder of the images with --home_dir' in line
  assert '\n' not in line
  # As it says, both ways: the next thing that is missing is another.
  for one in ({'updates': 0}, {'home_dir': str(tmp_path / 'home')}):
    assert '--trainable' not in refused(dataclasses.replace(request, **one))


def test_a_folder_is_adapted_one_way_only(tmp_path):
  plain, trained = {'from': 'run'}, {'from': 'run', 'updates': 300}
  for name, first, second in (('a', plain, trained), ('b', trained, plain)):
    folder = workdir.Workdir(tmp_path / name)
    assert not adaptation_file.claim(folder, first)
    folder.environment.write_text('{}')
    assert not adaptation_file.claim(folder, first)
    with pytest.raises(types.UserError, match=r'adapted to something else \(updates\)'):
      adaptation_file.claim(folder, second)
