"""Lines about the value of a key: what each kind of them advises is done here, and the config is accepted."""

from __future__ import annotations

import ast
import re

import advice_list_test
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.study import budget
from bloodcell_jax.system import home
from configs import cnn_svr, default, finetune

CONFIGS = {'default': default.get_config, 'finetune': finetune.get_config, 'cnn_svr': cnn_svr.get_config}


def line(changes: dict, config: str = 'default') -> str:
  """The line that refuses the config with these changes; '' where it is accepted."""
  try:
    experiment.from_flat({**experiment.flat(CONFIGS[config]()), **changes})
  except types.UserError as error:
    return str(error)
  return ''


CHOICES = (
  'data.source', 'data.on_bad_image', 'data.view', 'data.cache', 'data.pipeline', 'data.interpolation', 'model.name',
  'optimizer.name', 'train.class_weight', 'train.monitor', 'train.checkpoint_unit', 'stages.feature_dtype',
  'evaluate.tta', 'evaluate.conformal_score', 'evaluate.interval', 'ensemble.method', 'ensemble.combine',
  'augment.fill_mode', 'augment.stain',
)  # fmt: skip


@pytest.mark.parametrize('key', [key for key in CHOICES if key in experiment.flat(default.get_config())])
def test_the_first_of_the_choices_is_one(key):
  said = line({key: 'nonsense'})
  first = re.search(r"choose (?:one of|among) '?([\w.]+)", said)[1]
  assert f"{key} is 'nonsense'" in said
  assert key not in line({key: first})


def test_splits_and_architectures_are_chosen_among_those_named():
  for key in ('evaluate.splits', 'ensemble.architectures'):
    first = re.search(r'choose among (\w+)', line({key: ('nonsense',)}))[1]
    assert line({key: (first,)}) == ''


@pytest.mark.parametrize(
  ('key', 'value'),
  [
    ('seed', -1),
    ('train.batch_size', 0),
    ('train.epochs', 0),
    ('train.steps_per_epoch', -1),
    ('train.checkpoint_every', 0.0),
    ('train.folds', 1),
    ('train.label_smoothing', 1.0),
    ('train.l2', -1.0),
    ('data.image_size', 1),
    ('data.validation_fraction', 0.9),
    ('data.test_fraction', 0.9),
    ('data.max_pixels', 0),
    ('data.embedded.num_train', 0),
    ('optimizer.learning_rate', 0.0),
    ('optimizer.decay', -1.0),
    ('optimizer.beta_1', 1.0),
    ('ensemble.members', 0),
    ('ensemble.vectorized', -1),
    ('ensemble.folds', 1),
    ('ensemble.shrinkage', 0.0),
    ('ensemble.patience', -1),
    ('ensemble.member', 1),
    ('evaluate.confidence', 1.0),
    ('evaluate.num_resamples', 1),
    ('evaluate.max_error', 0.0),
    ('evaluate.unlike_share', 0.9),
    ('svr.cost', 0.0),
    ('trees.num_trees', 0),
  ],
)
def test_a_value_at_the_bound_that_the_line_names_is_accepted(key, value):
  if key not in experiment.flat(default.get_config()):
    pytest.skip(f'there is no key {key}')
  said = line({key: value})
  assert f'{key} is {value}' in said
  kind = type(value)
  if found := re.search(r'must lie in ([\[(])([\d.]+)(?:,| to) ([\d.*]+)', said):
    low, high = float(found[2]), eval(found[3])
    allowed = kind(low) if found[1] == '[' else kind((low + high) / 2)
  elif found := re.search(r'must lie in (\d+) to', said):
    allowed = 0 if 'or be 0' in said else kind(int(found[1]))
  elif found := re.search(r'must be (\d+) or more', said):
    allowed = kind(int(found[1]))
  else:
    assert 'must be above 0' in said, said
    allowed = kind(1)
  assert line({key: allowed}) == ''


# Keys that do not go together: the changes, and what follows the line's words in them.
TOGETHER = {
  "data.pipeline is numpy, which does not augment; set it to tf_data": (
    'default', {'data.pipeline': 'numpy', 'augment.horizontal_flip': True}, {'data.pipeline': 'tf_data'}),
  'data.pipeline is numpy, which does not mix images (augment.mixup_alpha, augment.cutmix_alpha); set it to tf_data': (
    'default', {'data.pipeline': 'numpy', 'augment.mixup_alpha': 0.2}, {'data.pipeline': 'tf_data'}),
  'data.pipeline is device, which does not support augment.hue_range; set it to tf_data': (
    'default', {'data.pipeline': 'device', 'augment.hue_range': 0.1}, {'data.pipeline': 'tf_data'}),
  'members of samme are trained one after another; set it to 0': (
    'default', {'ensemble.method': 'samme', 'ensemble.vectorized': 2}, {'ensemble.vectorized': 0}),
  "samme has its own rule; set it to 'auto'": (
    'default', {'ensemble.method': 'samme', 'ensemble.combine': 'vote'}, {'ensemble.combine': 'auto'}),
  'which needs ensemble.method=average, not bagging': (
    'default', {'ensemble.method': 'bagging', 'ensemble.combine': 'mlp'}, {'ensemble.method': 'average'}),
  'leave ensemble.architectures empty': (
    'default', {'ensemble.method': 'average', 'ensemble.combine': 'swa', 'ensemble.architectures': ('cnn_a', 'cnn_b')},
    {'ensemble.architectures': ()}),
  "gradient boosting fits residuals: set it to 'val_loss'": (
    'default', {'ensemble.method': 'gradient', 'train.monitor': 'val_accuracy'}, {'train.monitor': 'val_loss'}),
  'gradient boosting has its own loss; set the loss of each stage': (
    'cnn_svr', {'ensemble.method': 'gradient', 'train.monitor': 'val_loss'}, 'cross_entropy'),
  'an ensemble is not cross-validated; set one of them to 0 or empty': (
    'default', {'ensemble.method': 'average', 'train.folds': 2}, {'train.folds': 0}),
  'but stacking divides all groups into folds; set it to 0': (
    'default', {'ensemble.method': 'average', 'ensemble.combine': 'mlp', 'train.max_groups': 20},
    {'train.max_groups': 0}),
  'set it to 3': ('finetune', {'model.channels': 1}, {'model.channels': 3}),
  'so set it to \'weights\' with them and to something else without': (
    'finetune', {'augment.preprocessing_function': 'tf'}, {'augment.preprocessing_function': 'weights'}),
  'set it for one stage or more': (
    'finetune', {'stages.head.is_candidate': False, 'stages.block5.is_candidate': False},
    {'stages.block5.is_candidate': True}),
  'so nothing would be trained; give a pattern such as .*': (
    'finetune', {'stages.head.trainable': ()}, {'stages.head.trainable': ('.*',)}),
  "train.dtype is 'float16', in which small gradients become 0; set it to 'bfloat16', which has float32's range": (
    'default', {'train.dtype': 'float16'}, {'train.dtype': 'bfloat16'}),
  "draws every class equally often; set train.class_weight to 'none'": (
    'default', {'train.class_weight': 'balanced', 'train.draw': 'laboratories'}, {'train.class_weight': 'none'}),
  'choose one of average, snapshot, bagging, samme, samme_r, gradient, or leave it empty': (
    'default', {'ensemble.method': 'nonsense'}, {'ensemble.method': ''}),
  'set it to False with vgg16': ('finetune', {'model.auxiliary': True}, {'model.auxiliary': False}),
  'so their epochs cannot be compared; set it only for stages of one loss': (
    'cnn_svr', {'stages.softmax.is_candidate': True}, {'stages.softmax.is_candidate': False}),
  "set that to 'rbf'": ('cnn_svr', {'stages.svr.output_layer': 'rbf'}, {'model.head': 'rbf'}),
  'give each stage a name of its own': (
    'finetune', {'stages.order': ('head', 'head')}, {'stages.order': ('head', 'block5')}),
  'give pairs of a pattern and a factor above 0': (
    'finetune', {'stages.head.learning_rate_multipliers': ('x',)},
    {'stages.head.learning_rate_multipliers': (('.*', 0.5),)}),
}  # fmt: skip


@pytest.mark.parametrize('advice', TOGETHER)
def test_keys_that_do_not_go_together_go_as_the_line_says(advice):
  config, changes, remedy = TOGETHER[advice]
  assert advice in line(changes, config)
  if isinstance(remedy, str):
    flat = experiment.flat(CONFIGS[config]())
    remedy = {key: remedy for key in flat if re.fullmatch(r'stages\.\w+\.loss', key)}
  assert line({**changes, **remedy}, config) == ''


def test_numbers_and_ranges_of_augmentation_are_given_as_the_line_says():
  for key, value, words, remedy in (
    ('augment.brightness_range', (2.0, 1.0), 'two factors, 0 <= low <= high, or () for none', (1.0, 2.0)),
    ('augment.brightness_range', (2.0, 1.0), 'or () for none', ()),
    ('augment.crop_range', (0.0, 2.0), 'two fractions, 0 < low <= high <= 1, or () for no crop', (0.5, 1.0)),
  ):
    assert words in line({key: value})
    assert line({key: remedy}) == ''


def test_a_missing_an_unknown_and_a_renamed_key_lead_to_the_right_one():
  flat = experiment.flat(default.get_config())
  with pytest.raises(
    types.UserError, match=r'config\.train\.epochs is missing; start from configs/default\.py'
  ):
    experiment.from_flat({key: value for key, value in flat.items() if key != 'train.epochs'})
  said = line({'train.epoch': 3})
  nearest = re.search(r'mean.* (?:config\.)?(train\.\w+)', said)[1]
  assert line({nearest: 3}) == ''
  assert 'give a smaller one' in line({'train.batch_size': 2**40})
  assert 'give a text, a number, True, False or a tuple of these' in line({'evaluate.splits': (None,)})


def test_a_budget_and_seeds_are_given_as_the_line_says():
  with pytest.raises(types.UserError) as caught:
    budget.parse('much')
  for text in re.search(r'such as ([\d.]+), or a time such as (\w+) or (\w+)', str(caught.value)).groups():
    budget.parse(text)
  with pytest.raises(types.UserError) as caught:
    budget.seeds('many')
  for text in re.search(r'such as (\d+), or seeds such as ([\d,]+)', str(caught.value)).groups():
    budget.seeds(text)


def test_a_home_that_is_not_there_is_written_otherwise():
  with pytest.raises(ValueError, match=r'write the whole path, or \./~\.\.\. for a name that begins so'):
    home.expand('~nobody_of_this_name/x')
  assert home.expand('./~nobody_of_this_name/x') == './~nobody_of_this_name/x'
  assert home.expand('/whole/path') == '/whole/path'


def named_keys(source: str) -> set[str]:
  """The keys of a config that errors for the user begin with."""
  sections = {key.partition('.')[0] for key in experiment.flat(default.get_config())}
  found: set[str] = set()
  # Most files have none, and to parse all of them takes seconds.
  if not re.search(rf"['\"](?:{'|'.join(sections)})\.", source):
    return found
  for node in ast.walk(ast.parse(source)):
    call = node.exc if isinstance(node, ast.Raise) else None
    if isinstance(call, ast.Call) and call.args:
      begun = re.match(r'([a-z_]+)\.[\w.]+(?= (?:is|has) )', advice_list_test.text(call.args[0]))
      found |= {begun[0]} if begun and begun[1] in sections else set()
  return found


def test_a_line_that_begins_with_a_key_names_one_that_exists():
  keys = {key for read in CONFIGS.values() for key in experiment.flat(read())}
  package = advice_list_test.ROOT / 'bloodcell_jax'
  found = {key for path in package.rglob('*.py') for key in named_keys(path.read_text('utf-8'))}
  assert sorted(found - keys) == []
  assert len(found) > 40
  # Negative control.
  made = "raise types.UserError(f'ensemble.boosting is {kind!r}; choose one of {kinds}')"
  assert named_keys(made) - keys == {'ensemble.boosting'}
