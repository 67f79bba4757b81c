"""A disk that is full, or folders that may only be read, from each phase of a run on: what is said, and what follows.

    python -m tests.soak.room --cases=cnn,staged --out=FOLDER

The run lies on a small disk of its own (tmpfs, so root is needed). It stands still as it enters the phase. Then the
disk is filled, or the right to write is taken from every folder there (the run has no right of root's to write all the
same), and it goes on. Then there is room again, and the same command is started once more. The result is
FOLDER/room.json; ends with 1 where an end was no line, or the run came to another end than one that nobody disturbed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

ROOT = pathlib.Path(__file__).parent.parent.parent
sys.path[:0] = [path for path in (str(ROOT),) if path not in sys.path]

from tests.soak import cases, kill

WAYS = ('full', 'read-only')
_FILL = 'fill'
_UNPRIVILEGED = ('setpriv', '--bounding-set=-dac_override,-dac_read_search')


@contextlib.contextmanager
def disk(place: pathlib.Path) -> Iterator[None]:
  """A disk of 2 GB at the place: kept features ask for one that is left free."""
  place.mkdir(parents=True, exist_ok=True)
  subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=2g', 'none', place], check=True)
  try:
    yield
  finally:
    subprocess.run(['umount', '--lazy', place], check=True)


def take(place: pathlib.Path, way: str) -> None:
  """Takes the room, or the right."""
  if way == 'read-only':
    for folder in [place, *filter(pathlib.Path.is_dir, place.rglob('*'))]:
      folder.chmod(0o555)
    return
  with contextlib.suppress(OSError), open(place / _FILL, 'wb', buffering=0) as file:
    while True:
      file.write(bytes(2**16))


def give(place: pathlib.Path, way: str) -> None:
  """Gives it back."""
  if way == 'read-only':
    for folder in [place, *filter(pathlib.Path.is_dir, place.rglob('*'))]:
      folder.chmod(0o755)
  (place / _FILL).unlink(missing_ok=True)


def measure(name: str, phase: str, way: str, reference: pathlib.Path, out: pathlib.Path) -> dict[str, Any]:
  """One run whose disk is taken when it is first seen at the phase, and its second start."""
  place, note = out / 'disk', out / 'note.json'
  folder = place / name / 'run'
  note.unlink(missing_ok=True)
  plan = {
    'at': phase,
    'nth': 1,
    'after': 0.0,
    'signal': signal.SIGSTOP,
    'is_at_once': True,
    'note': str(note),
  }
  result: dict[str, Any] = {'case': name, 'phase': phase, 'way': way}
  with disk(place):
    # Nobody reads the pipes while the process stands still; what it says is short.
    process = kill.begin(cases.known()[name], folder, plan, out / 'site', _UNPRIVILEGED)
    while process.poll() is None and not _stands(process.pid):
      time.sleep(0.005)
    if process.poll() is None:
      take(place, way)
      process.send_signal(signal.SIGCONT)
    said = ''.join(process.communicate(timeout=300))
    result |= {'seen': note.exists(), 'code': process.returncode, 'said': said.strip().splitlines()[-1][:400]}
    result['traceback'] = 'Traceback' in said
    give(place, way)
    result['differences'] = kill.finish(name, folder, reference, out)
  return result


def _stands(number: int) -> bool:
  try:
    return pathlib.Path(f'/proc/{number}/stat').read_text().rpartition(')')[2].split()[0] == 'T'
  except OSError:
    return False


def main() -> None:
  """Measures each phase of each case both ways."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--cases', default='cnn,staged')
  parser.add_argument('--phases', default=','.join(kill.WRAPPED))
  parser.add_argument('--out', default='')
  given = parser.parse_args()
  out = kill.results(given.out)
  found: list[dict[str, Any]] = []
  for name in given.cases.split(','):
    reference = kill.undisturbed(name, out)
    for phase in given.phases.split(','):
      for way in WAYS:
        found.append(measure(name, phase, way, reference, out))
        print(json.dumps(found[-1]), flush=True)
        (out / 'room.json').write_text(json.dumps(found, indent=1) + '\n')
  bad = [one for one in found if one['code'] not in (0, 1, 2) or one['traceback'] or one['differences']]
  print(f'{len(found)} disks, {len(bad)} without a line or to another end; {out}/room.json')
  sys.exit(bool(bad))


if __name__ == '__main__':
  main()
