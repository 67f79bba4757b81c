"""SIGTERM and SIGINT at every phase of a run: how long until it has left, and whether it then comes to the same end.

python -m tests.soak.stop --seed=0 --out=FOLDER
"""

from __future__ import annotations

import argparse
import json
import pathlib
import shutil
import signal
import sys
import time
from typing import Any

ROOT = pathlib.Path(__file__).parent.parent.parent
sys.path[:0] = [path for path in (str(ROOT),) if path not in sys.path]

from tests.soak import cases, kill

# Exit codes of a run that was stopped, and of one that came to its end before it could be.
STOPPED, DONE = 75, 0


def measure(name: str, phase: str, number: int, again: float, out: pathlib.Path) -> dict[str, Any]:
  """One run that gets the signal when it is first seen at the phase; with `again` above 0 once more so much later."""
  folder, note = out / f'{name}-stopped' / 'run', out / 'note.json'
  shutil.rmtree(folder, ignore_errors=True)
  note.unlink(missing_ok=True)
  plan = {
    'at': phase, 'after': 0.0, 'nth': 1, 'delay': 0.0, 'signal': number, 'again': again, 'note': str(note)
  }  # fmt: skip
  code, said, _ = kill.start(cases.known()[name], folder, plan, out / 'site')
  ended = time.time()
  result = {
    'case': name,
    'wanted': phase,
    'signal': signal.Signals(number).name,
    'twice': again > 0,
    'code': code,
  }
  if not note.exists():
    return {**result, 'phase': 'never seen', 'seconds': 0.0, 'watchdog': False, 'said': said[-300:]}
  seen = json.loads(note.read_text())
  watchdog = 'no safe point' in said
  return {**result, 'phase': seen['phase'], 'seconds': ended - note.stat().st_mtime, 'watchdog': watchdog}


def main() -> None:
  """Measures each phase of each case once; ends with 1 where a run left late, with another code, or to another end."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--cases', default='staged')
  parser.add_argument('--phases', default=','.join(kill.NAMED))
  parser.add_argument('--out', default='')
  given = parser.parse_args()
  out = kill.results(given.out)
  found: list[dict[str, Any]] = []
  for name in given.cases.split(','):
    reference = kill.undisturbed(name, out)
    for i, phase in enumerate(given.phases.split(',')):
      one = measure(name, phase, (signal.SIGTERM, signal.SIGINT)[i % 2], 0.3 if i % 4 == 3 else 0.0, out)
      folder = out / f'{name}-stopped' / 'run'
      one['differences'] = kill.finish(name, folder, reference, out)
      found.append(one)
      print(json.dumps(one), flush=True)
      (out / 'stop.json').write_text(json.dumps(found, indent=1) + '\n')
  late = [
    one for one in found if one['seconds'] > 10 or one['code'] not in (STOPPED, DONE) or one['differences']
  ]
  print(f'{len(found)} stops, {len(late)} late, of another exit code or to another end; {out}/stop.json')
  sys.exit(bool(late))


if __name__ == '__main__':
  main()
