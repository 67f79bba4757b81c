"""Lines that are followed at the function where they are decided: what refuses, what the line says, and it goes on."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Callable

import followed
import numpy as np
import pytest
from followed import Case, calls
from PIL import Image

from bloodcell_jax.base import types
from bloodcell_jax.commands import explain, host_flags
from bloodcell_jax.config import experiment
from bloodcell_jax.data.augmentation import offline
from bloodcell_jax.data.division import amount
from bloodcell_jax.data.sources import folders, input_paths, kaggle, label_csv, laboratories
from bloodcell_jax.inference import boxed_labels, laboratory_count
from bloodcell_jax.runs import comparison, data_place, host_state
from bloodcell_jax.serving import server
from bloodcell_jax.stats import metrics, paired
from bloodcell_jax.storage import predictions_csv, workdir
from bloodcell_jax.system import atomic, rendezvous
from bloodcell_jax.train import host_plan
from configs import default

NUMBER = iter(range(10**6))
EXP = experiment.from_flat({**experiment.flat(default.get_config()), 'evaluate.num_resamples': 100})


def fill(top: pathlib.Path, files: str) -> pathlib.Path:
  for name in files.split():
    path = top / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(next(NUMBER)).integers(0, 255, (24, 24, 3), np.uint8)
    Image.fromarray(pixels).save(path)
  return top


def read(top: pathlib.Path, labels: object = ''):
  return folders.read(str(top), '', str(labels))


def user_config(**values) -> experiment.Experiment:
  """What a command makes of a config with these keys, `__` for the dot."""
  flat = {key.replace('__', '.'): value for key, value in values.items()}
  return experiment.resolve(experiment.nest({**experiment.flat(default.get_config()), **flat}))


def answers(probs=None, files='abcd', groups='abcd') -> types.Predictions:
  probs_NK = np.tile([0.7, 0.3], (4, 1)) if probs is None else probs
  label_N = np.array([0, 1, 0, 1], np.int32)
  return types.Predictions(probs_NK, label_N, np.array(list(groups)), np.array(list(files)), ('A', 'B'))


def photographs_of_three_classes() -> types.Table:
  name, label = np.array(list('abc')), np.arange(3, dtype=np.int32)
  return types.Table(tuple(name), name, label, name, name, name, name, ('A', 'B', 'C'), 'drawn', True)


def for_hosts(before: dict, after: dict, num: int = 2) -> Callable[[pathlib.Path], Case]:
  """A config that two hosts refuse, and one that `num` take."""

  def check(values: dict, num: int) -> None:
    jit = {**experiment.flat(default.get_config()), 'train.parallel': 'jit'}
    host_state.check(experiment.from_flat({**jit, **values}), num)

  return lambda top: (lambda: check(before, 2), lambda said: check(after, num))


def data_with_a_changed_name(top: pathlib.Path) -> Case:
  table = read(fill(top, 'A/1.png B/1.png')).table
  twice = np.array(['1.png', '1.png'])
  return (
    lambda: dataclasses.replace(table, file=twice),
    lambda said: dataclasses.replace(table, file=np.array(['1.png', '2.png'])),
  )


def layout(before: str, remedy: Callable[[pathlib.Path, str], object]) -> Callable[[pathlib.Path], Case]:
  def case(top: pathlib.Path) -> Case:
    fill(top / 'data', before)
    return lambda: read(top / 'data'), lambda said: read(remedy(top / 'data', said) or top / 'data')

  return case


def moved_up(top, said):
  for split in ('TRAIN', 'TEST'):
    for inner in (top / split / 'cells').iterdir():
      inner.rename(top / split / inner.name)
    (top / split / 'cells').rmdir()


def named_as_splits(top, said):
  for before, after in (('part_1', 'TRAIN'), ('part_2', 'TEST')):
    (top / before).rename(top / after)


def laboratories_of(before: str, names: tuple[str, str]) -> Callable[[pathlib.Path], Case]:
  def case(top: pathlib.Path) -> Case:
    fill(top / 'data', before)

    def remedy(said):
      (top / 'data' / names[0]).rename(top / 'data' / names[1])
      return laboratories.read(str(top / 'data'))

    return lambda: laboratories.read(str(top / 'data')), remedy

  return case


def whole_kaggle(top: pathlib.Path) -> Case:
  fill(top, 'dataset2-master/dataset2-master/images/TRAIN/A/1.png')
  other = 'dataset2-master/dataset2-master/images/TEST/A/1.png'
  return lambda: kaggle._find(str(top)), lambda said: kaggle._find(str(fill(top, other)))


def photographs_to_augment(remedy: str) -> Callable[[pathlib.Path], Case]:
  def case(top: pathlib.Path) -> Case:
    fill(top / 'data', 'A/1.png A/2.png')
    bad, good = top / 'data' / 'A' / '2.png', (top / 'data' / 'A' / '1.png').read_bytes()
    bad.write_bytes(b'no image')

    def write():
      table = read(top / 'data').table
      return [offline._read(table, row, 10**6) for row in range(len(table))]

    def follow(said):
      bad.write_bytes(good) if remedy == 'repair' else bad.unlink()
      return write()

    return write, follow

  return case


def boxes(wrong: str, right: str) -> Callable[[pathlib.Path], Case]:
  def case(top: pathlib.Path) -> Case:
    fill(top / 'slides', '1.png')

    def cut(rows):
      (top / 'list.csv').write_text('file,left,top,right,bottom,label\n' + rows)
      return boxed_labels.write(str(top / 'list.csv'), str(top / 'slides'), top / 'cells', 10**6)

    return lambda: cut(wrong), lambda said: cut(right)

  return case


def a_list_of_groups_that_is_gone(top: pathlib.Path) -> Case:
  gone, run = top / 'groups.csv', workdir.Workdir(top / 'run')
  exp = dataclasses.replace(EXP, data=dataclasses.replace(EXP.data, groups_csv=str(gone)))

  def follow(said):
    copy = pathlib.Path(re.search(r'or copy it to (.+)$', said)[1])
    copy.parent.mkdir(parents=True)
    copy.write_text('file,group\n')
    assert data_place.find(run, exp, '', print).data.groups_csv == str(copy)
    copy.unlink()
    gone.write_text('file,group\n')
    assert data_place.find(run, exp, '', print).data.groups_csv == str(gone)

  return lambda: data_place.find(run, exp, '', print), follow


def runs_to_compare(top: pathlib.Path) -> Case:
  one, two = (workdir.Workdir(top / name) for name in ('one', 'two'))
  predictions_csv.write(one.predictions('test'), answers(), None)

  def follow(said):
    predictions_csv.write(two.predictions('test'), answers(), None)
    return comparison.compare(one, two, EXP)

  return lambda: comparison.compare(one, two, EXP), follow


def a_port_in_use(top: pathlib.Path) -> Case:
  taken = server.bind(0)
  port = taken.getsockname()[1]

  def follow(said):
    for text in re.search(r'try --port=(\d+), or --port=(\d+)', said).groups():
      server.bind(int(text)).close()
    taken.close()

  return lambda: server.bind(port), follow


def a_part_of_a_run(top: pathlib.Path) -> Case:
  run = workdir.Workdir(top / 'run')
  run.write_config(experiment.flat(default.get_config()))

  def follow(said):
    return workdir.Workdir(re.search(r'--workdir=(.+)$', said)[1]).read_config()

  return lambda: workdir.Workdir(run.path / 'checkpoints').read_config(), follow


def an_address(top: pathlib.Path) -> Case:
  fill(top, '1.png')
  return lambda: input_paths.read([f'file://{top}']), lambda said: input_paths.read([str(top)])


def missed_elsewhere(top: pathlib.Path) -> Case:
  run = workdir.Workdir(top / 'run')
  atomic.write_text(run.predictions('elsewhere'), 'file,label,predicted')
  return lambda: explain.check_missed('elsewhere', {'test'}, run), lambda said: explain.check_images(
    ('1.png',), ''
  )


# Words of a line -> what refuses, and the advice done.
FOLLOWED: dict[str, Callable[[pathlib.Path], Case]] = {
  'set --config.data.source=folders, or leave data.dir empty': calls(
    lambda: user_config(data__dir='cells'),
    lambda: user_config(data__dir='cells', data__source='folders'), user_config),
  '--config.data.source=folders, or leave data.{} empty': calls(
    lambda: user_config(data__source='kaggle', data__groups_csv='g.csv'),
    lambda: user_config(data__source='folders', data__dir='cells', data__groups_csv='g.csv'),
    lambda: user_config(data__source='kaggle')),
  'raise it, or set it to 0 for all': calls(
    lambda: amount.few_groups(photographs_of_three_classes(), np.arange(3), 2, 0),
    lambda: amount.few_groups(photographs_of_three_classes(), np.arange(3), 3, 0), user_config),
  'leave out the paths, or --missed': calls(
    lambda: explain.check_images(('cell.png',), 'test'),
    lambda: explain.check_images((), 'test'), lambda: explain.check_images(('cell.png',), '')),
  'name their files after the flags instead': missed_elsewhere,
  'two images of the data set have this name; rename one': data_with_a_changed_name,
  'move them up': layout('TRAIN/cells/A/1.png TRAIN/cells/B/2.png TEST/cells/A/3.png TEST/cells/B/4.png', moved_up),
  'or rename them to TRAIN, VALIDATION and TEST': layout(
    'part_1/A/1.png part_1/B/2.png part_2/A/3.png part_2/B/4.png', named_as_splits),
  'read alike; rename one of the laboratories': laboratories_of(
    'north/A/1.png north/B/2.png North_/A/3.png North_/B/4.png', ('North_', 'south')),
  'give equal classes equal names': laboratories_of(
    'x/A/1.png x/B/2.png y/A/3.png y/Bee/4.png', ('y/Bee', 'y/B')),
  'unpack the whole Kaggle data set': whole_kaggle,
  '{}: {}; repair or remove it': photographs_to_augment('repair'),
  'repair or remove it': photographs_to_augment('remove'),
  'lacks a label; give it one': boxes('1.png,0,0,20,20,\n', '1.png,0,0,20,20,A\n'),
  'is not a box in pixels (left, top, right, bottom)': boxes('1.png,x,0,20,20,A\n', '1.png,0,0,20,20,A\n'),
  'reaches beyond the photograph': boxes('1.png,0,0,99,20,A\n', '1.png,0,0,20,20,A\n'),
  'that is {} above; keep one of them': boxes(
    '1.png,0,0,20,20,A\n1.png,0,0,20,20,B\n', '1.png,0,0,20,20,A\n'),
  'put it back there, or copy it to {}': a_list_of_groups_that_is_gone,
  'evaluate both runs first': runs_to_compare,
  'predict each image once': calls(
    lambda: paired.aligned(answers(), answers(files='aacd')), lambda: paired.aligned(answers(), answers())),
  'predict both from the same data': calls(
    lambda: paired.aligned(answers(), answers(groups='abcc')), lambda: paired.aligned(answers(), answers())),
  'are not all in [0, 1]; predict again': calls(
    lambda: metrics._check(answers(np.full((4, 2), 2.0))), lambda: metrics._check(answers())),
  'name how many cells to count': calls(
    lambda: laboratory_count.check(-1), *(lambda n=n: laboratory_count.check(n) for n in (100, 200, 0))),
  'or --port=0': a_port_in_use,
  'is a part of a run; name its folder, --workdir=': a_part_of_a_run,
  'give the path of a file or folder on this computer': an_address,
  'give the address of host 0 and a free port there': calls(
    lambda: rendezvous.address('alpha'), lambda: rendezvous.address('10.0.0.1:12345')),
  'give --coordinator=HOST:PORT, or --coordinator=auto alone': calls(
    lambda: host_plan.read('', 2, 0), lambda: host_plan.read('alpha:1', 2, 0)),
  'neither SLURM nor Open MPI here; give --coordinator=HOST:PORT, --num_processes and --process_id': calls(
    lambda: host_plan.read('auto', None, None), lambda: host_plan.read('alpha:1', 2, 0)),
  'add --num_processes=N and --process_id=K': calls(
    lambda: host_plan.read('alpha:1', None, None), lambda: host_plan.read('alpha:1', 2, 0)),
  'choose 0 to N - 1 of N hosts': calls(
    lambda: host_plan.read('alpha:1', 2, 2), *(lambda k=k: host_plan.read('alpha:1', 2, k) for k in (0, 1))),
  'which is for one host; set it to': for_hosts({'train.parallel': 'pmap'}, {}),
  'hosts share a batch over all their devices; set it to 0': for_hosts({'train.num_devices': 1}, {}),
  'which one host trains; set it to 0 for all members, or leave out --coordinator': for_hosts(
    {'ensemble.method': 'average', 'ensemble.member': 1}, {'ensemble.method': 'average'}),
  'hosts cannot divide them: leave out --coordinator': for_hosts(
    {'ensemble.method': 'samme'}, {'ensemble.method': 'samme'}, 1),
  'hosts take one member at a time; set it to 0, or leave out': for_hosts(
    {'ensemble.method': 'average', 'ensemble.vectorized': 2}, {'ensemble.method': 'average'}),
  'runs on one host; leave the flag out': calls(
    lambda: host_flags.check_alone(host_plan.read('alpha:1', 2, 0), '--trees'),
    lambda: host_flags.check_alone(host_plan.read('', None, None), '--trees')),
}  # fmt: skip


@pytest.mark.parametrize('words', FOLLOWED)
def test_the_line_is_gone_once_its_advice_is_done(words, tmp_path):
  followed.check(FOLLOWED[words], words, tmp_path)


def test_a_refusal_stays_where_its_advice_is_not_done(tmp_path):
  fill(tmp_path, 'part_1/A/1.png part_1/B/2.png part_2/A/3.png part_2/B/4.png')
  for _ in range(2):
    with pytest.raises(types.UserError, match='pass one of them'):
      read(tmp_path)
  assert label_csv.paths('a.csv, b.csv') == ['a.csv', 'b.csv']
