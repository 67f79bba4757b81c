"""A config of any values is an experiment or one line that names the key, whatever somebody writes into it."""

from __future__ import annotations

import json
import re

import hypothesis
import pytest
import starting
from hypothesis import strategies
from ml_collections import config_dict

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment, values
from configs import default, finetune

BASES = {'default': default.get_config(), 'finetune': finetune.get_config()}
KEYS = [(base, key) for base, config in BASES.items() for key in sorted(experiment.flat(config))]
NAMES = [key for _, key in KEYS]
# Each name once.
DIFFERENT = [pair for number, pair in enumerate(KEYS) if pair[1] not in NAMES[:number]]
NAN, INF = float('nan'), float('inf')
VALUES = (
  None, True, False, -1, 0, 1, 10**9, 10**30, -(10**30), 10**5000, 0.0, 0.5, -0.5, 1.5, 1e308, INF, -INF, NAN,
  '', 'x', '\0', 'a\nb', '\ud800', 'x' * 100_000, '(', b'x', (), (1,), (0.1, 0.2), (0.2, 0.1), (NAN, NAN), (-INF, INF),
  (1, 2, 3), ('a',), ('(',), (('a',),), ((('(', 1.0),),), (('a', NAN),), (('(', 1.0),), (None,), [[]], [1, 2],
  {}, {'a': 1}, config_dict.ConfigDict({'a': {'b': 1}}), object(), 1j, set(), (True, False), ('a', 'a'), (0.25,) * 1000,
  ((0.1, 0.2), (0.1, 0.2)), ('cache_features',),
)  # fmt: skip


def changed(base, key, value):
  """The config with another value, types not looked at; None where ml_collections itself cannot hold it."""
  config = BASES[base].copy_and_resolve_references()
  config.unlock()
  *path, last = key.split('.')
  section = config
  for part in path:
    section = section[part]
  try:
    with section.ignore_type():
      section[last] = value
  except (ValueError, OverflowError):  # a key with a dot, a number too large for its field
    return None
  return config


def outcome(resolve, base, key, value):
  """'an experiment', 'refused', or what is wrong with how it was refused."""
  config = changed(base, key, value)
  if config is None:
    return 'refused'
  try:
    resolve(config)
    # What is accepted must be fit to be kept.
    flat = experiment.flat(config)
    assert experiment.flat(experiment.nest(json.loads(json.dumps(flat, allow_nan=False)))) == flat
  except types.UserError as error:
    text, last = str(error), key.split('.')[-1]
    # A stage that is not there is named in its place; an optimizer by the section it comes from.
    if last not in text and not re.search(r'config\.stages\.|optimizer\.name|weights\.path', text):
      return f'does not name {key}: {text[:200]}'
    return 'refused' if len(text.splitlines()) == 1 and len(text) < 6000 else f'is no line: {text[:200]}'
  except Exception as error:
    return f'{type(error).__name__}: {error}'[:200]
  return 'an experiment'


@pytest.mark.parametrize(('base', 'key'), DIFFERENT)
def test_no_value_of_any_key_is_a_traceback(base, key):
  found = {
    values.shown(value): outcome(experiment.resolve, base, key, value)
    for value in VALUES
    if value != 10**5000
  }
  found['a number of 5,001 digits'] = outcome(experiment.resolve, base, key, 10**5000)
  assert {name: said for name, said in found.items() if said not in ('refused', 'an experiment')} == {}
  assert 'refused' in found.values()


def test_the_check_sees_another_exception_and_a_line_that_names_nothing():
  def broken(config):
    if config.seed == 1:
      raise TypeError('not a number')
    raise types.UserError('wrong\nvery')

  assert outcome(broken, 'default', 'seed', 1) == 'TypeError: not a number'
  assert outcome(broken, 'default', 'seed', 2).startswith('does not name seed')


SIMPLE = strategies.one_of(
  strategies.integers(),
  strategies.floats(),
  strategies.booleans(),
  strategies.none(),
  strategies.text(max_size=20),
)
NESTED = strategies.recursive(
  SIMPLE, lambda inner: strategies.lists(inner, max_size=4).map(tuple), max_leaves=6
)


@hypothesis.settings(max_examples=400, deadline=None, database=None, derandomize=True)
@hypothesis.given(strategies.sampled_from(KEYS), NESTED)
def test_no_drawn_value_of_a_key_is_a_traceback(base_and_key, value):
  assert outcome(experiment.resolve, *base_and_key, value) in ('refused', 'an experiment')


@pytest.mark.parametrize(
  'value', [INF, -INF, NAN, (1.0, INF), 10**30, 'a\nb', '\ud800', ((((1,),),),), 'x' * 5000]
)
def test_what_json_or_a_line_cannot_hold_is_refused(value):
  with pytest.raises(types.UserError, match=r'^config\.a\.b is '):
    values.checked('a.b', value)
  assert values.checked('a.b', [1, [0.5, 'ü'], True]) == (1, (0.5, 'ü'), True)


@pytest.mark.parametrize(
  'override',
  [
    'train.epochs=x', 'optimizer.learning_rate=nan', 'train.min_delta=inf', 'augment.crop_range=("a","b")',
    'data.image_size=1000000000', 'data.dir=\x07', 'stages.order=([],)', 'augment=3', 'data.nothing.deep=1',
    'evaluate.views=mirrors', 'model.name=hybrid',
    'evaluate.prevalence=(0.5,0.5,nan)', 'train.batch_size=' + '9' * 5000,
  ],
)  # fmt: skip
def test_an_override_is_one_line_and_exit_code_2(override, tmp_path):
  code, _, err = starting.run(
    '--config=configs/default.py', f'--config.{override}', f'--workdir={tmp_path}/run'
  )
  assert code == 2, err
  assert len(err.strip().splitlines()) == 1, err
  assert 'Traceback' not in err
  assert override.split('=')[0].split('.')[0] in err
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(('config', 'has_stages'), [('finetune', True), ('cnn_b', False)])
def test_a_key_that_no_stage_reads_is_said_to_have_no_effect(config, has_stages, tmp_path):
  _, out, _ = starting.run(
    f'--config=configs/{config}.py',
    '--config.train.epochs=3',
    '--config.data.source=folders',
    f'--config.data.dir={tmp_path / "nowhere"}',
    f'--workdir={tmp_path / "run"}',
  )
  line = 'config.train.epochs has no effect: each stage has its own; set config.stages.head.epochs and '
  assert (line in out) == has_stages
