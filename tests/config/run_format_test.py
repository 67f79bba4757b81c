"""What changed between the formats of a run: an old run follows the rules that it began with."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from bloodcell_jax import commands
from bloodcell_jax.base import run_format, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import reading
from bloodcell_jax.data.division import bagging, splits
from bloodcell_jax.runs import run_data
from bloodcell_jax.stats import calibration
from bloodcell_jax.storage import calibration_file, ensemble_file, workdir
from bloodcell_jax.system import atomic
from configs import cnn_svr, default, finetune

CHANGES = {
  'data.embedded.num_train': 6, 'data.embedded.num_test': 2, 'data.embedded.num_copies': 2,
  'data.embedded.height': 48, 'data.embedded.width': 64, 'data.image_size': 32, 'data.cache': 'memory',
  'data.validation_fraction': 0.5, 'model.name': 'cnn_svr', 'ensemble.method': 'bagging', 'ensemble.members': 5,
}  # fmt: skip


def resolve(**changes) -> experiment.Experiment:
  return experiment.from_flat({**experiment.flat(default.get_config()), **CHANGES, **changes})


def seeds(seed: int, **changes) -> set[int]:
  return {resolve(seed=seed, **{'ensemble.member': k}, **changes).seed for k in range(1, 6)}


def test_ensembles_of_neighbouring_seeds_share_no_member():
  assert not seeds(0) & seeds(1)
  assert seeds(0) == seeds(0)
  assert len(seeds(0)) == 5
  # Negative control, and what old runs go on with.
  assert len(seeds(0, format=1) & seeds(1, format=1)) == 4
  assert resolve(seed=7, format=1, **{'ensemble.member': 3}).seed == 9


def test_a_member_s_images_are_divided_by_the_ensemble_s_seed():
  assert {resolve(seed=3, **{'ensemble.member': k}).division_seed for k in (0, 1, 2)} == {3}
  assert resolve(seed=3).seed == 3


def test_bags_are_drawn_from_a_stream_of_their_own_and_those_of_old_runs_as_before(tmp_path):
  exps = {number: resolve(format=number, **{'ensemble.member': 1}) for number in (1, 2)}
  data = reading.build(exps[2].data, 0, tmp_path, lambda done, total: None)
  for number, stream in ((1, 'bootstrap'), (2, 'bag')):
    divided = run_data.divide(data, exps[number])
    expected = bagging.divide(data.table, data.rows, exps[number].seed, stream)
    assert divided.rows['train'].tolist() == expected['train'].tolist()
  one, other = (
    bagging.divide(data.table, data.rows, 0, stream)['train'].tolist() for stream in ('bag', 'bootstrap')
  )
  assert one != other


@pytest.mark.parametrize(
  ('fraction', 'before'), [(0.4, 0.5), (0.3, 1 / 3), (0.15, 1 / 7), (0.2, 0.2), (0.5, 0.5)]
)
def test_an_old_run_holds_out_the_share_that_it_did(fraction, before):
  old, new = (
    resolve(format=n, **{'data.validation_fraction': fraction}).data.validation_fraction for n in (1, 2)
  )
  assert old == pytest.approx(before, abs=1e-12)
  assert new == fraction
  assert resolve(format=1).data.test_fraction == 0


def test_an_old_division_is_the_same_rows(tmp_path):
  # 12 groups a class: the first of round(1 / 0.3) = 3 folds.
  old, new = (resolve(format=n, **{'data.validation_fraction': 0.3}) for n in (1, 2))
  third = resolve(format=1, **{'data.validation_fraction': 1 / 3})
  table, _ = reading.read_table(old.data)
  found, other, control = (
    splits.rows(table, exp.data.validation_fraction, 0, 0)['validation'].tolist() for exp in (old, third, new)
  )
  assert found == other
  assert found != control


@pytest.mark.parametrize('key', ['augment.mixup_alpha', 'augment.cutmix_alpha'])
def test_images_that_numpy_would_not_mix_are_refused_but_in_old_runs(key):
  changes = {'data.pipeline': 'numpy', key: 0.2}
  with pytest.raises(types.UserError, match='does not mix'):
    resolve(**changes)
  assert resolve(format=1, **changes).transform.mixing.is_active
  assert resolve(**{**changes, 'data.pipeline': 'tf_data'}).transform.mixing.is_active


def test_a_user_s_config_has_no_format():
  config = experiment.nest({**experiment.flat(default.get_config()), 'format': 1})
  with pytest.raises(types.UserError, match='format'):
    experiment.resolve(config)
  assert experiment.resolve(default.get_config()).format == run_format.CURRENT


def test_a_config_without_a_format_is_of_an_old_run():
  assert run_format.upgrade({'seed': 3}, 'here') == {'seed': 3, 'format': 1}
  assert run_format.upgrade({'seed': 3, 'format': 2}, 'here')['format'] == 2
  for wrong in (0, run_format.CURRENT + 1, '2', None):
    with pytest.raises(types.UserError, match='here: format is'):
      run_format.upgrade({'format': wrong}, 'here')


RENAMED = [
  ('data.embedded.num_views', 'data.embedded.num_copies', 2), ('stages.num_views', 'stages.num_augmented', 3),
  ('evaluate.views', 'evaluate.tta', 'mirrors'), ('ensemble.together', 'ensemble.vectorized', 1),
  ('weights.left_out', 'weights.exclude', ['a/.*']), ('stages.head.top', 'stages.head.output_layer', 'svr'),
]  # fmt: skip


@pytest.mark.parametrize(
  ('every', 'unit', 'now'),
  [(0.5, 'epochs', 1.0), (2.5, 'steps', 3.0), (2.5, 'minutes', 2.5), (2.0, 'steps', 2.0)],
)
def test_an_old_run_that_saved_at_fractions_is_read(every, unit, now):
  old = {
    **experiment.flat(default.get_config()),
    'train.checkpoint_every': every,
    'train.checkpoint_unit': unit,
  }
  assert experiment.from_flat(run_format.upgrade(old, 'here')).loop.checkpoint_every == now


@pytest.mark.parametrize(('before', 'now', 'value'), RENAMED)
def test_a_renamed_key_of_an_old_run_is_read(before, now, value):
  assert run_format.upgrade({before: value, 'seed': 3}, 'here') == {now: value, 'seed': 3, 'format': 1}
  # Negative control: a key that only looks like it stays.
  assert run_format.upgrade({f'{before}.x': value}, 'here') == {f'{before}.x': value, 'format': 1}


def test_every_renamed_key_is_one_of_today_and_no_earlier_one_is():
  config = cnn_svr.get_config()
  keys = {re.sub(r'^stages\.svr\.', 'stages.*.', key) for key in experiment.flat(config)}
  assert set(run_format.RENAMED_KEYS.values()) <= keys
  assert not set(run_format.RENAMED_KEYS) & keys
  assert len(RENAMED) == len(run_format.RENAMED_KEYS)


def test_a_renamed_network_of_an_old_run_is_read():
  old = {'model.name': 'hybrid', 'ensemble.architectures': ['cnn_a', 'hybrid'], 'data.dir': 'hybrid'}
  new = {'model.name': 'cnn_svr', 'ensemble.architectures': ['cnn_a', 'cnn_svr'], 'data.dir': 'hybrid'}
  assert run_format.upgrade(old, 'here') == {**new, 'format': 1}


@pytest.mark.parametrize(('before', 'now', 'value'), RENAMED)
def test_a_renamed_key_in_a_user_s_config_is_one_line_that_names_the_new_one(before, now, value):
  config = finetune.get_config()
  config.unlock()
  *path, last = before.split('.')
  target = config
  for part in path:
    target = target[part]
  target[last] = tuple(value) if isinstance(value, list) else value
  with pytest.raises(types.UserError) as caught:
    experiment.resolve(config)
  assert str(caught.value) == f'config.{before}: is called config.{now} now'


@pytest.mark.parametrize('key', ['model.name', 'ensemble.architectures'])
def test_a_renamed_value_in_a_user_s_config_is_one_line_that_names_the_new_one(key):
  def config(name):
    return {key: name if key == 'model.name' else ('cnn_a', name)}

  with pytest.raises(types.UserError) as caught:
    resolve(**config('hybrid'))
  assert str(caught.value) == f"config.{key}: 'hybrid' is called 'cnn_svr' now"
  assert resolve(**config('cnn_svr'))


@pytest.mark.parametrize(('before', 'now', 'value'), RENAMED)
def test_a_renamed_key_as_a_flag_is_one_line_that_names_the_new_one(before, now, value):
  error = AttributeError(f"'{before.split('.')[-1]}'")
  flags = ('main.py', '--config=configs/default.py', f'--config.{before}={value}')
  assert commands.one_line(error, flags) == f'--config.{before}: is called --config.{now} now'
  # Negative control: any other wrong key.
  wrong = commands.one_line(AttributeError("'sed'"), ('main.py', '--config.sed=1'))
  assert wrong == '--config.sed: no such key'


def test_the_records_of_an_old_run_name_today_s_keys(tmp_path):
  folder = workdir.Workdir(tmp_path)
  evaluation = {'views': 'mirrors', 'confidence': 0.9}
  atomic.write_json(folder.metrics, {'test': {'checkpoint': {'epoch': 1}, 'evaluation': evaluation}})
  atomic.write_json(folder.ensemble, {'members': [1, 2], 'evaluation': evaluation})
  now = {'tta': 'mirrors', 'confidence': 0.9, 'unlike_share': 0.03}
  assert folder.read_metrics() == {'test': {'checkpoint': {'epoch': 1}, 'evaluation': now}}
  assert ensemble_file.read(folder) == {'members': [1, 2], 'evaluation': now}


def test_the_calibration_of_an_old_run_keeps_its_test_time_augmentation(tmp_path):
  folder = workdir.Workdir(tmp_path)
  probs_NK, label_N = np.eye(2).repeat(20, 0) * 0.8 + 0.1, np.arange(2, dtype=np.int32).repeat(20)
  name_N = np.arange(40).astype(str)
  found = types.Predictions(probs_NK, label_N, name_N, name_N, ('a', 'b'))
  rule = calibration.fit(found, resolve().calibration, np.zeros(40, np.int32))
  fitted_for = calibration_file.FittedFor({'epoch': 1}, (), '', 'mirrors', '0' * 16, 1.0)
  calibration_file.write(folder, rule, fitted_for)
  entry = json.loads(folder.calibration.read_text())
  entry['fitted_for']['views'] = entry['fitted_for'].pop('tta')
  atomic.write_json(folder.calibration, entry)
  assert calibration_file.read(folder)[1] == fitted_for
  # Negative control: a record without the key, under either name, is damaged.
  del entry['fitted_for']['views']
  atomic.write_json(folder.calibration, entry)
  with pytest.raises(types.UserError, match='damaged'):
    calibration_file.read(folder)


def test_member_seeds_spread_over_all_seeds():
  drawn = np.array([run_format.member_seed(2, seed, member) for seed in range(20) for member in range(1, 11)])
  assert len(np.unique(drawn)) == 200
  assert 0 <= drawn.min() < 2**30 < 3 * 2**30 < drawn.max() < 2**32


def test_a_run_that_an_earlier_version_began_keeps_direct_convolutions_unless_its_config_says_otherwise():
  flat = experiment.flat(default.get_config())
  for number, value, algorithm in (
    (2, 'auto', 'direct'),
    (3, 'auto', 'winograd'),
    (4, 'auto', 'compiled'),
    (3, 'direct', 'direct'),
    (2, 'winograd', 'winograd'),
  ):
    config = {**flat, 'model.convolution': value, 'format': number}
    assert experiment.from_flat(config).convolution == algorithm
  with pytest.raises(types.UserError, match='choose one of auto, compiled, winograd, direct'):
    experiment.from_flat({**flat, 'model.convolution': 'fft'})
