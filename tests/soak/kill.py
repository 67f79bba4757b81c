"""Runs killed again and again until they are complete, then compared with a run that nobody disturbed.

    python -m tests.soak.kill --kills=100 --seed=0 --out=FOLDER

Half of the kills fall at a moment drawn evenly over the length of a run, half at a named phase, some of which last
only milliseconds. The same seed draws the same plans. The result is FOLDER/kill.json and a table.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

ROOT = pathlib.Path(__file__).parent.parent.parent
sys.path[:0] = [path for path in (str(ROOT),) if path not in sys.path]

from tests.soak import cases, comparing, watching

WRAPPED = tuple(dict.fromkeys(what for _, _, what in watching.PHASES))
NAMED = (*WRAPPED, watching.WRITER)
# Then a run is let through to its end, so that the ends are compared often enough.
MOST_PER_RUN = 12
# Ends that nobody asked for, after which to go on would teach nothing.
MOST_CRASHES = 5


def begin(
  flags: Sequence[str],
  folder: pathlib.Path,
  plan: dict[str, Any] | None,
  site: pathlib.Path,
  before: Sequence[str] = (),
) -> subprocess.Popen[str]:
  """One process of the run, which does to itself what the plan says; `before` stands before the command."""
  site.mkdir(parents=True, exist_ok=True)
  shutil.copy(watching.__file__, site / 'sitecustomize.py')
  environment = {
    **os.environ,
    'PYTHONPATH': f'{site}{os.pathsep}{ROOT}',
    'XLA_FLAGS': '',
    'JAX_PLATFORMS': 'cpu',
    # Should one crash by itself, this says where.
    'PYTHONFAULTHANDLER': '1',
  }
  environment.pop(watching.PLAN, None)
  if plan:
    environment[watching.PLAN] = json.dumps(plan)
  return subprocess.Popen(
    [*before, sys.executable, 'main.py', *flags, f'--workdir={folder}'],
    cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
  )  # fmt: skip


def start(
  flags: Sequence[str], folder: pathlib.Path, plan: dict[str, Any] | None, site: pathlib.Path
) -> tuple[int, str, float]:
  """Exit code, all that was printed, and the seconds that one process of the run took."""
  began = time.monotonic()
  process = begin(flags, folder, plan, site)
  out, err = process.communicate(timeout=1800)
  return process.returncode, out + err, time.monotonic() - began


def undisturbed(name: str, out: pathlib.Path) -> pathlib.Path:
  """The folder of the run of a case that nobody disturbs, which is made where it is not there yet."""
  folder = out / f'{name}-undisturbed' / 'run'
  if not (folder / 'report.html').exists():
    code, said, _ = start(cases.known()[name], folder, None, out / 'site')
    assert code == 0, said
  return folder


def finish(name: str, folder: pathlib.Path, reference: pathlib.Path, out: pathlib.Path) -> list[str]:
  """Starts the command of a case once more; how its end differs from the reference, or that it did not come to one."""
  code, said, _ = start(cases.known()[name], folder, None, out / 'site')
  return comparing.differences(reference, folder) if code == 0 else [f'{code}: {said[-300:]}']


def results(given: str) -> pathlib.Path:
  """The folder for the results: the one that was given, or a new one."""
  out = pathlib.Path(given or tempfile.mkdtemp(prefix='soak')).absolute()
  out.mkdir(parents=True, exist_ok=True)
  return out


def draw(generator: np.random.Generator, seconds: float) -> dict[str, Any]:
  """When to kill: after some seconds, or at a phase for the n-th time, a little later or at once."""
  if generator.random() < 0.5:
    return {'at': '', 'after': float(generator.uniform(0.3, seconds)), 'nth': 1, 'delay': 0.0}
  delay = float(generator.choice([0.0, 0.002, 0.01, 0.05]))
  # Where the phase does not come in this process, such as that of a feature cache without one.
  after = float(generator.uniform(0.6, 0.95)) * seconds
  return {
    'at': str(generator.choice(NAMED)),
    'after': after,
    'nth': int(generator.integers(1, 4)),
    'delay': delay,
  }


def soak(names: Sequence[str], num_kills: int, seed: int, out: pathlib.Path) -> dict[str, Any]:
  """The kills that fell and the comparisons of the runs that came to their end, in turns of the cases."""
  generator, known = np.random.default_rng(seed), cases.known()
  references: dict[str, tuple[pathlib.Path, float]] = {}
  kills: list[dict[str, Any]] = []
  runs: list[dict[str, Any]] = []
  crashes: list[dict[str, Any]] = []
  site = out / 'site'
  while len(kills) < num_kills:
    name = names[len(runs) % len(names)]
    if name not in references:
      folder = out / f'{name}-undisturbed' / 'run'
      # Twice: the first may have to compile, and its length is that of no other.
      for _ in range(2):
        shutil.rmtree(folder, ignore_errors=True)
        code, said, seconds = start(known[name], folder, None, site)
        assert code == 0, said
      references[name] = folder, seconds
      print(f'{name}: {seconds:.1f} s undisturbed', flush=True)
    folder = out / f'{name}-{len(runs)}' / 'run'
    shutil.rmtree(folder, ignore_errors=True)
    reference, seconds = references[name]
    own: list[dict[str, Any]] = []
    while True:
      plan = None
      if len(own) < MOST_PER_RUN and len(kills) + len(own) < num_kills:
        plan = {**draw(generator, seconds), 'note': str(out / 'note.json')}
      (out / 'note.json').unlink(missing_ok=True)
      code, said, _ = start(known[name], folder, plan, site)
      continued = re.search(r'continuing after step (\d+)', said)
      if own and name == 'cnn' and own[-1]['step'] >= 0 and continued:
        own[-1]['steps_lost'] = own[-1]['step'] - int(continued[1])
      if code == 0:
        break
      if code != -9 or not (out / 'note.json').exists():
        # A crash that nobody asked for: told, and gone on from as after a kill.
        crashes.append({'case': name, 'plan': plan, 'code': code, 'said': said})
        print(f'{name}: exit code {code}\n{said}', flush=True)
        if len(crashes) > MOST_CRASHES:
          return _result(kills + own, runs, crashes)
        continue
      own.append({'case': name, 'plan': plan and plan['at'], **json.loads((out / 'note.json').read_text())})
      print(f'{len(kills) + len(own)}: {name}, {own[-1]["phase"]}, {own[-1]["seconds"]:.1f} s', flush=True)
    runs.append({'case': name, 'kills': len(own), 'differences': comparing.differences(reference, folder)})
    kills += own
    print(
      f'{name}: complete after {len(own)} kills; differs: {runs[-1]["differences"] or "nothing"}', flush=True
    )
    if not runs[-1]['differences']:
      shutil.rmtree(folder.parent)
    (out / 'kill.json').write_text(json.dumps(_result(kills, runs, crashes), indent=1))
  return _result(kills, runs, crashes)


def _result(
  kills: Sequence[dict[str, Any]], runs: Sequence[dict[str, Any]], crashes: Sequence[dict[str, Any]]
) -> dict[str, Any]:
  return {
    'date': time.strftime('%Y-%m-%d', time.gmtime()),
    'num_kills': len(kills),
    'num_runs': len(runs),
    'num_differing': sum(bool(run['differences']) for run in runs),
    'most_steps_lost': max((kill.get('steps_lost', 0) for kill in kills), default=0),
    'num_crashes': len(crashes),
    'crashes': list(crashes),
    'runs': list(runs),
    'kills': list(kills),
  }


def table(result: dict[str, Any]) -> str:
  """The kills by case and phase, as Markdown."""
  counts = collections.Counter((kill['phase'], kill['case']) for kill in result['kills'])
  writing = collections.Counter(kill['case'] for kill in result['kills'] if kill['is_saving'])
  names = sorted({name for _, name in counts})
  lines = [f'| killed in | {" | ".join(names)} |', f'|---|{"---:|" * len(names)}']
  for phase in sorted({phase for phase, _ in counts}):
    lines.append(f'| {phase} | {" | ".join(str(counts[phase, name]) for name in names)} |')
  lines.append(
    f'| with a checkpoint being written meanwhile | {" | ".join(str(writing[n]) for n in names)} |'
  )
  return '\n'.join(lines)


def main() -> None:
  """Soaks, prints the table, and ends with 1 where a run differs or crashed."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--kills', type=int, default=100)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--cases', default=','.join(cases.known()))
  parser.add_argument('--out', default='')
  given = parser.parse_args()
  out = results(given.out)
  result = soak(given.cases.split(','), given.kills, given.seed, out)
  (out / 'kill.json').write_text(json.dumps(result, indent=1) + '\n')
  print(table(result))
  print(
    f'{result["num_kills"]} kills, {result["num_runs"]} runs, {result["num_differing"]} differ, '
    f'{result["num_crashes"]} crashes; {out}/kill.json'
  )
  sys.exit(bool(result['num_differing'] or result['num_crashes']))


if __name__ == '__main__':
  main()
