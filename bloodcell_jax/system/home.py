"""`~` and `~USER` at the start of a path, where the shell has not replaced them, as in `--workdir=~/runs`."""

from __future__ import annotations

import os
import re

# A flag with its value; shells replace `~` only at the start of a word.
_FLAG = re.compile(r'(--?[A-Za-z_][\w.]*=)(.*)', re.DOTALL)


def expand(path: str) -> str:
  """The path with the home folder in place of `~` or `~USER`; any other path as it is.

  A file or folder whose name begins so, and is no user's, is meant literally.

  Raises:
    ValueError: there is no such user, or this user has no home; one line that says so.

  Example:
    >>> expand('slides/a~1.png')
    'slides/a~1.png'
  """
  if not path.startswith('~'):
    return path
  expanded = os.path.expanduser(path)
  if os.path.isabs(expanded):
    return expanded
  if os.path.lexists(path):
    return path
  user = re.split(r'[\\/]', path)[0]
  reason = 'this user has no home folder' if user == '~' else f'there is no user {user[1:]}'
  raise ValueError(f'{path}: {reason}; write the whole path, or ./~... for a name that begins so')


def expand_argument(argument: str) -> str:
  """A word of the command line, a path or a flag with its value, expanded. Raises as `expand`.

  Example:
    >>> expand_argument('--config.train.batch_size=8'), expand_argument('--rule=mean')
    ('--config.train.batch_size=8', '--rule=mean')
  """
  flag = _FLAG.fullmatch(argument)
  return flag[1] + expand(flag[2]) if flag else expand(argument)
