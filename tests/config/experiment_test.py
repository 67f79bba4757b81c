"""Configs: every key is read, every mistake named."""

from __future__ import annotations

import ast
import importlib
import itertools
import pathlib

import pytest

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from configs import cnn_a, cnn_b, cnn_b_augmented, default, finetune

ROOT = pathlib.Path(__file__).parent.parent.parent
KEYS = sorted(experiment.flat(default.get_config()))
STAGE_KEYS = sorted(default.stage((), 1, '', 0.1))


def changed(**values):
  config = default.get_config()
  for key, value in values.items():
    *path, last = key.split('__')
    section = config
    for part in path:
      section = section[part]
    section[last] = value
  return config


def test_every_config_and_variant_resolves_and_adds_no_key():
  files = sorted(
    path.stem for path in (ROOT / 'configs').glob('*.py') if path.stem not in ('__init__', 'study')
  )
  assert {'default', 'cnn_a', 'cnn_b'} <= set(files)
  for name in files:
    module = importlib.import_module(f'configs.{name}')
    for variant in [None, *getattr(module, 'OPTIMIZERS', ())]:
      config = module.get_config(variant) if variant else module.get_config()
      experiment.resolve(config)
      flat = experiment.flat(config)
      own = {
        key for key in flat if key.startswith(tuple(f'stages.{stage}.' for stage in flat['stages.order']))
      }
      assert sorted(set(flat) - own) == KEYS
      for stage in flat['stages.order']:
        assert sorted(k.split('.')[-1] for k in own if k.startswith(f'stages.{stage}.')) == STAGE_KEYS


def optimizer(made: experiment.Experiment):
  (stage,) = made.stages
  return stage.weights.optimizer


def test_the_study_s_settings_are_the_study_s():
  for module, name in ((cnn_a, 'cnn_a'), (cnn_b, 'cnn_b')):
    made = {v: experiment.resolve(module.get_config(v)) for v in cnn_b.OPTIMIZERS}
    assert {e.model.name for e in made.values()} == {name}
    assert [(e.loop.steps_per_epoch, e.batch_size, e.data.decode.image_size) for e in made.values()] == [
      (200, 50, 150)
    ] * 3
    rates = {v: (optimizer(e).learning_rate, optimizer(e).decay) for v, e in made.items()}
    assert rates == {'rmsprop': (1e-3, 0.0), 'adam': (1e-4, 1e-6), 'sgd': (1e-4, 1e-6)}
  with pytest.raises(ValueError, match='lion'):
    cnn_b.get_config('lion')


def test_the_study_s_augmentation_is_the_study_s():
  made = experiment.resolve(cnn_b_augmented.get_config())
  assert (made.loop.steps_per_epoch, made.stages[0].fit.epochs, made.batch_size) == (180, 70, 20)
  a = made.transform.augment
  assert (a.rotation_range, a.width_shift_range, a.height_shift_range) == (10, 0.3, 0.3)
  assert (a.shear_range, a.zoom_range, a.horizontal_flip, a.fill_mode) == (0.3, 0.2, True, 'nearest')
  assert not any((a.vertical_flip, a.channel_shift_range, a.brightness_range))
  assert not experiment.resolve(cnn_b.get_config()).transform.is_random


def test_a_fold_beyond_the_last_is_refused_and_what_a_fold_holds_out_is_always_scored():
  with pytest.raises(types.UserError, match=r'train\.fold is 4'):
    experiment.resolve(changed(train__folds=3, train__fold=4))
  made = experiment.resolve(changed(train__folds=3, train__fold=3, evaluate__splits=('test',)))
  assert made.evaluate_splits == ('fold', 'test')
  assert experiment.resolve(changed(evaluate__splits=('test',))).evaluate_splits == ('test',)


def test_a_pipeline_that_cannot_augment_is_refused_where_it_should():
  with pytest.raises(types.UserError, match=r'data\.pipeline is numpy'):
    experiment.resolve(changed(data__pipeline='numpy', augment__horizontal_flip=True))
  experiment.resolve(changed(data__pipeline='numpy'))


@pytest.mark.parametrize('key', KEYS)
def test_a_missing_key_is_named(key):
  config = default.get_config().copy_and_resolve_references()
  config.unlock()
  *path, last = key.split('.')
  section = config
  for part in path:
    section = section[part]
  del section[last]
  with pytest.raises(types.UserError, match=f'config.{key} is missing'):
    experiment.resolve(config)


@pytest.mark.parametrize(
  'section', ['', 'data', 'data.embedded', 'augment', 'model', 'optimizer', 'train', 'evaluate']
)
def test_an_unknown_key_is_named_with_the_nearest(section):
  config = default.get_config()
  config.unlock()
  target = config
  for part in filter(None, section.split('.')):
    target = target[part]
  target['sed' if not section else 'image_sise'] = 1
  with pytest.raises(types.UserError, match='no such key; did you mean'):
    experiment.resolve(config)


@pytest.mark.parametrize(
  ('key', 'value'),
  [
    ('seed', -1), ('data__source', 'web'), ('data__validation_fraction', 0.0), ('data__test_fraction', 0.6),
    ('data__on_bad_image', 'mend'), ('data__image_size', 0), ('data__view', 'half'), ('data__interpolation', 'cubic'),
    ('data__pipeline', 'torch'), ('data__cache', 'cloud'), ('data__embedded__num_train', 0), ('model__name', 'vgg'),
    ('model__dropout_rate', 1.0), ('optimizer__learning_rate', float('nan')), ('train__batch_size', 0),
    ('train__epochs', 0), ('train__checkpoint_unit', 'hours'), ('train__monitor', 'f1'),
    ('train__reduce_on_plateau_factor', 1.0), ('train__label_smoothing', 1.0), ('evaluate__splits', ('train',)),
    ('evaluate__confidence', 1.0), ('evaluate__num_resamples', 0), ('train__class_weight', 'heavy'),
    ('train__folds', 1), ('train__folds', -2), ('train__fold', 1),
    ('augment__rotation_range', -1.0), ('augment__fill_mode', 'mirror'), ('augment__width_shift_range', (0.1, 5)),
    ('augment__zoom_range', 1.5), ('augment__rescale', -1.0), ('augment__preprocessing_function', 'resnet'),
    ('augment__crop_range', (0.5, 1.5)), ('augment__noise_range', -1.0), ('augment__mixup_alpha', -0.1),
    ('augment__zca_epsilon', 0.0),
    ('weights__path', 'auto'), ('train__l2', -1.0), ('model__head', 'deep'),
    ('stages__feature_dtype', 'float16'), ('stages__num_augmented', 0),
    ('train__steps_per_epoch', -1), ('augment__interpolation_order', 6), ('augment__keras_version', 1),
  ],
)  # fmt: skip
def test_a_value_out_of_range_is_named_by_its_key(key, value):
  with pytest.raises(types.UserError, match=key.split('__')[-1]) as caught:
    experiment.resolve(changed(**{key: value}))
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
  ('key', 'value'), [('train__epochs', True), ('data__dir', 3), ('train__num_devices', '2')]
)
def test_a_value_of_another_type_is_named_by_its_key(key, value):
  config = default.get_config()
  section, last = key.split('__')
  with config.ignore_type():
    config[section][last] = value
  with pytest.raises(types.UserError, match=key.replace('__', '.') + ' is .* must be of type'):
    experiment.resolve(config)


def test_several_names_in_one_text_are_told_how_they_are_written():
  with pytest.raises(
    types.UserError, match=r'; write several as --config\.evaluate\.splits="(.*)"$'
  ) as caught:
    experiment.resolve(changed(evaluate__splits=('test, validation',)))
  written = ast.literal_eval(str(caught.value).split('"')[1])
  assert experiment.resolve(changed(evaluate__splits=written)).evaluate_splits == ('test', 'validation')
  # Negative control: an entry that is no list of names.
  with pytest.raises(types.UserError, match='choose among'):
    experiment.resolve(changed(evaluate__splits=('test, fold',)))


def test_grey_is_not_made_of_channels_in_another_order():
  with pytest.raises(
    types.UserError, match="channels is 1, which makes grey with red first; choose 'tf' or 'torch'"
  ):
    experiment.resolve(changed(model__channels=1, augment__preprocessing_function='caffe'))
  for channels, name in ((3, 'caffe'), (1, 'tf')):
    experiment.resolve(changed(model__channels=channels, augment__preprocessing_function=name))


def test_a_flat_config_nests_back_to_itself():
  flat = experiment.flat(default.get_config())
  assert experiment.flat(experiment.nest(flat)) == flat
  assert experiment.resolve(experiment.nest(flat)) == experiment.resolve(default.get_config())


def test_keys_differ_only_where_a_config_says_so():
  pairs = itertools.combinations(cnn_b.OPTIMIZERS, 2)
  for a, b in pairs:
    first, second = (experiment.flat(cnn_b.get_config(v)) for v in (a, b))
    assert {key.split('.')[0] for key in first if first[key] != second[key]} == {'optimizer'}


def staged(**values) -> experiment.Experiment:
  config = finetune.get_config()
  with config.ignore_type():
    for key, value in values.items():
      section, _, last = key.rpartition('__')
      target = config
      for part in filter(None, section.split('__')):
        target = target[part]
      target[last] = value
  return experiment.resolve(config)


def test_stages_come_in_their_order_and_not_in_that_of_their_names():
  made = staged(stages__order=('head', 'block5'))
  assert [stage.fit.name for stage in made.stages] == ['head', 'block5']
  assert [stage.weights.trainable for stage in made.stages] == [('dense_.*',), ('block5_.*', 'dense_.*')]
  assert made.stages[1].weights.optimizer.learning_rate < made.stages[0].weights.optimizer.learning_rate


@pytest.mark.parametrize(
  ('key', 'value', 'said'),
  [
    ('stages__order', ('head', 'head'), 'twice'),
    ('stages__order', ('head', 'top'), r'config\.stages\.top is missing'),
    ('stages__head__epochs', 0, r'config\.stages\.head\.epochs'),
    ('stages__head__optimizer', 'lion', 'lion'),
    ('stages__head__trainable', (), 'nothing would be trained'),
    ('stages__head__trainable', ('(',), 'not a regular expression'),
    ('stages__block5__learning_rate_multipliers', (('block5_.*', 0.0),), 'factor above 0'),
    ('augment__preprocessing_function', '', r'weights\.path'),
  ],
)
def test_a_stage_that_makes_no_sense_is_named(key, value, said):
  with pytest.raises(types.UserError, match=said) as caught:
    staged(**{key: value})
  assert '\n' not in str(caught.value)
