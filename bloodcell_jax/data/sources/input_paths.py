"""Resolves the paths of the command line to image files: files, folders, patterns and CSV lists."""

from __future__ import annotations

import collections
import dataclasses
import fnmatch
import glob
import os
from collections.abc import Collection, Iterator, Sequence

from bloodcell_jax.base import types, wording
from bloodcell_jax.data.images import companions, foreign, image_files, litter
from bloodcell_jax.data.sources import csv_rows, csv_text, listed_names
from bloodcell_jax.system import missing_path

# Lists of images, by their extensions.
LISTS = ('.csv', '.tsv', '.txt')
# Bytes of a file in which the first line of a list ends.
_HEAD = 4096


@dataclasses.dataclass(frozen=True)
class Input:
  """One image file."""

  path: str
  shown: str  # for people: relative to the folder or list that contains it, or the file's own name


@dataclasses.dataclass(frozen=True)
class Found:
  """The images that paths name."""

  inputs: list[Input]
  problems: list[types.Problem]  # files that are skipped
  passed_over: litter.Tally

  def remarks(self) -> list[str]:
    """What was found and what was passed over, lines for people."""
    folders = len({os.path.dirname(one.path) for one in self.inputs})
    images, places = (
      wording.counted(num, noun) for num, noun in ((len(self.inputs), 'image'), (folders, 'folder'))
    )
    return list(filter(None, (f'{images} in {places}', self.passed_over.line())))


def is_list(path: str) -> bool:
  """Whether a file is a list of images: by its extension or, where that is not one of an image, by its first line."""
  if os.path.splitext(path)[1].lower() in LISTS:
    return os.path.isfile(path)
  return 'file' in _first_names(path)


def _first_names(path: str) -> set[str]:
  """The names in the first line of a text whose extension says nothing; empty for any other file."""
  extension = os.path.splitext(path)[1].lower()
  if extension in image_files.EXTENSIONS or image_files.unpacking(path) or foreign.reason(extension):
    return set()
  try:
    with open(path, 'rb') as opened:
      return csv_text.first_names(opened.read(_HEAD))
  except OSError:
    return set()  # told where it is opened as what it is taken for


def find(paths: Sequence[str]) -> tuple[list[Input], list[types.Problem]]:
  """The images and the problems of `read`."""
  found = read(paths)
  return found.inputs, found.problems


def read(paths: Sequence[str]) -> Found:
  """The images that these paths name, each file once, in the order of the paths; and the files that are skipped.

  A path is an image file, a folder (searched recursively), a pattern such as `slides/*.png` or `slides/**/*.png`, or a
  list (see `is_list`) whose column `file` names images, relative to the list's own folder. What is there under the very
  name is no pattern, and neither is a folder at the beginning of a pattern, such as `slides [1]`. What folders and
  patterns hold is passed over where it is a mask of another of the images (see `companions`); a file that is named, or
  that a list names, is used.

  Raises:
    UserError: a path does not exist or is an archive, a pattern matches nothing, a list lacks the column, or there is
      no image.
  """
  inputs: list[Input] = []
  problems: list[types.Problem] = []
  passed_over = litter.tally()
  kept_as_named: set[str] = set()
  for path in paths:
    found = list(_resolve(path, problems, passed_over))
    if os.path.isfile(path):
      kept_as_named.update(os.path.realpath(one.path) for one in found)
    inputs += found
  first: dict[str, Input] = {}
  for one in inputs:
    first.setdefault(os.path.realpath(one.path), one)
  kept = []
  for one in _with_unique_names(_without_masks(first, kept_as_named, passed_over)):
    if image_files.is_showable(one.shown):
      kept.append(one)
    else:
      problems.append(types.Problem(repr(one.shown), 'the name has characters that cannot be shown'))
  if not kept:
    named = ', '.join(path if image_files.is_showable(path) else repr(path) for path in paths)
    are_results = any(os.path.isdir(path) and litter.is_result(os.listdir(path)) for path in paths)
    if passed_over.times[litter.RUN] or are_results:
      raise types.UserError(
        f'{named}: holds runs or results of this program and no image; name the folder of the images as the path, and '
        'a run with --workdir'
      )
    if problems:
      num = wording.counted(len(problems), 'file')
      raise types.UserError(
        f'{named}: none of the {num} there can be read as an image; the first: {problems[0]}'
      )
    raise types.UserError(
      f'{named}: no image there; the kinds that can be read are {" ".join(image_files.EXTENSIONS)}'
    )
  return Found(kept, problems, passed_over)


def _resolve(path: str, problems: list[types.Problem], passed_over: litter.Tally) -> Iterator[Input]:
  if not path.strip():
    raise types.UserError(f'{path!r}: a path is empty; name images or a folder of them')
  if os.path.exists(path) and not os.path.isdir(path) and not os.path.isfile(path):
    raise types.UserError(f'{path}: is a device or a pipe, not an image; name a file or a folder')
  if os.path.isdir(path):
    yield from _within(path, problems, passed_over)
  elif is_list(path):
    yield from _listed(path)
  elif os.path.isfile(path):
    advice = image_files.unpacking(path) or foreign.reason(os.path.splitext(path)[1])
    if advice:
      raise types.UserError(f'{path}: {advice}')
    if _first_names(path):
      raise types.UserError(
        f'{path}: is text, not an image; give an image, or a list whose first line names the column file'
      )
    yield Input(path, os.path.basename(path))
  elif glob.has_magic(path):
    matched = sorted(_matched(path), key=image_files.natural_key)
    if not matched:
      raise types.UserError(f'{path}: matches no file; * stands for any characters, ** for any folders')
    for one in matched:
      name = os.path.basename(one)
      if os.path.isdir(one):
        yield from _within(one, problems, passed_over)
      elif kind := litter.kind(name):
        passed_over.times[kind] += 1
      elif os.path.splitext(one)[1].lower() not in image_files.EXTENSIONS:
        # A pattern may match other files too.
        continue
      elif reason := image_files.unfit(one, name):
        problems.append(types.Problem(name if image_files.is_showable(name) else repr(name), reason))
      else:
        yield Input(one, name)
  elif '://' in path:
    raise types.UserError(
      f'{path}: is an address, not a path; give the path of a file or folder on this computer'
    )
  else:
    raise types.UserError(f'{path}: no such file or folder{missing_path.hint(path)}')


def _within(folder: str, problems: list[types.Problem], passed_over: litter.Tally) -> Iterator[Input]:
  found = image_files.read_listing(folder, '', True, passed_over)
  problems += found.problems
  yield from (Input(os.path.join(folder, *name.split('/')), name) for name in found.names)


def _without_masks(
  inputs: dict[str, Input], named: Collection[str], passed_over: litter.Tally
) -> list[Input]:
  """The inputs without masks of others of them, which are counted as passed over, wherever both were found.

  Args:
    inputs: by the path that identifies each.
    named: the keys of those that are kept whatever they are.
    passed_over: counts the masks.
  """
  key_of = {os.path.abspath(one.path).replace(os.sep, '/'): key for key, one in inputs.items()}
  proposed = [path for path in companions.named_as_masks(list(key_of)) if key_of[path] not in named]
  masks = {key_of[path] for path in companions.are_masks(proposed)}
  if masks:
    passed_over.times[litter.MASK] += len(masks)
  return [one for key, one in inputs.items() if key not in masks]


def _matched(pattern: str) -> list[str]:
  """The matches of a pattern: as `glob.glob(recursive=True)`, but loops of links are followed once."""
  parts = _literal_first(pattern)
  pattern = '/'.join(parts)
  if '**' not in parts:
    return glob.glob(pattern)
  first = parts.index('**')
  found = []
  for top in glob.glob('/'.join(parts[:first]) or '/') if first else ['']:
    names, _ = image_files.listing(top or '.', '')
    found += [os.path.join(top, name) for name in names if _fits(name.split('/'), parts[first:])]
  return found


def _literal_first(pattern: str) -> list[str]:
  """The parts of a pattern; those at its beginning that are there under their very names are escaped."""
  parts = pattern.split('/')
  for i in range(len(parts) - 1):
    if not os.path.lexists('/'.join(parts[: i + 1]) or '/'):
      return [*map(glob.escape, parts[:i]), *parts[i:]]
  return [*map(glob.escape, parts[:-1]), parts[-1]]


def _fits(names: Sequence[str], patterns: Sequence[str]) -> bool:
  """Whether a file, or a folder above it, matches the patterns; `**` matches any number of folders."""
  reached = {0}
  for name in (*names, None):
    # `**` may match no folder.
    for i in range(len(patterns)):
      if i in reached and patterns[i] == '**':
        reached.add(i + 1)
    if len(patterns) in reached:
      return True
    if name is not None:
      reached = {
        i if patterns[i] == '**' else i + 1
        for i in reached
        if patterns[i] == '**' or fnmatch.fnmatchcase(name, patterns[i])
      }
  return False


def _listed(path: str) -> Iterator[Input]:
  folder = os.path.dirname(path)
  tree = listed_names.Tree(folder or '.')
  for where, row in csv_rows.read(path, ('file',), 'give a CSV whose column file names images'):
    name = row['file'].replace('\\', '/')
    whole = name
    if name.startswith('~') and not os.path.exists(os.path.join(folder, *name.split('/'))):
      whole = os.path.expanduser(name)
    elif not os.path.isabs(name) or not os.path.exists(name):
      name = tree.find(row['file']) or name
      whole = os.path.join(folder, *name.split('/'))
    if not name.strip() or not os.path.isfile(whole):
      raise types.UserError(
        f'{where} names {name.strip() or "nothing"}, which is not a file{listed_names.hint(folder or ".", name)}'
      )
    yield Input(whole, name)


def _with_unique_names(inputs: list[Input]) -> list[Input]:
  """The inputs; files that share a shown name are shown by their full paths."""
  times = collections.Counter(one.shown for one in inputs)
  return [Input(one.path, one.path) if times[one.shown] > 1 else one for one in inputs]
