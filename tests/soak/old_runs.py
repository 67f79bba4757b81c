"""Runs begun by an earlier commit and ended by it and by this checkout: the same bits?

    python -m tests.soak.old_runs --cases=svr,staged --out=FOLDER

Each case is begun by the old code in a checkout of its own and stopped where most is still to come. Copies of it are
ended by the old code and by the code of this folder, with the same environment, and asked about the same images.
Parameters, optimizer state, history and probabilities must be equal bit for bit; a line says so for each case. Exit
code 1 where something differs, or where the comparison does not notice a run with another seed. About 8 minutes.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parent.parent.parent
sys.path[:0] = [path for path in (str(ROOT),) if path not in sys.path]

from tests.golden import make_old_runs
from tests.soak import cases, comparing

OLD = make_old_runs.COMMIT


@dataclasses.dataclass(frozen=True)
class Case:
  """A run in two parts."""

  flags: tuple[str, ...]  # in the words of the old code
  checkpoints: str  # the folder in which the checkpoint appears at which the old code is stopped
  number: int  # of that checkpoint; 0: the old code comes to its end
  more: tuple[str, ...]  # flags of the second part alone
  command: str  # with which both codes look at the end: predict or evaluate, or both by a comma


_TEST = "--config.evaluate.splits=('test',)"
_FOLDS = (*make_old_runs.FLAGS['unfinished'], '--config.train.folds=2')
CASES = {
  # Nothing is left to train: the run is opened, scored anew, asked and exported.
  'finished': Case(make_old_runs.FLAGS['softmax'], '', 0, (), 'evaluate,predict,export'),
  # More epochs than it was begun with.
  'longer': Case(make_old_runs.FLAGS['softmax'], '', 0, ('--config.train.epochs=5',), 'predict'),
  # In mid-epoch; with TensorFlow's pipeline, augmentation, statistics and dropout.
  'cnn': Case((*cases.CNN, _TEST), 'checkpoints', 5, (), 'predict'),
  # Before its regression is fitted.
  'svr': Case(make_old_runs.FLAGS['svr'], 'checkpoints', 1, (), 'evaluate,predict'),
  # In the second of two stages, from kept features.
  'staged': Case((*cases.STAGED, _TEST), 'checkpoints', 13, (), 'predict'),
  # In the second of three networks.
  'ensemble': Case(
    (*make_old_runs.FLAGS['unfinished'], '--config.ensemble.method=bagging', '--config.ensemble.members=3'),
    'members/2/checkpoints', 11, (), 'predict',
  ),
  # In the second of two folds.
  'folds': Case(_FOLDS, 'folds/2/checkpoints', 11, (), ''),
}  # fmt: skip


def begin(case: Case, checkout: pathlib.Path, folder: pathlib.Path) -> None:
  """The first part, by the old code."""
  if case.number:
    make_old_runs.stop(
      checkout, case.number, folder / case.checkpoints, *case.flags, f'--workdir={folder}'
    )
  else:
    make_old_runs.run(checkout, *case.flags, f'--workdir={folder}')


def end(
  case: Case, checkout: pathlib.Path, flags: tuple[str, ...], folder: pathlib.Path, images: pathlib.Path
) -> str:
  """The second part, by one of the codes; what the training printed."""
  printed = make_old_runs.run(checkout, *flags, f'--workdir={folder}')
  arguments = {'predict': [images], 'export': ['--format=safetensors']}
  for command in filter(None, case.command.split(',')):
    make_old_runs.run(checkout, command, *arguments.get(command, []), f'--workdir={folder}')
  return printed


def differences(by_old: pathlib.Path, by_new: pathlib.Path) -> Iterator[str]:
  """The names of what the two codes made differently of the same run; what only one of them knows is left out."""
  for pattern in ('predictions/*.csv', 'predict/*/predictions.csv', 'history.jsonl', '*.safetensors', 'cache/**/*'):
    for name in sorted(path.relative_to(by_old) for path in by_old.rglob(pattern) if path.is_file()):
      if not (by_new / name).exists():
        yield f'{name}: missing'
      elif content(by_old / name) != content(by_new / name):
        yield str(name)
  for path in sorted(by_old.rglob('checkpoints')):
    name = path.relative_to(by_old)
    yield from (f'{name}: {each}' for each in comparing.states(path, by_new / name))


def content(path: pathlib.Path) -> object:
  """What must be equal of a file: each image's probabilities, each epoch's figures, all weights, that it is kept."""
  if path.suffix == '.csv':
    with path.open(newline='') as file:
      rows = list(csv.DictReader(file))
    assert rows, path
    return [{key: row[key] for key in row if key == 'file' or key.startswith('prob_')} for row in rows]
  if path.suffix == '.jsonl':
    keys = ('epoch', 'step', 'stage', 'loss', 'accuracy', 'val_loss', 'val_accuracy', 'learning_rate')
    return [[json.loads(line)[key] for key in keys] for line in path.read_text().splitlines()]
  if path.suffix == '.safetensors':
    from safetensors import numpy as safetensors

    return {name: array.tobytes() for name, array in safetensors.load_file(path).items()}
  return None


def try_case(name: str, old: pathlib.Path, out: pathlib.Path) -> list[str]:
  """What differs at the end of a case."""
  case, begun = CASES[name], out / name / 'begun' / 'run'
  images = out / 'images'
  begin(case, old, begun)
  commit = json.loads((begun / 'environment.json').read_text())['git_commit']
  assert commit.startswith(OLD), f'{name} was begun by {commit}'
  flags = (*case.flags, *case.more)
  ends, printed = {}, {}
  for code, checkout, own in (
    ('old', old, flags),
    ('new', ROOT, make_old_runs.in_todays_words(flags)),
  ):
    ends[code] = pathlib.Path(shutil.copytree(begun, out / name / code / 'run'))
    printed[code] = end(case, checkout, own, ends[code], images)
  found = list(differences(ends['old'], ends['new']))
  for code, text in printed.items():
    # Neither may have trained the run from its beginning.
    if ('continuing after step' if case.number or case.more else 'complete') not in text:
      found.append(f'the {code} code did not go on where the run stood')
  return found


def control(out: pathlib.Path, old: pathlib.Path) -> list[str]:
  """What the comparison says of two runs that differ in their seed: it must name parameters, history, predictions."""
  runs = [out / 'control' / str(seed) / 'run' for seed in (0, 1)]
  for seed, folder in enumerate(runs):
    flags = make_old_runs.in_todays_words((*make_old_runs.FLAGS['softmax'], f'--config.seed={seed}'))
    make_old_runs.run(ROOT if seed else old, *flags, f'--workdir={folder}')
  found = ' '.join(differences(*runs))
  wanted = ("newest ['params']", "best ['params']", 'history.jsonl', 'predictions/test.csv')
  return [f'another seed, but no difference in {name}' for name in wanted if name not in found]


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--cases', default=','.join(CASES))
  parser.add_argument('--out', default='', help='where the runs stay; a temporary folder when empty')
  given = parser.parse_args()
  temporary = pathlib.Path(tempfile.mkdtemp(prefix='old_runs'))
  out = pathlib.Path(given.out).absolute() if given.out else temporary / 'out'
  old, bad = temporary / 'checkout', 0
  git = ('git', '-C', str(ROOT), 'worktree')
  subprocess.run([*git, 'add', '--detach', str(old), OLD], check=True, capture_output=True)
  try:
    make_old_runs.draw(out / 'images')
    for name in (*given.cases.split(','), 'control'):
      began = time.monotonic()
      try:
        found = control(out, old) if name == 'control' else try_case(name, old, out)
      except (RuntimeError, AssertionError) as error:
        found = [str(error)]
      bad += bool(found)
      told = 'differs: ' + '; '.join(found) if found else 'as it should be' if name == 'control' else 'equal'
      print(f'{name}: {told} ({time.monotonic() - began:.0f} s)', flush=True)
  finally:
    subprocess.run([*git, 'remove', '--force', str(old)], check=True, capture_output=True)
    shutil.rmtree(temporary, ignore_errors=True)
  return bool(bad)


if __name__ == '__main__':
  sys.exit(main())
