"""A path that leads nowhere: what was probably meant."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata

# Marks that file managers put around a path that is copied from them.
_MARKS = '"\'\u201c\u201d\u2018\u2019\u201e '
_VARIABLE = re.compile(r'\$\{?\w+\}?|%\w+%')
_WINDOWS = re.compile(r'[A-Za-z]:\\|\\\\')


def hint(path: str) -> str:
  """What to write instead, in brackets after a blank; '' where nothing is known.

  Example:
    >>> hint('$CELLS/a'), hint('nowhere at all')
    (' ($CELLS is not replaced here; write the whole path)', '')
  """
  bare = path.strip(_MARKS)
  if bare and bare != path and os.path.exists(bare):
    return f' ({bare} is there; write it without quotation marks and blanks around it)'
  if found := _VARIABLE.search(path):
    return f' ({found[0]} is not replaced here; write the whole path)'
  if os.sep == '/' and _WINDOWS.match(bare):
    return ' (this is a Windows path; write where that is on this computer)'
  near = _near(path)
  return f' ({near} is there)' if near else ''


def _near(path: str) -> str:
  """The path with the first name that is not there replaced by the only one that reads much like it; '' for none."""
  above, missing = os.path.split(path.rstrip('/' + os.sep))
  rest: list[str] = []
  while above and not os.path.isdir(above):
    rest.insert(0, missing)
    above, missing = os.path.split(above)
  try:
    there = {_key(name): name for name in os.listdir(above or '.')}
  except OSError:
    return ''
  close = difflib.get_close_matches(_key(missing), there, 2, 0.8)
  meant = os.path.join(above, there[close[0]], *rest) if len(close) == 1 else ''
  return meant if meant and os.path.exists(meant) else ''


def _key(name: str) -> str:
  return unicodedata.normalize('NFKC', name).casefold()
