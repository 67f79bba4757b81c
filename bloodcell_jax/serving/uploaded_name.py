"""The name of an uploaded file: a path within what was dropped, which is shown and exported but never opened."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence

from bloodcell_jax.data.images import foreign, image_files, litter

_MOST_LETTERS = 400


def cleaned(name: str) -> str:
  """The name with '/' between folders, without leading slashes and dots.

  Example:
    >>> cleaned('/slides\\\\monday/../a.png'), cleaned('./b.png')
    ('slides/a.png', 'b.png')
  """
  return posixpath.normpath('/' + name.replace('\\', '/')).lstrip('/')


def shown(name: str) -> str:
  """The name for people; escaped where it has characters that cannot be shown.

  Example:
    >>> shown('a\\nb.png')
    'a\\\\nb.png'
  """
  short = name[:_MOST_LETTERS]
  return short if image_files.is_showable(short) else short.encode('unicode_escape').decode()


def is_litter(name: str) -> bool:
  """Whether a system or another program left the file, so that it is passed over without a word.

  Example:
    >>> is_litter('slides/.DS_Store'), is_litter('@eaDir/a.jpg'), is_litter('a.jpg')
    (True, True, False)
  """
  return any(litter.kind(part) for part in name.split('/'))


def refusal(name: str) -> str:
  """Why a file of this name is no photograph; '' if it may be one.

  Example:
    >>> refusal('notes.docx')[:29], refusal('a.JPG')
    ('.docx: not one of .jpeg .jpg ', '')
  """
  if not name or not image_files.is_showable(name):
    return 'the name has characters that cannot be shown'
  if len(name) > _MOST_LETTERS:
    return f'the name has more than {_MOST_LETTERS} characters'
  extension = os.path.splitext(name)[1]
  if reason := image_files.unpacking(name) or foreign.reason(extension):
    return reason
  if extension.lower() not in image_files.EXTENSIONS:
    return f'{extension or "no extension"}: not one of {" ".join(image_files.EXTENSIONS)}'
  return ''


def common_folder(names: Sequence[str]) -> str:
  """The dropped folder, with '/', where every file lies in one; '' otherwise.

  Example:
    >>> common_folder(['slides/monday/a.png', 'slides/b.png']), common_folder(['slides/a.png', 'b.png'])
    ('slides/', '')
  """
  tops = {name.partition('/')[0] if '/' in name else '' for name in names}
  return f'{tops.pop()}/' if len(tops) == 1 and '' not in tops else ''
