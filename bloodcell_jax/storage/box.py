"""The model in the box: a small run that comes with the package and is used where no other is named."""

from __future__ import annotations

import errno
import hashlib
import json
import pathlib
import shutil
from typing import Any

import bloodcell_jax
from bloodcell_jax.base import types
from bloodcell_jax.system import atomic

# What `--workdir` calls it.
NAME = 'box'
FOLDER = pathlib.Path(bloodcell_jax.__file__).parent / 'box'
CARD, CARD_TEXT = 'model_card.json', 'model_card.md'
# Where predictions go, and the copy that other commands work in.
PREDICTIONS, COPY = pathlib.Path('runs/predict'), pathlib.Path('runs/box')


def is_meant(workdir: str) -> bool:
  """Whether `--workdir` means the model in the box: by its name, unless there is such a folder."""
  return workdir == NAME and not pathlib.Path(workdir).exists()


def read_card() -> dict[str, Any]:
  """The contents of the model card.

  Raises:
    UserError: this copy of the package has no model in the box, or a damaged one.
  """
  try:
    card = json.loads((FOLDER / CARD).read_text('utf-8'))
    digests = card['sha256']
  except (OSError, ValueError, KeyError):
    raise types.UserError(
      f'{FOLDER}: this copy of the package has no model in the box; name the folder of a run: --workdir=runs/NAME'
    ) from None
  for name, digest in digests.items():
    path = FOLDER / name
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
      raise types.UserError(f'{path}: missing or changed; install the package again')
  return card


def licences(folder: pathlib.Path) -> list[str] | None:
  """Lines about code, weights and images, from the card of a copy of the model in the box; None of another folder."""
  if not (folder / CARD).is_file():
    return None
  try:
    card = json.loads((folder / CARD).read_text('utf-8'))
    cited = {
      f'{name}: {one["licence"]}': f'{one["title"]}: {one["licence"]}. {one["citation"]}'
      for name, one in card['images'].items()
    }
    return [cited.get(line, line) for line in card['licences']]
  except (ValueError, KeyError, TypeError, AttributeError):
    return None


def files() -> dict[str, pathlib.Path]:
  """Every file of it, by its path within the folder, as `/` writes it."""
  paths = [path for path in sorted(FOLDER.rglob('*')) if path.is_file()]
  return {path.relative_to(FOLDER).as_posix(): path for path in paths}


def line() -> str:
  """What is said where the model in the box is used. Raises as `read_card`."""
  card = read_card()
  return (
    f'the model in the box is used: {card["name"]} of {card["date"]}, for {", ".join(card["class_names"])}. '
    f'{card["use"]} What it is: {FOLDER / CARD_TEXT}'
  )


def copy() -> pathlib.Path:
  """The folder `runs/box` with a copy of the model, in which commands that write into a run's folder work.

  Raises:
    UserError: the folder holds something else, such as the model of another version of the package.
    RunError: it cannot be written.
  """
  read_card()
  if COPY.exists():
    if not (COPY / CARD).is_file() or (COPY / CARD).read_bytes() != (FOLDER / CARD).read_bytes():
      raise types.UserError(
        f'{COPY}: holds something other than the model in the box of this version; rename it, and it is written anew'
      )
    return COPY
  try:
    with atomic.folder(COPY) as temporary:
      for name, path in files().items():
        (temporary / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(path, temporary / name)
  except OSError as error:
    if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
      raise
    raise types.RunError(
      f'{COPY}: {error.strerror}; the model in the box is copied there: give the command in a writable folder'
    ) from None
  return COPY
