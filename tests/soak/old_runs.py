"""Runs started by an earlier commit and continued by it and by this checkout, compared bit for bit.

    python -m tests.soak.old_runs --cases=svr,staged --out=FOLDER

The old code, in a temporary git worktree, starts each run and is stopped part-way. Copies of the run are then
continued by the old code and by this checkout, in the same Python environment, and both predict the same images.
Parameters, optimizer state and history must be equal bit for bit, and probabilities at equal temperature; one line a
case. Exit code 1 if anything differs, or if the comparison misses the difference between two seeds. About 8 minutes on
2 quiet cores.
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

import numpy as np

ROOT = pathlib.Path(__file__).parent.parent.parent
sys.path[:0] = [path for path in (str(ROOT),) if path not in sys.path]

from tests.golden import make_old_runs
from tests.soak import cases, comparing

OLD = make_old_runs.COMMIT


@dataclasses.dataclass(frozen=True)
class Case:
  """A run, where the old code stops, and how it goes on."""

  flags: tuple[str, ...]  # of the first part, with the old code's key names
  checkpoints: str  # the folder that is watched to know when to stop the old code
  number: int  # of the checkpoint at which it is stopped; 0 to let it finish
  more: tuple[str, ...]  # further flags of the second part
  command: str  # commands that follow, separated by commas


_TEST = "--config.evaluate.splits=('test',)"
_FOLDS = (*make_old_runs.FLAGS['unfinished'], '--config.train.folds=2')
CASES = {
  # Complete: only evaluated, used and exported.
  'finished': Case(make_old_runs.FLAGS['softmax'], '', 0, (), 'evaluate,predict,export'),
  # Complete, then trained for more epochs.
  'longer': Case(make_old_runs.FLAGS['softmax'], '', 0, ('--config.train.epochs=5',), 'predict'),
  # Stopped in mid-epoch, with TensorFlow's pipeline, augmentation, statistics and dropout.
  'cnn': Case((*make_old_runs.in_old_words(cases.CNN), _TEST), 'checkpoints', 5, (), 'predict'),
  # Stopped before the support vector regression is fitted.
  'svr': Case(make_old_runs.FLAGS['svr'], 'checkpoints', 1, (), 'evaluate,predict'),
  # Stopped in the second of two stages, which trains on cached features.
  'staged': Case((*make_old_runs.in_old_words(cases.STAGED), _TEST), 'checkpoints', 13, (), 'predict'),
  # Stopped in the second of three members.
  'ensemble': Case(
    (*make_old_runs.FLAGS['unfinished'], '--config.ensemble.method=bagging', '--config.ensemble.members=3'),
    'members/2/checkpoints', 11, (), 'predict',
  ),
  # Stopped in the second of two folds.
  'folds': Case(_FOLDS, 'folds/2/checkpoints', 11, (), ''),
}  # fmt: skip


def begin(case: Case, checkout: pathlib.Path, folder: pathlib.Path) -> None:
  """Runs the first part with the old code."""
  if case.number:
    make_old_runs.stop(checkout, case.number, folder / case.checkpoints, *case.flags, f'--workdir={folder}')
  else:
    make_old_runs.run(checkout, *case.flags, f'--workdir={folder}')


def end(
  case: Case, checkout: pathlib.Path, flags: tuple[str, ...], folder: pathlib.Path, images: pathlib.Path
) -> str:
  """Runs the second part with the code of `checkout`; returns what training printed."""
  printed = make_old_runs.run(checkout, *flags, f'--workdir={folder}')
  arguments = {'predict': [images], 'export': ['--format=safetensors']}
  for command in filter(None, case.command.split(',')):
    make_old_runs.run(checkout, command, *arguments.get(command, []), f'--workdir={folder}')
  return printed


def differences(by_old: pathlib.Path, by_new: pathlib.Path) -> Iterator[str]:
  """Names what differs between two ends of a run; of files that only `by_new` has, cached features alone count."""
  for pattern in (
    'predictions/*.csv',
    'predict/*/predictions.csv',
    'history.jsonl',
    '*.safetensors',
    'cache/**/*',
  ):
    for name in sorted(path.relative_to(by_old) for path in by_old.rglob(pattern) if path.is_file()):
      if not (by_new / name).exists():
        yield f'{name}: missing'
      elif not is_equal(content(by_old / name), content(by_new / name), name.suffix == '.csv'):
        yield str(name)
  kept = {path.relative_to(by_old) for path in by_old.rglob('cache/*')}
  # Features under another key would be computed again without a word.
  for name in sorted({path.relative_to(by_new) for path in by_new.rglob('cache/*')} - kept):
    yield f'{name}: not a file of the old code'
  for path in sorted(by_old.rglob('checkpoints')):
    name = path.relative_to(by_old)
    yield from (f'{name}: {each}' for each in comparing.states(path, by_new / name))


def content(path: pathlib.Path) -> object:
  """The part of a file that must be equal: probabilities, figures of each epoch, weights; of other files nothing."""
  if path.suffix == '.csv':
    with path.open(newline='') as file:
      rows = list(csv.DictReader(file))
    assert rows, path
    return [[row['file'], *(float(row[key]) for key in row if key.startswith('prob_'))] for row in rows]
  if path.suffix == '.jsonl':
    keys = ('epoch', 'step', 'stage', 'loss', 'accuracy', 'val_loss', 'val_accuracy', 'learning_rate')
    return [[json.loads(line)[key] for key in keys] for line in path.read_text().splitlines()]
  if path.suffix == '.safetensors':
    from safetensors import numpy as safetensors

    return {name: array.tobytes() for name, array in safetensors.load_file(path).items()}
  return None


def is_equal(old: object, new: object, has_probabilities: bool) -> bool:
  """Whether two contents are equal: bit for bit, or for probabilities to 1e-7 or up to one temperature for all rows.

  The old code scored a network whose output layer includes a temperature in two steps, and now the network that
  `predict` uses scores: equal to 1e-7, the rounding of a float32. It also fitted temperatures without an uncertain
  group.
  """
  if not has_probabilities:
    return old == new
  assert isinstance(old, list)
  assert isinstance(new, list)
  if [row[0] for row in old] != [row[0] for row in new]:
    return False
  old_NK, new_NK = (np.array([row[1:] for row in rows], float) for rows in (old, new))
  if old_NK.shape != new_NK.shape:
    return False
  return np.allclose(old_NK, new_NK, rtol=0, atol=1e-7) or differs_by_temperature(old_NK, new_NK)


def differs_by_temperature(old_NK: np.ndarray, new_NK: np.ndarray) -> bool:
  """Whether the new probabilities are the old ones at one other temperature."""
  if not ((old_NK > 0) & (new_NK > 0)).all():
    return False
  old_log_NK, new_log_NK = np.log(old_NK), np.log(new_NK)
  ratio = np.ptp(new_log_NK, axis=1).sum() / np.ptp(old_log_NK, axis=1).sum()
  power_NK = np.exp(ratio * old_log_NK)
  return np.allclose(power_NK / power_NK.sum(1, keepdims=True), new_NK, rtol=0, atol=1e-6)


def run_case(name: str, old: pathlib.Path, out: pathlib.Path) -> list[str]:
  """Runs a case; returns what differs."""
  case, begun = CASES[name], out / name / 'begun' / 'run'
  images = out / 'images'
  begin(case, old, begun)
  commit = json.loads((begun / 'environment.json').read_text())['git_commit']
  assert commit.startswith(OLD), f'{name}: the first part ran commit {commit}'
  flags = (*case.flags, *case.more)
  ends, printed = {}, {}
  for code, checkout, own in (
    ('old', old, flags),
    ('new', ROOT, make_old_runs.in_todays_words(flags)),
  ):
    ends[code] = pathlib.Path(shutil.copytree(begun, out / name / code / 'run'))
    printed[code] = end(case, checkout, own, ends[code], images)
  problems = list(differences(ends['old'], ends['new']))
  for code, text in printed.items():
    # A run trained again from the start would be equal as well.
    if ('continuing after step' if case.number or case.more else 'complete') not in text:
      problems.append(f'the {code} code did not continue the run')
  return problems


def control(out: pathlib.Path, old: pathlib.Path) -> list[str]:
  """Compares runs of two seeds; returns what the comparison misses of parameters, history and predictions."""
  runs = [out / 'control' / str(seed) / 'run' for seed in (0, 1)]
  for seed, folder in enumerate(runs):
    flags = (*make_old_runs.FLAGS['softmax'], f'--config.seed={seed}')
    if seed:
      make_old_runs.run(ROOT, *make_old_runs.in_todays_words(flags), f'--workdir={folder}')
    else:
      make_old_runs.run(old, *flags, f'--workdir={folder}')
  reported = ' '.join(differences(*runs))
  wanted = ("newest ['params']", "best ['params']", 'history.jsonl', 'predictions/test.csv')
  return [f'another seed, but no difference reported in {name}' for name in wanted if name not in reported]


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
        problems = control(out, old) if name == 'control' else run_case(name, old, out)
      except (RuntimeError, AssertionError) as error:
        problems = [str(error)]
      bad += bool(problems)
      good = 'two seeds differ' if name == 'control' else 'equal'
      summary = '; '.join(problems) or good
      print(f'{name}: {summary} ({time.monotonic() - began:.0f} s)', flush=True)
  finally:
    subprocess.run([*git, 'remove', '--force', str(old)], check=True, capture_output=True)
    shutil.rmtree(temporary, ignore_errors=True)
  return bool(bad)


if __name__ == '__main__':
  sys.exit(main())
