"""When, where and by which commands the runs of a study were trained, from their folders."""

from __future__ import annotations

import pathlib
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from bloodcell_jax.storage import config_keys, workdir
from bloodcell_jax.system import atomic

_HEAD = re.compile(r'^--- (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S+) (.*)$', re.MULTILINE)
# Keys of files and folders of this machine, which a page for others does not name; a path may also be a name.
_PLACES, _PATH = config_keys.PLACES, 'weights.path'
_PACKAGES = ('jax', 'flax', 'optax')


def collect(folders: Sequence[workdir.Workdir], root: pathlib.Path) -> dict[str, list[str]]:
  """What the folders say, each once: `dates`, `machines`, `versions` and `commands`, in order of time.

  Args:
    folders: of the runs.
    root: the study's.
  """
  environments = [folder.read_environment() for folder in folders if folder.environment.exists()]
  logs = [
    path for place in (root, *(each.path for each in folders)) for path in sorted(place.glob('log*.txt'))
  ]
  return {
    'dates': sorted({e['date'] for e in environments if 'date' in e}),
    'machines': _once(_machine(e) for e in environments),
    'versions': _once(_versions(e) for e in environments),
    'commands': _commands(logs),
  }


def _once(texts: Iterable[str]) -> list[str]:
  return list(dict.fromkeys(text for text in texts if text))


def _machine(environment: Mapping[str, Any]) -> str:
  if 'platform' not in environment:
    return ''
  kinds = [device['kind'] for device in environment['devices']]
  devices = ', '.join(f'{kinds.count(kind)} x {kind}' for kind in dict.fromkeys(kinds))
  return f'{environment["platform"]}, {environment["num_cores"]} cores, {devices}'


def _versions(environment: Mapping[str, Any]) -> str:
  if 'packages' not in environment:
    return ''
  packages = ', '.join(f'{name} {environment["packages"][name]}' for name in _PACKAGES)
  return f'bloodcell_jax {environment["bloodcell_jax"]}, Python {environment["python"]}, {packages}'


def _commands(logs: Sequence[pathlib.Path]) -> list[str]:
  """The commands that trained, by their dates; a log that cannot be read has none."""
  dated: set[tuple[str, str]] = set()
  for path in logs:
    try:
      dated.update(_HEAD.findall(atomic.read_text(path)))
    except (OSError, ValueError):
      continue
  return _once(_without_places(command) for _, command in sorted(dated) if '--report_only' not in command)


def _without_places(command: str) -> str:
  """The command without folders of this machine; '' for one that is no study."""
  try:
    words = shlex.split(command)
  except ValueError:
    return ''
  if 'study' not in words:
    return ''
  if pathlib.Path(words[0]).name == 'main.py':
    words = ['python', 'main.py', *words[1:]]
  kept: list[str] = []
  for name, value in _flags(words):
    key = name.lstrip('-').removeprefix('config.')
    if key in _PLACES or (key == _PATH and value and pathlib.PurePath(value).name != value):
      kept.append(f'{name}={"FOLDER" if key.endswith("dir") else "FILE"}')
    elif key != 'workdir':
      kept.append(name if value is None else f'{name}={value}')
  return shlex.join(kept)


def _flags(words: Sequence[str]) -> Iterator[tuple[str, str | None]]:
  """(flag, its value) of each flag, whether the value follows `=` or a blank, and (word, None) of any other word."""
  rest = iter(words)
  for word in rest:
    name, equals, value = word.partition('=')
    is_place = name.lstrip('-').removeprefix('config.') in (*_PLACES, _PATH, 'workdir')
    if not word.startswith('-'):
      yield word, None
    elif equals:
      yield name, value
    else:
      yield name, next(rest, '') if is_place else None
