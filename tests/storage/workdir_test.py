"""A run's folder, its predictions, and how predictions are made."""

from __future__ import annotations

import json
import subprocess

import jax
import numpy as np
import pytest

from bloodcell_jax.base import run_format, types
from bloodcell_jax.data import stream
from bloodcell_jax.runs import forward
from bloodcell_jax.storage import config_keys, predictions_csv, workdir

CONFIG = {
  'seed': 0,
  'train.epochs': 3,
  'data.dir': 'here',
  'optimizer.decay': 0.0,
  'evaluate.splits': ['test'],
}
DATA = {'fingerprint': 'abc', 'name': 'three'}


@pytest.fixture
def folder(tmp_path) -> workdir.Workdir:
  made = workdir.Workdir(tmp_path / 'run')
  made.write_config(CONFIG)
  made.write_environment(jax.devices()[:1], DATA, {})
  (made.checkpoints / '4').mkdir(parents=True)
  return made


def test_another_config_is_refused_by_every_differing_key_and_both_values(folder):
  with pytest.raises(types.UserError) as caught:
    folder.write_config({**CONFIG, 'seed': 1, 'optimizer.decay': 0.1})
  assert 'optimizer.decay was 0.0 and is 0.1' in str(caught.value)
  assert 'seed was 0 and is 1' in str(caught.value)
  assert folder.read_config() == {**CONFIG, 'format': run_format.CURRENT}


@pytest.mark.parametrize(
  'result', ['history.jsonl', 'metrics.json', 'members/2/checkpoints/8', 'folds/1/checkpoints/8']
)
def test_a_command_that_was_refused_leaves_no_run_and_one_that_trained_does(result, tmp_path):
  folder = workdir.Workdir(tmp_path)
  folder.write_config(CONFIG)
  folder.write_environment(jax.devices()[:1], DATA, {})
  folder.statistics.write_bytes(b'of other images')
  folder.checkpoints.mkdir()
  folder.write_config({**CONFIG, 'seed': 1})
  folder.write_environment(jax.devices()[:1], {**DATA, 'fingerprint': 'xyz'}, {})
  assert folder.read_config()['seed'] == 1
  assert not folder.statistics.exists()
  (tmp_path / result).mkdir(parents=True)
  with pytest.raises(types.UserError, match='seed was 1 and is 2'):
    folder.write_config({**CONFIG, 'seed': 2})


def test_keys_that_decide_only_how_long_or_where_may_change(folder):
  folder.write_config(
    {**CONFIG, 'train.epochs': 9, 'data.dir': 'there', 'evaluate.splits': ('test', 'validation')}
  )
  assert folder.read_config()['train.epochs'] == 9


def test_a_key_whose_name_begins_like_one_that_may_change_may_not():
  free, other = {'train.epochs': 1, 'evaluate.tta': 'none'}, {'train.epochs_of_warmup': 1, 'data.dirs': 'a'}
  assert not config_keys.differences(free, {'train.epochs': 2, 'evaluate.tta': 'mirrors'})
  assert [key for key, *_ in config_keys.differences(other, {})] == sorted(other)


def test_a_run_keeps_the_format_that_it_began_with(folder, tmp_path):
  older = workdir.Workdir(tmp_path / 'older')
  older.path.mkdir()
  older.config.write_text(json.dumps(CONFIG))
  assert older.read_config()['format'] == 1
  for config in (CONFIG, {**CONFIG, 'format': run_format.CURRENT}):
    older.check_config(config)
    older.write_config({**config, 'train.epochs': 9})
    assert older.read_config() == {**CONFIG, 'train.epochs': 9, 'format': 1}
  assert folder.read_config()['format'] == run_format.CURRENT, 'one that begins today'
  folder.write_config({**CONFIG, 'format': 1})
  assert folder.read_config()['format'] == run_format.CURRENT


def test_the_same_command_again_leaves_the_bytes_of_the_config(folder):
  for _ in range(2):
    before = folder.config.read_bytes()
    folder.write_config(CONFIG)
    assert folder.config.read_bytes() == before
    folder.begin_scoring({'splits': ['test']})  # writes the keys in another order
    assert list(folder.read_config()) != [*CONFIG, 'format']
  before = folder.config.read_bytes()
  folder.write_config({**CONFIG, 'train.epochs': 9, 'evaluate.batch_size': 5})
  after = folder.config.read_bytes()
  assert after == before.replace(b'"train.epochs": 3', b'"train.epochs": 9').replace(
    b'\n}', b',\n  "evaluate.batch_size": 5\n}'
  )


def test_no_report_or_calibration_stands_beside_figures_that_are_not_its_own(folder):
  def write() -> None:
    for path in (folder.report, folder.calibration, folder.unlike, folder.metrics):
      path.write_text('{}')

  def left() -> list[str]:
    return [
      path.name
      for path in (folder.report, folder.calibration, folder.unlike, folder.metrics)
      if path.exists()
    ]

  write()
  folder.begin_scoring({'splits': ['test']})
  assert left() == ['metrics.json']
  write()
  folder.begin_scoring({'splits': ['test']}, keeps_unlike=True)
  assert left() == ['unlike.npz', 'metrics.json']


def test_a_run_of_a_later_version_is_one_line(tmp_path):
  folder = workdir.Workdir(tmp_path)
  folder.config.write_text(json.dumps({**CONFIG, 'format': run_format.CURRENT + 1}))
  with pytest.raises(types.UserError, match=r'config\.json: format is \d+') as caught:
    folder.read_config()
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize('key', config_keys.PIPELINE_DIFFERS)
def test_the_pipeline_may_change_only_where_both_make_the_same_bits(tmp_path, key):
  for name, value in (('alike', 0), ('differs', 0.5)):
    made = workdir.Workdir(tmp_path / name)
    made.write_config({**CONFIG, key: value, 'data.pipeline': 'tf_data'})
    made.write_environment(jax.devices()[:1], DATA, {})
    (made.checkpoints / '4').mkdir(parents=True)
    if name == 'alike':
      made.write_config({**CONFIG, key: value, 'data.pipeline': 'numpy'})
      assert made.read_config()['data.pipeline'] == 'numpy'
      continue
    with pytest.raises(types.UserError, match=r"data\.pipeline was 'tf_data' and is 'numpy'"):
      made.write_config({**CONFIG, key: value, 'data.pipeline': 'numpy'})


@pytest.mark.parametrize('before', ['tf_data', 'numpy', 'device'])
def test_a_run_whose_pipeline_is_left_to_the_program_keeps_the_one_that_it_began_with(tmp_path, before):
  made = workdir.Workdir(tmp_path)
  made.write_config({**CONFIG, 'data.pipeline': before})
  (made.checkpoints / '4').mkdir(parents=True)
  made.write_config({**CONFIG, 'data.pipeline': 'auto'})
  assert made.read_config()['data.pipeline'] == before


@pytest.mark.parametrize(('before', 'after'), [('tf_data', 'device'), ('device', 'numpy')])
def test_a_run_keeps_to_images_on_the_device_or_stays_without_them(tmp_path, before, after):
  made = workdir.Workdir(tmp_path)
  made.write_config({**CONFIG, 'data.pipeline': before})
  (made.checkpoints / '4').mkdir(parents=True)
  with pytest.raises(types.UserError, match=rf"data\.pipeline was '{before}' and is '{after}'"):
    made.write_config({**CONFIG, 'data.pipeline': after})
  made.write_config({**CONFIG, 'data.pipeline': before})


def test_other_data_is_refused(folder):
  with pytest.raises(types.UserError, match='fingerprint abc, now xyz'):
    folder.write_environment(jax.devices()[:1], {**DATA, 'fingerprint': 'xyz'}, {})
  folder.check_data('abc')


def test_the_environment_says_what_ran_where(folder):
  found = folder.read_environment()
  assert found['packages']['jax'] == jax.__version__
  assert found['devices'] == [{'platform': 'cpu', 'kind': jax.devices()[0].device_kind}]
  assert found['data'] == DATA


def test_no_run_and_a_damaged_one_are_one_line(tmp_path, folder):
  with pytest.raises(types.UserError, match='no run here'):
    workdir.Workdir(tmp_path / 'nowhere').read_config()
  folder.config.write_text('{"seed": ')
  with pytest.raises(types.UserError, match=r'config\.json: not JSON'):
    folder.read_config()


def made(num=5) -> types.Predictions:
  probs_NK = np.random.default_rng(0).dirichlet([0.1] * 3, num)
  names = np.array([f'x, "{i}".png' for i in range(num)])
  return types.Predictions(probs_NK, np.arange(num, dtype=np.int32) % 3, names, names, ('A', 'B', 'C'))


def test_predictions_are_read_back_bit_for_bit(tmp_path):
  path, found = tmp_path / 'p.csv', made()
  predictions_csv.write(path, found, None)
  back = predictions_csv.read(path)
  np.testing.assert_array_equal(back.probs_NK, found.probs_NK)
  for column in ('label_N', 'group_N', 'file_N'):
    np.testing.assert_array_equal(getattr(back, column), getattr(found, column))
  assert path.read_text().splitlines()[0] == 'file,label,group,predicted,confidence,prob_A,prob_B,prob_C'


@pytest.mark.parametrize(
  'damage', [lambda t: t[:-5] + 'x\n', lambda t: t.replace('A,', 'Z,', 1), lambda t: 'a,b\n']
)
def test_damaged_predictions_are_named(damage, tmp_path):
  path = tmp_path / 'p.csv'
  predictions_csv.write(path, made(), None)
  path.write_text(damage(path.read_text()))
  with pytest.raises(types.UserError, match=r'p\.csv'):
    predictions_csv.read(path)


def table(num: int) -> types.Table:
  names = np.array([f'{i}.png' for i in range(num)])
  columns = dict.fromkeys(('file', 'source', 'group', 'split', 'digest'), names)
  return types.Table(tuple(names), label=np.arange(num, dtype=np.int32) % 3, class_names=('A', 'B', 'C'), name='n',
                     synthetic=False, **columns)  # fmt: skip


def logits(params, batch):
  # Told apart by the first pixel, so that order and padding show.
  return np.stack(
    [params * batch.image_BHWC[:, 0, 0, 0], batch.image_BHWC[:, 0, 0, 1], 0 * batch.weight_B], 1
  )


@pytest.mark.parametrize('size', [1, 5, 7, 50])
def test_every_row_is_predicted_once_whatever_the_batch_size(size):
  image_NHWC = np.random.default_rng(0).integers(0, 256, (12, 2, 2, 3), np.uint8)
  arrays = stream.Arrays(image_NHWC, stream.one_hot(np.arange(12) % 3, 3), np.ones(12, np.float32))

  def run(size):
    return forward.run(
      logits,
      3.0,
      stream.in_order(arrays, np.arange(12), size, lambda x: x / np.float32(255)),
      table(12),
      lambda: None,
    )

  found = run(size)
  assert len(found) == 12
  np.testing.assert_array_equal(found.probs_NK, run(12).probs_NK)
  np.testing.assert_allclose(found.probs_NK.sum(1), 1)
  with pytest.raises(AssertionError, match='predictions for 11 images'):
    forward.run(
      logits,
      3.0,
      stream.in_order(arrays, np.arange(12), size, lambda x: x / np.float32(255)),
      table(11),
      lambda: None,
    )


def test_the_figures_of_an_epoch_are_those_of_the_definition():
  probs_NK = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
  names = np.array(list('abc'))
  given = types.Predictions(probs_NK, np.array([0, 1, 1]), names, names, ('A', 'B', 'C'))
  loss, accuracy = forward.figures(given).values()
  assert accuracy == pytest.approx(2 / 3)
  # The last is certain and wrong: 744.44 nats, the logarithm of the smallest double, and not infinity.
  assert loss == pytest.approx((np.log(2) + 744.44) / 3, rel=1e-4)


def test_metrics_json_is_json(folder):
  json.dumps(folder.read_environment(), allow_nan=False)


def test_the_commit_is_that_of_this_package_and_of_no_checkout_around_it(tmp_path, monkeypatch):
  for around in (tmp_path, tmp_path / 'venv' / 'site-packages'):
    (around / 'bloodcell_jax' / 'storage').mkdir(parents=True)
  subprocess.run(['git', 'init', '-q'], cwd=tmp_path, check=True)
  who = ['-c', 'user.name=x', '-c', 'user.email=x@x']
  subprocess.run(['git', *who, 'commit', '-q', '--allow-empty', '-m', 'x'], cwd=tmp_path, check=True)
  found = []
  for around in (tmp_path, tmp_path / 'venv' / 'site-packages'):
    monkeypatch.setattr(workdir, '__file__', str(around / 'bloodcell_jax' / 'storage' / 'workdir.py'))
    found.append(workdir._git_commit())
  assert len(found[0]) == 40
  assert found[1] is None
