"""Which free keys may no longer change once a part of a run is trained."""

from __future__ import annotations

import pytest

from bloodcell_jax.base import types
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import history

CONFIG = {
  'seed': 0, 'train.epochs': 3, 'stages.order': [], 'ensemble.method': 'average', 'ensemble.combine': 'logistic',
  'ensemble.folds': 2,
}  # fmt: skip


def begun(folder: workdir.Workdir, part: str) -> None:
  (folder.path / part / 'checkpoints' / '4').mkdir(parents=True)


def trained(folder: workdir.Workdir, part: str, num_epochs: int, stage: str = 'train') -> None:
  """Writes a history of so many epochs."""
  path = folder.path / part / 'history.jsonl'
  path.parent.mkdir(parents=True, exist_ok=True)
  records = [
    history.Record(i + 1, 4 * i, stage, 1.0, 0.5, 1.0, 0.5, 0.1, 1.0, 1.0, None) for i in range(num_epochs)
  ]
  history.write(path, records)


def made(path, **changes) -> workdir.Workdir:
  folder = workdir.Workdir(path)
  folder.write_config({**CONFIG, **changes})
  begun(folder, 'members/1')
  return folder


def refused(folder: workdir.Workdir, said: str, **changes) -> None:
  """The change is refused in one line, and the config stays as it was, byte for byte."""
  before = folder.config.read_bytes()
  config = {**folder.read_config(), **changes}
  for call in (folder.write_config, folder.check_continued):
    with pytest.raises(types.UserError, match=said) as caught:
      call(config)
    assert '\n' not in str(caught.value)
  assert folder.config.read_bytes() == before


FOLDS = (
  r'ensemble\.folds was 2 and is 3, but members have networks out of fold; set it to 2, or choose another'
)
IN_TURN = (
  r'train\.epochs was 3 and is 4, but members after the first are begun, and with .* each depends on those before it; '
  'set it to 3, or choose another --workdir'
)
TRAINED = (
  r'train\.epochs was 3 and is 2, but 3 epochs are trained; set it to 3 or more, or choose another --workdir'
)


def test_folds_of_stacking_may_change_until_a_network_out_of_fold_is_begun(tmp_path):
  folder = made(tmp_path / 'run')
  folder.write_config({**CONFIG, 'ensemble.folds': 4})
  assert folder.read_config()['ensemble.folds'] == 4
  folder.write_config(CONFIG)
  begun(folder, 'members/1/out_of_fold/folds/1')
  refused(folder, FOLDS, **{'ensemble.folds': 3})
  folder.write_config({**CONFIG, 'train.epochs': 9})
  other = workdir.Workdir(tmp_path / 'another')
  other.write_config({**CONFIG, 'ensemble.folds': 3})
  assert other.read_config()['ensemble.folds'] == 3


def test_a_rule_without_networks_out_of_fold_leaves_the_folds_as_they_are(tmp_path):
  folder = made(tmp_path)
  begun(folder, 'members/1/out_of_fold/folds/1')
  folder.write_config({**CONFIG, 'ensemble.combine': 'mean', 'ensemble.folds': 5})
  assert folder.read_config()['ensemble.folds'] == 2, 'those of the networks that are there'
  assert folder.read_config()['ensemble.combine'] == 'mean'
  refused(folder, FOLDS, **{'ensemble.combine': 'mlp', 'ensemble.folds': 3})


@pytest.mark.parametrize('kind', ['snapshot', 'samme', 'samme_r', 'gradient'])
def test_epochs_of_members_that_build_on_each_other_may_change_until_the_second_is_begun(tmp_path, kind):
  config = {**CONFIG, 'ensemble.method': kind, 'ensemble.combine': 'auto'}
  folder = made(tmp_path / 'run', **config)
  folder.write_config({**config, 'train.epochs': 5})
  folder.write_config(config)
  begun(folder, 'members/2')
  refused(folder, IN_TURN, **{'train.epochs': 4})
  folder.write_config(config)
  workdir.Workdir(tmp_path / 'another').write_config({**config, 'train.epochs': 4})


@pytest.mark.parametrize('kind', ['average', 'bagging'])
def test_epochs_of_members_that_do_not_may_be_raised(tmp_path, kind):
  config = {**CONFIG, 'ensemble.method': kind, 'ensemble.combine': 'auto'}
  folder = made(tmp_path, **config)
  begun(folder, 'members/2')
  folder.write_config({**config, 'train.epochs': 4})
  assert folder.read_config()['train.epochs'] == 4


@pytest.mark.parametrize('part', ['', 'folds/2', 'members/2', 'members/1/out_of_fold/folds/2'])
def test_fewer_epochs_than_are_trained_are_refused(tmp_path, part):
  folder = made(tmp_path)
  trained(folder, part, 3)
  refused(folder, TRAINED, **{'train.epochs': 2})
  folder.write_config({**CONFIG, 'train.epochs': 4})
  folder.write_config(CONFIG)
  assert folder.read_config()['train.epochs'] == 3


def test_fewer_epochs_than_were_asked_for_are_taken_where_no_more_are_trained(tmp_path):
  folder = made(tmp_path)
  trained(folder, '', 2)
  folder.write_config({**CONFIG, 'train.epochs': 2})
  assert folder.read_config()['train.epochs'] == 2


def test_epochs_of_stages_are_not_those_of_train_epochs(tmp_path):
  folder = made(tmp_path, **{'stages.order': ['head']})
  trained(folder, '', 3, stage='head')
  folder.write_config({**CONFIG, 'stages.order': ['head'], 'train.epochs': 2})
  assert folder.read_config()['train.epochs'] == 2


def test_a_damaged_history_does_not_stop_the_training_that_writes_it_anew(tmp_path):
  folder = made(tmp_path)
  trained(folder, '', 3)
  folder.history.write_text(folder.history.read_text()[:-9])
  folder.write_config({**CONFIG, 'train.epochs': 2})
