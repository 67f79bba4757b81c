"""Columns of a list of labels that nobody reads, so that people learn of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

# What `read` of `label_csv` reads, and what the review page writes beside it into a list with `machine_label`.
KNOWN = ('file', 'label', 'human_label', 'sha256_16')
_OF_PAGE = ('machine_label', 'confidence', 'model', 'time', 'cell', 'left', 'top', 'right', 'bottom')
# What the images of one row may share with those of another.
_SHARED = re.compile(
  r'(patient(en)?|pat|subject|participant|proband|donor|volunteer|person|individual|case|slide|wsi|smear|specimen|'
  r'sample|animal|mouse|group|field|fov|photo|photograph|mrn|accession)'
  r'(s|ids?|no|nr|num|number|nummer|names?|code)?'
)
# Columns about a patient or a slide that do not name it.
_ABOUT = ('age', 'sex', 'gender', 'note', 'notes', 'comment', 'comments', 'diagnosis', 'quality', 'stain')


def found(rows: Sequence[tuple[str, Mapping[str, str]]], read: Iterable[str]) -> tuple[str, ...]:
  """The columns with content that are neither known nor among those read."""
  columns = rows[0][1] if rows else ()
  known = (*KNOWN, *read, *(_OF_PAGE if _OF_PAGE[0] in columns else ()))
  return tuple(name for name in columns if name not in known and any(row[name].strip() for _, row in rows))


def may_be_groups(column: str) -> bool:
  """Whether images with the same cell of such a column may belong together.

  Example:
    >>> [may_be_groups(name) for name in ('patient_no', 'slideid', 'smear', 'patient_age', 'microscope')]
    [True, True, True, False, False]
  """
  words = [word for word in re.split('[^a-z]+', column) if word]
  return any(map(_SHARED.fullmatch, words)) and not any(word in _ABOUT for word in words)


def line(columns: Sequence[str]) -> str:
  """What is told of these columns."""
  what = 'column' if len(columns) == 1 else 'columns'
  return f'not read of the list of labels: the {what} {", ".join(columns)}'
