"""Stages of the hybrid: a softmax, a top fitted on its features, the whole tuned through another loss."""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np
import pytest

from bloodcell_jax.base import tree, types
from bloodcell_jax.config import experiment, stages
from bloodcell_jax.data import dataset, reading, stream
from bloodcell_jax.heads import rbf, svr
from bloodcell_jax.runs import (
  frozen_features,
  job,
  model_set,
  output_layer,
  saved_run,
  scoring,
  stage_training,
)
from bloodcell_jax.stats import calibration
from bloodcell_jax.storage import calibration_file, predictions_csv, workdir
from bloodcell_jax.train import checkpoint, progress, signals
from configs import cnn_svr

CHANGES = {
  'data.embedded.num_train': 6, 'data.embedded.num_test': 1, 'data.embedded.num_copies': 2,
  'data.embedded.height': 40, 'data.embedded.width': 48, 'data.validation_fraction': 0.5, 'data.pipeline': 'numpy',
  'model.rbf_units': 6, 'train.batch_size': 8, 'train.steps_per_epoch': 2, 'train.num_devices': 1,
  'evaluate.batch_size': 12,
}  # fmt: skip


def resolve(variant='svr', **changes) -> experiment.Experiment:
  flat = experiment.flat(cnn_svr.get_config(variant))
  epochs = {f'stages.{name}.epochs': 2 if name in ('softmax', 'svr') else 1 for name in flat['stages.order']}
  return experiment.resolve(experiment.nest({**flat, **CHANGES, **epochs, **changes}))


@functools.cache
def images() -> dataset.Dataset:
  exp = resolve()
  return reading.build(exp.data, exp.seed, '/nonexistent', lambda done, total: None)


def make(variant='svr', **changes) -> job.Job:
  exp = resolve(variant, **changes)
  return job.Job(exp, images(), exp.transform.standardize, None, signals.Stop())


# Compiled once for all tests that begin with equal experiments.
made_of = functools.cache(make)


class Killed(Exception):
  """Stands for a process that ends without a word."""


def run(made, folder, kill_at=None, kill_fit=False):
  """The state and records of a run, killed before this update, or behind its fit, where that is given."""
  original, fit = job.Job.train_step, output_layer.fit
  steps = vars(made).setdefault('steps_of_tests', {})

  def train_step(self, stage, model):
    # One compilation for all runs of a job.
    update = steps.setdefault(stage.fit.name, original(self, stage, model))

    def step(current, *rest):
      if int(current.step) == kill_at:
        raise Killed
      return update(current, *rest)

    return step

  def fit_and_die(*args):
    fit(*args)
    raise Killed

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(job.Job, 'train_step', train_step)
    if kill_fit:
      patch.setattr(output_layer, 'fit', fit_and_die)
    records = stage_training.run(made, made.params, workdir.Workdir(folder), progress.Progress())
  return latest(made, folder).state, records


def latest(made, folder) -> checkpoint.Saved:
  store = checkpoint.Store(workdir.Workdir(folder).checkpoints, made.experiment.monitor)
  found = store.latest(lambda stage_info: made.template(stage_info.stage))
  store.close()
  return found


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
  folder = tmp_path_factory.mktemp('undisturbed')
  return folder, *run(made_of(), folder)


def same(a, b) -> bool:
  def timeless(records):
    return [dataclasses.replace(r, seconds=0.0, images_per_second=0.0, wait_share=0.0) for r in records]

  leaves = zip(jax.tree.leaves(a[0]), jax.tree.leaves(b[0]), strict=True)
  bits = all(np.asarray(x).tobytes() == np.asarray(y).tobytes() for x, y in leaves)
  return bits and timeless(a[1]) == timeless(b[1])


def test_a_run_killed_anywhere_fits_and_continues_to_the_same_bits(undisturbed, tmp_path):
  # One run: what went wrong after any of the kills would be in its bits at the end.
  for kill in ({'kill_at': 3}, {'kill_fit': True}, {'kill_at': 4}, {'kill_at': 6}):
    with pytest.raises(Killed):
      run(made_of(), tmp_path, **kill)
  assert same(run(made_of(), tmp_path), undisturbed[1:])


def test_the_comparison_sees_another_regression(undisturbed, tmp_path):
  assert not same(run(make(**{'svr.epsilon': 0.3}), tmp_path), undisturbed[1:])


def test_the_best_epoch_is_one_of_the_regression_s_alone(undisturbed):
  folder, _, records = undisturbed
  assert [r.stage for r in records] == ['softmax'] * 2 + ['svr'] * 2
  _, origin = saved_run.best(workdir.Workdir(folder), made_of())
  assert origin['epochs'] == 4
  assert records[origin['best_epoch'] - 1].val_accuracy == max(r.val_accuracy for r in records[2:])
  assert origin['best_epoch'] > 2


def regression_stage(made):
  return made.experiment.stages[-1]


def test_the_fit_replaces_the_top_and_nothing_else():
  made = made_of()
  fitted = tree.names(output_layer.fit(made, regression_stage(made), made.params, None, progress.Progress()))
  changed = {name for name, leaf in tree.names(made.params).items() if not np.array_equal(leaf, fitted[name])}
  assert changed == {'dense_3/kernel', 'dense_3/bias'}
  rows = made.data.rows['train']
  embedding_ND = output_layer.embed(made, made.model, made.params, made.in_order(rows))
  assert embedding_ND.shape == (len(rows), 100)
  target_NK = 2 * np.eye(4)[made.data.table.label[rows]] - 1
  expected = svr.fit(embedding_ND, target_NK, np.ones(len(rows)), made.experiment.svr)
  np.testing.assert_allclose(fitted['dense_3/kernel'], expected.kernel_DK, rtol=1e-6)


def test_a_stage_minimises_the_objective_of_the_fit_over_c_and_the_images():
  made = made_of()
  rows = made.data.rows['train']
  params = output_layer.fit(made, regression_stage(made), made.params, None, progress.Progress())
  embedding_ND = output_layer.embed(made, made.model, params, made.in_order(rows))
  output_NK = embedding_ND @ params['dense_3']['kernel'] + params['dense_3']['bias']
  target_NK = np.eye(4, dtype=np.float32)[made.data.table.label[rows]]
  loss = made.loss(regression_stage(made))
  (pattern, factor), *_ = loss.l2
  assert pattern == 'dense_3/kernel'
  value = float(
    loss.per_example(output_NK, target_NK).mean() + factor * (params['dense_3']['kernel'] ** 2).sum()
  )
  spec = made.experiment.svr
  whole = svr.objective(
    *(params['dense_3'][k] for k in ('kernel', 'bias')),
    embedding_ND,
    2 * target_NK - 1,
    np.ones(len(rows)),
    spec,
  )
  assert value == pytest.approx(float(whole.sum()) / (spec.cost * len(rows)), rel=1e-5)
  assert made.loss(made.experiment.stages[0]).l2 == (('dense_\\d+/kernel', 0.0),)


def test_augmented_copies_of_cached_features_share_the_weight_of_their_image():
  made = made_of()
  rows = made.data.rows['train']
  batches = [batch.image_BHWC[batch.weight_B > 0] for batch in made.in_order(rows)]

  def kernel(num_augmented: int, stage: stages.Stage) -> np.ndarray:
    image_NHWC, target_NK, weight_N = (
      np.repeat(each, num_augmented, 0)
      for each in (np.concatenate(batches), made.arrays.target_NK[rows], made.arrays.weight_N[rows])
    )
    arrays = stream.Arrays(image_NHWC, target_NK, weight_N)
    cached = frozen_features.Features(made.model, arrays, lambda step: iter(()), lambda params: {})
    fitted = output_layer.fit(made, stage, made.params, cached, progress.Progress())
    return np.asarray(fitted['dense_3']['kernel'])

  stage = regression_stage(made)
  np.testing.assert_allclose(kernel(3, stage), kernel(1, stage), rtol=1e-2, atol=1e-4)
  # Negative control: with three times the weight the regression is another.
  alone = output_layer.svr.fit
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(output_layer.svr, 'fit', lambda x, y, weight_N, spec: alone(x, y, 3 * weight_N, spec))
    heavier = kernel(1, stage)
  assert np.abs(heavier - kernel(1, stage)).max() > 10 * np.abs(kernel(3, stage) - kernel(1, stage)).max()


def test_an_epoch_of_the_regression_is_judged_by_its_loss(undisturbed):
  made, (_, state, records) = made_of(), undisturbed
  rows = made.data.rows['validation']
  table = made.data.table.take(rows)
  output_NK = np.concatenate(
    [made.apply(state.params, b)[np.asarray(b.weight_B) > 0] for b in made.in_order(rows)]
  )
  wrong = np.maximum(np.abs(2 * np.eye(4)[table.label] - 1 - output_NK) - 0.1, 0).sum(1).mean()
  assert records[-1].val_loss == pytest.approx(wrong, rel=1e-4)
  assert records[-1].val_accuracy == np.mean(output_NK.argmax(1) == table.label)


def test_the_outputs_of_the_regression_become_logits_by_the_weights_of_its_top(undisturbed, tmp_path):
  made, params = made_of(), undisturbed[1].params
  folder = workdir.Workdir(tmp_path)
  folder.write_environment(made.devices, {'fingerprint': '', 'leaks': {}}, {})
  raw = {split: made.predict(params, split) for split in ('validation', 'test')}
  of_one = np.zeros(len(raw['validation']), np.int32)
  expected = calibration.fit(raw['validation'], made.experiment.calibration, of_one).temperature
  network = model_set.fit_temperature(made, params)
  assert network.temperature == pytest.approx(expected, rel=1e-5)
  assert abs(expected - 1) > 0.01
  answers = {split: network.outputs.predictions(split) for split in raw}
  for split, answer in answers.items():
    np.testing.assert_allclose(answer.probs_NK, calibration.scaled(raw[split], expected).probs_NK, atol=1e-5)
  rule = calibration_file.fit(answers['validation'], made.experiment.calibration, network.temperature, of_one)
  assert rule.temperature == 1, 'nothing is scaled twice'
  test = scoring.Split('test', answers['test'], None, None, None, None)
  scoring.write(folder, test, scoring.Basis(made.experiment, '', {}, rule))
  np.testing.assert_allclose(
    predictions_csv.read(folder.predictions('test')).probs_NK, answers['test'].probs_NK
  )
  # A network trained on cross-entropy is as it is.
  plain = make('softmax')
  assert model_set.fit_temperature(plain, params).params is params


def test_layer_by_layer_each_convolution_is_trained_and_then_left(tmp_path):
  made = make('layerwise')
  # The whole takes five compilations; the first two stages show what there is to see.
  short = dataclasses.replace(made.experiment, stages=made.experiment.stages[:2])
  made.experiment = short
  final, records = run(made, tmp_path)
  assert [r.stage for r in records] == ['layer_1', 'layer_2']
  before, after = tree.names(made.params), tree.names(final.params)
  changed = {name.split('/')[0] for name in before if not np.array_equal(before[name], after[name])}
  assert changed == {'conv2d_1', 'auxiliary_1', 'conv2d_2', 'auxiliary_2'}
  assert latest(made, tmp_path).stage_info.frozen, 'in the second stage the first convolution is frozen'
  with pytest.raises(types.UserError, match='no checkpoint of a finished epoch'):
    saved_run.best(workdir.Workdir(tmp_path), made)


def test_neurons_begin_at_the_means_of_the_features():
  made = made_of('rbf')
  stage = made.experiment.stages[-1]
  fitted = output_layer.fit(made, stage, made.params, None, progress.Progress())
  embedding_ND = output_layer.embed(made, made.model, made.params, made.in_order(made.data.rows['train']))
  centre_MD = rbf.centres(embedding_ND, 6, made.experiment.seed)
  np.testing.assert_allclose(fitted['rbf_1']['centre'], centre_MD, rtol=1e-5)
  np.testing.assert_allclose(
    np.exp(fitted['rbf_1']['log_width']), rbf.widths(centre_MD, embedding_ND), rtol=1e-4
  )
  assert fitted['dense_3']['kernel'].shape == (6, 4)
  kept = {n for n in tree.names(fitted) if np.array_equal(tree.names(fitted)[n], tree.names(made.params)[n])}
  assert {name.split('/')[0] for name in set(tree.names(fitted)) - kept} == {'rbf_1', 'dense_3'}


def test_a_logistic_fit_replaces_the_output_layer_and_names_images_better_than_before():
  made = make('softmax', **{'stages.softmax.output_layer': 'logistic'})
  stage = made.experiment.stages[0]
  fitted = output_layer.fit(made, stage, made.params, None, progress.Progress())
  names = tree.names(fitted)
  changed = {name for name, leaf in tree.names(made.params).items() if not np.array_equal(leaf, names[name])}
  assert changed == {'dense_3/kernel', 'dense_3/bias'}
  rows = made.data.rows['train']
  embedding_ND = output_layer.embed(made, made.model, made.params, made.in_order(rows))
  label_N = made.data.table.label[rows]
  right = {
    key: (
      (embedding_ND @ np.asarray(layer['kernel']) + np.asarray(layer['bias'])).argmax(1) == label_N
    ).mean()
    for key, layer in (('before', made.params['dense_3']), ('after', fitted['dense_3']))
  }
  assert right['after'] > right['before'] + 0.2
