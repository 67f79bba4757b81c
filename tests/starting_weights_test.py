"""A run that begins with another: exactly its weights, with their pixels, and its head only for the same classes."""

from __future__ import annotations

import dataclasses
import functools
import json

import numpy as np
import pytest
import safetensors.numpy

from bloodcell_jax.base import tree, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset, reading
from bloodcell_jax.ensemble_runs import entry
from bloodcell_jax.export import contract, program, safetensors_file
from bloodcell_jax.inference import classifier
from bloodcell_jax.runs import job, preparation, run_record, stage_training
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import progress, signals
from bloodcell_jax.weights import own
from configs import default

CHANGES = {
  'data.embedded.num_train': 4, 'data.embedded.num_test': 1, 'data.embedded.num_copies': 2, 'data.image_size': 46,
  'data.embedded.height': 48, 'data.embedded.width': 64, 'data.validation_fraction': 0.5, 'data.pipeline': 'numpy',
  'augment.rescale': 0.0, 'augment.preprocessing_function': 'tf', 'train.batch_size': 4, 'train.epochs': 1,
  'train.steps_per_epoch': 2, 'train.num_devices': 1, 'evaluate.batch_size': 8,
}  # fmt: skip


def flat(**changes) -> dict:
  return {**experiment.flat(default.get_config()), **CHANGES, **changes}


@functools.cache
def images() -> dataset.Dataset:
  exp = experiment.resolve(experiment.nest(flat()))
  return reading.build(exp.data, exp.seed, '/nonexistent', lambda done, total: None)


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> workdir.Workdir:
  """A run of before `weights.include_top` was a key: with checkpoints, not evaluated."""
  folder, config = workdir.Workdir(tmp_path_factory.mktemp('run')), flat()
  exp = experiment.resolve(experiment.nest(config))
  made = job.Job(exp, images(), exp.transform.standardize, None, signals.Stop())
  del config['weights.include_top']
  folder.write_config(config)
  run_record.describe(folder, made, {})
  stage_training.run(made, made.params, folder, progress.Progress())
  return folder


@pytest.fixture(scope='module')
def exported(trained, tmp_path_factory):
  folder = tmp_path_factory.mktemp('export')
  loaded = classifier.load(trained, signals.Stop())
  safetensors_file.write(folder / 'model.safetensors', program.build(loaded))
  (folder / 'model.json').write_text(json.dumps(contract.build(loaded, program.build(loaded), 'validation')))
  return folder


def best(folder: workdir.Workdir) -> dict[str, np.ndarray]:
  return {
    name: np.asarray(x) for name, x in tree.names(classifier.load(folder, signals.Stop()).params).items()
  }


def begin(path, to, data: dataset.Dataset | None = None, **changes) -> tuple[job.Job, dict[str, np.ndarray]]:
  """The job and the first weights of a run that begins with `path`."""
  asked = {
    'weights.path': str(path),
    'augment.preprocessing_function': 'weights',
    'augment.rescale': 1 / 255,
    'seed': 7,
  }
  config = flat(**{**asked, **changes})
  exp = experiment.resolve(experiment.nest(config))
  made, initial = preparation.prepare(
    config, exp, workdir.Workdir(to), data or images(), signals.Stop(), progress.Progress()
  )
  return made, {name: np.asarray(x) for name, x in tree.names(initial).items()}


def differing(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> set[str]:
  assert set(a) == set(b)
  return {name for name in a if a[name].tobytes() != b[name].tobytes()}


@pytest.mark.parametrize('where', ['the folder', 'the file', 'the exported folder', 'the export of a run'])
def test_a_run_begins_with_exactly_the_weights_of_the_run_that_is_named(trained, exported, tmp_path, where):
  path = {
    'the folder': trained.path,
    'the file': exported / 'model.safetensors',
    'the exported folder': exported,
  }
  if where == 'the export of a run':
    path[where] = tmp_path / 'bare'
    path[where].mkdir()
    (path[where] / 'export').symlink_to(exported)
  made, first = begin(path[where], tmp_path / 'new', **{'weights.include_top': True})
  assert differing(first, best(trained)) == set()
  fresh = {name: np.asarray(x) for name, x in tree.names(made.params).items()}
  assert len(differing(first, fresh)) == len(fresh), 'and none of them is a fresh one'
  # The pixels of those weights, whatever the config says of its own.
  found = made.transform.standardize
  assert (found.preprocessing_function, found.rescale) == ('tf', 0.0)


def test_without_its_top_a_run_gives_its_features_alone_to_any_classes(trained, exported, tmp_path):
  five = dataclasses.replace(
    images(), table=dataclasses.replace(images().table, class_names=('A', 'B', 'C', 'D', 'E'))
  )
  for i, path in enumerate((trained.path, exported / 'model.safetensors')):
    made, first = begin(path, tmp_path / f'{i}', five)
    fresh = {name: np.asarray(x) for name, x in tree.names(made.params).items()}
    features = {name for name in fresh if name.startswith('conv2d_')}
    assert differing(first, fresh) == features
    kept = best(trained)
    assert all(first[name].tobytes() == kept[name].tobytes() for name in features)
    with pytest.raises(
      types.UserError,
      match=r'include_top is True, but .* for the classes .* data has A, B.*: set it to False for a fresh head',
    ):
      begin(path, tmp_path / f'{i} top', five, **{'weights.include_top': True})
    # What the line says, in the folder of the command that was refused.
    begin(path, tmp_path / f'{i} top', five, **{'weights.include_top': False})


def test_weights_that_are_excluded_stay_newly_initialized_and_are_named(trained, exported, tmp_path, capsys):
  excluded = {'weights.exclude': ('conv2d_1/.*', 'conv2d_2/bias', 'block9_.*')}
  made, first = begin(trained.path, tmp_path / 'new', **excluded)
  assert 'weights.exclude leaves newly initialized: conv2d_1, conv2d_2/bias\n' in capsys.readouterr().out
  fresh = {name: np.asarray(x) for name, x in tree.names(made.params).items()}
  left = {'conv2d_1/kernel', 'conv2d_1/bias', 'conv2d_2/bias'}
  features = {name for name in fresh if name.startswith('conv2d_')}
  # Biases begin at zero, and those of the trained run do not.
  assert differing(first, fresh) == features - left
  kept = best(trained)
  assert left <= differing({name: first[name] for name in features}, {name: kept[name] for name in features})
  # A file without them does.
  arrays = safetensors.numpy.load_file(exported / 'model.safetensors')
  some = {name: array for name, array in arrays.items() if name not in left}
  own.write(tmp_path / 'some.safetensors', some, own.read(exported / 'model.safetensors')[1])
  _, second = begin(tmp_path / 'some.safetensors', tmp_path / 'again', **excluded)
  assert differing(second, first) == set()
  with pytest.raises(types.UserError, match='do not fit the network: missing conv2d_1/'):
    begin(tmp_path / 'some.safetensors', tmp_path / 'refused')
  # With the head, which may be left out as well.
  head = {'weights.include_top': True, 'weights.exclude': ('dense_2/.*',)}
  made, first = begin(trained.path, tmp_path / 'top', **head)
  assert differing(first, kept) == {'dense_2/kernel', 'dense_2/bias'}
  assert differing(first, fresh) >= features


def test_a_run_of_before_takes_what_it_excluded_as_it_began(trained, tmp_path, capsys):
  config = flat(
    **{
      'weights.path': str(trained.path),
      'weights.exclude': ('conv2d_1/.*',),
      'augment.preprocessing_function': 'weights',
      'seed': 7,
    }
  )
  for number, is_taken in ((4, True), (5, False)):
    exp = experiment.from_flat({**config, 'format': number})
    _, initial = preparation.prepare(
      {**config, 'format': number},
      exp,
      workdir.Workdir(tmp_path / f'{number}'),
      images(),
      signals.Stop(),
      progress.Progress(),
    )
    found = np.asarray(tree.names(initial)['conv2d_1/kernel'])
    assert (found.tobytes() == best(trained)['conv2d_1/kernel'].tobytes()) == is_taken
    assert ('newly initialized' in capsys.readouterr().out) != is_taken


def test_another_network_is_refused_by_the_names_of_its_weights(trained, tmp_path):
  with pytest.raises(types.UserError, match=r'do not fit the network: .*conv2d_'):
    begin(trained.path, tmp_path / 'new', **{'model.name': 'cnn_b', 'data.image_size': 94})


def test_an_export_of_before_says_its_pixels_in_the_file_beside_it_or_is_refused(trained, exported, tmp_path):
  arrays = safetensors.numpy.load_file(exported / 'model.safetensors')
  names = json.dumps(list(images().table.class_names))
  safetensors.numpy.save_file(arrays, tmp_path / 'model.safetensors', {'class_names': names})
  with pytest.raises(types.UserError, match=r'model\.safetensors: does not say how its pixels'):
    begin(tmp_path / 'model.safetensors', tmp_path / 'refused')
  (tmp_path / 'model.json').write_bytes((exported / 'model.json').read_bytes())
  made, first = begin(tmp_path / 'model.safetensors', tmp_path / 'new', **{'weights.include_top': True})
  assert differing(first, best(trained)) == set()
  assert made.transform.standardize.preprocessing_function == 'tf'


def test_weights_whose_pixels_rest_on_their_training_images_are_refused(trained, exported, tmp_path):
  safetensors_file.write(
    tmp_path / 'model.safetensors',
    dataclasses.replace(
      (made := program.build(classifier.load(trained, signals.Stop()))),
      standardize=dataclasses.replace(made.standardize, featurewise_center=True),
    ),
  )
  with pytest.raises(types.UserError, match='statistics of its own training images'):
    begin(tmp_path / 'model.safetensors', tmp_path / 'new')


def test_that_the_images_behind_the_weights_are_not_known_is_printed(trained, exported, tmp_path, capsys):
  for i, (path, times) in enumerate(((exported, 1), (exported / 'model.safetensors', 1), (trained.path, 0))):
    begin(path, tmp_path / f'{i}')
    said = capsys.readouterr().out
    assert said.count('features from ') == 1
    assert said.count('has no digests.csv, so it is not known whether these weights were trained on') == times


def test_what_is_no_run_and_no_file_of_weights_is_one_line(exported, tmp_path):
  (tmp_path / 'empty').mkdir()
  (tmp_path / 'x.npz').write_bytes(b'PK')
  arrays = safetensors.numpy.load_file(exported / 'model.safetensors')
  members = {f'member_{k}/{name}': array for k in (1, 2) for name, array in arrays.items()}
  safetensors.numpy.save_file(members, tmp_path / 'e.safetensors', {'class_names': '["A"]', 'pixels': '{}'})
  for path, said in (
    (tmp_path / 'empty', 'no checkpoints of a network and no model.safetensors'),
    (tmp_path / 'x.npz', r'\.npz is no longer read; name the folder of the run'),
    (tmp_path / 'e.safetensors', 'name the folder of one of its members'),
    (tmp_path / 'nowhere', 'unknown kind of weights'),
  ):
    with pytest.raises(types.UserError, match=said) as caught:
      begin(path, tmp_path / f'to {path.name}')
    assert '\n' not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize('kind', ['one run', 'a cross-validation', 'an ensemble'])
def test_after_a_mistyped_path_the_corrected_command_is_not_refused_as_another_config(tmp_path, kind):
  more = {
    'one run': {},
    'a cross-validation': {'train.folds': 2},
    'an ensemble': {'ensemble.method': 'average', 'ensemble.members': 2},
  }[kind]
  folder, config = workdir.Workdir(tmp_path / 'new'), flat(**more)
  wrong = {**config, 'weights.path': str(tmp_path / 'mistyped.safetensors'), 'augment.rescale': 1 / 255}
  wrong['augment.preprocessing_function'] = 'weights'
  with pytest.raises(types.UserError, match=r'mistyped\.safetensors'):
    entry.train(experiment.nest(wrong), folder, signals.Stop())
  assert not folder.config.exists()
  folder.write_config(config)
  # A folder without anything trained would give way.
  (folder.checkpoints / '8').mkdir(parents=True)
  with pytest.raises(types.UserError, match=r'another config: .*weights.path'):
    entry.train(experiment.nest(wrong), folder, signals.Stop())
