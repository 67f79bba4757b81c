"""The folder of a prediction: named after the images, and never that of other images with the same name."""

from __future__ import annotations

import glob
import itertools
import json
import os
import pathlib
import re
from collections.abc import Collection, Sequence

from bloodcell_jax.base import types
from bloodcell_jax.data.images import image_files
from bloodcell_jax.system import atomic, lock, portable_name

# What a prediction is described in; from the start of the prediction it holds `PATHS`.
FILE = 'predict.json'
PREDICTIONS = 'predictions.csv'
# The keys of the absolute paths whose images are predicted, of the folder of the run, and of its fingerprint.
PATHS, RUN, MODEL = 'paths', 'run', 'model'


def absolute(paths: Sequence[str]) -> list[str]:
  """The paths as `predict.json` records them."""
  return [str(pathlib.Path(path).resolve()) for path in paths]


def take(parent: pathlib.Path, paths: Sequence[str]) -> pathlib.Path:
  """The locked folder for the predictions of these paths: `parent/NAME`, or `NAME-2`, `NAME-3`, ... if that is taken.

  **Guarantees**: the same paths get the same folder again, other paths never do. A folder that does not record its
  paths, such as one of an earlier version, counts as taken.

  Args:
    parent: the folder that it lies in.
    paths: of images, folders, patterns or lists, at least one.

  Raises:
    UserError: another process is writing the predictions of these paths.
  """
  name = folder_name(paths)
  for number in itertools.count(1):
    folder = parent / (name if number == 1 else f'{name}-{number}')
    if _is_of_other_case(folder):
      continue
    if _is_free_for(paths, folder):
      lock.take(folder)
      # Another process may have predicted there between the question and the lock.
      if _is_free_for(paths, folder):
        record(folder, paths)
        return folder
  raise AssertionError('unreachable')


def claim(folder: pathlib.Path, paths: Sequence[str], run: pathlib.Path, model: str) -> None:
  """Locks a folder that the user has named for the predictions of these paths; what is there of others is kept.

  Args:
    folder: which; it may hold predictions of some of these paths by this run, or by one with the same fingerprint.
    paths: of images, folders, patterns or lists, at least one.
    run: the folder of the run.
    model: the fingerprint of what predicts.

  Raises:
    UserError: the folder holds predictions of other paths or by another run, or another process is writing there.
  """
  lock.take(folder)
  advice = 'choose another folder with --to'
  try:
    recorded = json.loads(atomic.read_text(folder / FILE))
    before = set(recorded[PATHS])
  except FileNotFoundError:
    if (folder / PREDICTIONS).exists():
      raise types.UserError(
        f'{folder}: holds a {PREDICTIONS} that does not say of which images; {advice}'
      ) from None
    recorded, before = {}, set()
  except (ValueError, KeyError, TypeError):
    raise types.UserError(f'{folder / FILE}: damaged, or not about predictions; {advice}') from None
  if others := sorted(before - set(absolute(paths))):
    raise types.UserError(f'{folder}: holds the predictions of {others[0]}; {advice}')
  own = str(run.resolve())
  if recorded.get(RUN, own) != own and recorded.get(MODEL) != model:
    raise types.UserError(f'{folder}: holds predictions by {recorded[RUN]}; {advice}')
  atomic.write_json(folder / FILE, {**recorded, PATHS: absolute(paths), RUN: own, MODEL: model})


def refuse_others(folder: pathlib.Path, own: Collection[str]) -> None:
  """Refuses a folder that a user names for results, if it holds other things: among them nobody would look for results.

  Args:
    folder: which.
    own: files of which one shows that it is a folder of such results.

  Raises:
    UserError: there is none of these, but something else that is not hidden.
  """
  if not folder.is_dir() or any((folder / name).exists() for name in own):
    return
  if names := image_files.listing(str(folder), '', False)[0]:
    raise types.UserError(f'{folder}: holds images, such as {names[0]}; choose another folder with --to')
  if others := sorted(path.name for path in folder.iterdir() if not path.name.startswith('.')):
    raise types.UserError(
      f'{folder}: holds other things, such as {others[0]}; choose another folder with --to'
    )


def record(folder: pathlib.Path, paths: Sequence[str]) -> None:
  """Writes `predict.json` with the paths alone, unless there is one."""
  if not (folder / FILE).exists():
    atomic.write_json(folder / FILE, {PATHS: absolute(paths)})


def folder_name(paths: Sequence[str]) -> str:
  """The first path's last part, in characters fit for a file name, and how many more paths there are.

  A pattern has the name of the folder that it is in, and what it says of its files.

  Example:
    >>> folder_name(['slides/monday, 9 am']), folder_name(['a', 'b', 'c'])
    ('monday_9_am', 'a_and_2')
    >>> folder_name(['slides/*.png']), folder_name(['slides/NE_*.png']), folder_name(['days/*/images/**'])
    ('slides', 'slides_NE', 'images')
  """
  is_pattern = glob.has_magic(paths[0]) and not os.path.exists(paths[0])
  whole = os.path.abspath(paths[0])
  name = _of_pattern(whole) if is_pattern else portable_name.portable_name(os.path.basename(whole))
  name = name or 'images'
  return name if len(paths) == 1 else f'{name}_and_{len(paths) - 1}'


def _of_pattern(pattern: str) -> str:
  """The last folder that is no pattern itself, and what the last part says of the files; '' if neither has letters."""
  *folders, last = pattern.replace(os.sep, '/').split('/')
  # A folder may have brackets in its name.
  literal = [
    part
    for i, part in enumerate(folders)
    if not glob.has_magic(part) or os.path.exists('/'.join(folders[: i + 1]))
  ]
  letters = re.sub(r'\[[^]]*\]|[*?]', ' ', os.path.splitext(last)[0]).strip()
  names = [portable_name.portable_name(part).strip('_') for part in (*literal[-1:], letters)]
  return portable_name.portable_name('_'.join(filter(None, names)))


def _is_of_other_case(folder: pathlib.Path) -> bool:
  """Whether another folder there has this name but for its case: a disk of Windows or macOS cannot hold both."""
  there = [path.name for path in folder.parent.iterdir()] if folder.parent.is_dir() else []
  return folder.name not in there and folder.name.casefold() in map(str.casefold, there)


def _is_free_for(paths: Sequence[str], folder: pathlib.Path) -> bool:
  """Whether the folder holds predictions of these paths, or nothing."""
  try:
    recorded = json.loads(atomic.read_text(folder / FILE))
  except FileNotFoundError:
    # Hidden files: a lock, or what a killed process left behind.
    return not folder.exists() or all(path.name.startswith('.') for path in folder.iterdir())
  except (ValueError, NotADirectoryError):
    return False
  return isinstance(recorded, dict) and recorded.get(PATHS) == absolute(paths)
