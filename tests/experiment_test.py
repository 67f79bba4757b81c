"""Configs: every key is read, every mistake named."""

from __future__ import annotations

import importlib
import itertools
import pathlib

import pytest

from bloodcell_jax import experiment, types
from configs import cnn_a, cnn_b, default

ROOT = pathlib.Path(__file__).parent.parent
KEYS = sorted(experiment.flat(default.get_config()))


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
  files = sorted(path.stem for path in (ROOT / 'configs').glob('*.py') if path.stem != '__init__')
  assert {'default', 'cnn_a', 'cnn_b'} <= set(files)
  for name in files:
    module = importlib.import_module(f'configs.{name}')
    for variant in [None, *getattr(module, 'OPTIMIZERS', ())]:
      config = module.get_config(variant) if variant else module.get_config()
      experiment.resolve(config)
      assert sorted(experiment.flat(config)) == KEYS


def test_the_study_s_settings_are_the_study_s():
  for module, name in ((cnn_a, 'cnn_a'), (cnn_b, 'cnn_b')):
    made = {v: experiment.resolve(module.get_config(v)) for v in cnn_b.OPTIMIZERS}
    assert {e.model.name for e in made.values()} == {name}
    assert [(e.loop.steps_per_epoch, e.batch_size, e.data.decode.image_size) for e in made.values()] == [
      (200, 50, 150)
    ] * 3
    rates = {v: (e.optimizer.learning_rate, e.optimizer.decay) for v, e in made.items()}
    assert rates == {'rmsprop': (1e-3, 0.0), 'adam': (1e-4, 1e-6), 'sgd': (1e-4, 1e-6)}
  with pytest.raises(ValueError, match='lion'):
    cnn_b.get_config('lion')


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


@pytest.mark.parametrize('section', ['', 'data', 'data.embedded', 'model', 'optimizer', 'train', 'evaluate'])
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


def test_a_flat_config_nests_back_to_itself():
  flat = experiment.flat(default.get_config())
  assert experiment.flat(experiment.nest(flat)) == flat
  assert experiment.resolve(experiment.nest(flat)) == experiment.resolve(default.get_config())


def test_keys_differ_only_where_a_config_says_so():
  pairs = itertools.combinations(cnn_b.OPTIMIZERS, 2)
  for a, b in pairs:
    first, second = (experiment.flat(cnn_b.get_config(v)) for v in (a, b))
    assert {key.split('.')[0] for key in first if first[key] != second[key]} == {'optimizer'}
