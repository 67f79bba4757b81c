"""Names of splits, classes and files, compared as a person reads them."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence

from bloodcell_jax.data.sources import vocabulary

# What file managers add to the name of a copy, in the words of `key`: `A - Copy (2)`, `A copy`, `A (2)`, `Copy of A`.
_COPY = (
  'copy|another copy|kopie|kopia|kopi|copie|copia|cópia|kópia|kopya|kopio|másolat|backup|bak|копия|копія|副本|拷贝|'
  '拷貝|複製|コピー|のコピー|복사본'
)
_COPIED_AFTER = re.compile(
  rf'(?: ?\((?:{_COPY})(?: \d+)?\)| (?:{_COPY})(?: \d+)?|的副本|のコピー)?(?: ?\(\d+\))?$'
)
_COPIED_BEFORE = re.compile(
  '^(?:copy of|kopie von|kopie van|copie de|copia de|copia di|cópia de|kopia av|kopi af|kopi av|kopia|копия|复件|'
  'コピー) '
)
# Grave, acute, circumflex, tilde, cedilla and a dot on a Latin letter; a blank that no two digits surround.
_ACCENT = re.compile('([a-z])[\u0300-\u0303\u0307\u0327]')
# Letters that are written as two where a keyboard lacks them, and the Turkish i without a dot.
_SPELLED_OUT = str.maketrans(
  {'ä': 'ae', 'ö': 'oe', 'ü': 'ue', 'ø': 'oe', 'å': 'aa', 'æ': 'ae', 'œ': 'oe', 'ı': 'i'}
)
_ZERO = re.compile('(?<=[a-z])0(?=[a-z])')
# Cells without a marker, `CD4-`, are others than those named by it alone.
_NEGATIVE = re.compile('[A-Za-z]+[0-9]+[-\u2212\u2013]')
# The name of a marker on cells, `CD4+`; the words of a name without their numbers.
_MARKER = re.compile(r'cd[0-9]+[+ ]?')
_LETTERS = re.compile(r'[^\W\d_]+')
_JOINT = re.compile(r'(?<![0-9]) | (?![0-9])')
# A whole number as lists write it: with zeros before it, or as a program writes one that it took for a measurement.
_NUMBER = re.compile(r'0*([0-9]+?)(?:[.,]0+)?')
# Words for cells that are no kind of them.
_PLURALS = (
  'cells',
  'wbcs',
  'rbcs',
  'leukocytes',
  'leucocytes',
  'bands',
  'blasts',
  'others',
  'artifacts',
  'artefacts',
)

# Letters of other scripts, and the Latin letters that they look like.
_LOOK_ALIKES = str.maketrans(
  '\u0410\u0412\u0415\u0405\u0406\u0408\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0425'
  '\u0430\u0435\u0455\u0456\u0458\u043e\u0440\u0441\u0443\u0445'
  '\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf',
  'ABESIJKMHOPCTXaesijopcyxABEZHIKMNOPTYXo',
)


def key(name: str) -> str:
  """The name without what a reader overlooks: Unicode form, case, blanks, `_`, `-`, a last dot and what has no width.

  Example:
    >>> key(' Test_Simple') == key('TEST-SIMPLE') == key('test  simple.')
    True
  """
  folded = unicodedata.normalize('NFKC', unicodedata.normalize('NFKC', name).casefold())
  folded = ''.join(letter for letter in folded if unicodedata.category(letter) != 'Cf')
  for joint in '_-\u2010\u2011\u2012\u2013\u2014\u2212':
    folded = folded.replace(joint, ' ')
  plain = ' '.join(folded.split())
  return plain.rstrip('. ') or plain


def split(name: str) -> str:
  """The split that a folder of this name holds; '' for any other name.

  Example:
    >>> [split(name) for name in ('Training_Set', 'TEST-images', 'dev', 'trainset', '01_test', 'train_2')]
    ['TRAIN', 'TEST', 'VALIDATION', 'TRAIN', 'TEST', '']
    >>> [split(name) for name in ('Testdaten', '\u8bad\u7ec3\u96c6', 'validaci\xf3n')]
    ['TEST', 'TRAIN', 'VALIDATION']
  """
  folded = key(name)
  if folded in vocabulary.SPLITS:
    return vocabulary.SPLITS[folded]
  words = [word for word in folded.split() if word not in vocabulary.FILLERS]
  # `01_train`, `1. Training`: numbered so that they are listed in order.
  if len(words) > 1 and words[0].rstrip('.)').isdecimal():
    words = words[1:]
  folded = ' '.join(words)
  for filler in vocabulary.FILLERS:
    if folded not in vocabulary.SPLITS and len(words) == 1:
      folded = folded.removesuffix(filler) or folded
  return vocabulary.SPLITS.get(folded, '')


def is_cell(name: str) -> bool:
  """Whether the name is that of a kind of blood cell, in one of several languages, or its abbreviation.

  Example:
    >>> [is_cell(name) for name in ('Neutrophils', 'EOS', '\u4e2d\u6027', 'CD4', 'Monday', 'EOS 1')]
    [True, True, True, True, False, False]
  """
  folded = key(name)
  return folded in vocabulary.SHORT_CELLS or bool(_MARKER.fullmatch(folded)) or _has_cell(folded)


def _has_cell(folded: str) -> bool:
  return any(part in folded for part in vocabulary.CELLS)


def is_part(name: str) -> bool:
  """Whether the name is that of a patient, slide, day or place, or says nothing, such as `images`.

  Example:
    >>> [is_part(name) for name in ('patient_Ann', 'p01', '2024-01-05', 'Monday', 'site_B', 'Ann', 'NEU', 'type 1')]
    [True, True, True, True, True, False, False, False]
  """
  words = _LETTERS.findall(key(name))
  if any(word in vocabulary.PARTS for word in words) or key(name) in vocabulary.EMPTY:
    return True
  is_class = is_cell(name) or any(word in vocabulary.NUMBERED_CLASSES for word in words)
  return not is_class and bool(re.search('[0-9]', key(name)))


def is_series(names: Sequence[str]) -> bool:
  """Whether the names differ in their numbers only, like `patient_1` and `patient_2`."""
  stems = {re.sub('[0-9]+', '', key(name)) for name in names}
  return len(stems) == 1 and len(names) > 1 and any(re.search('[0-9]', name) for name in names)


def spelled(name: str) -> str:
  """The name so that blanks at its ends and letters that look alike are seen.

  Example:
    >>> spelled('EOSINOPHIL '), spelled('MONOCYTE'), spelled('E\u0301')
    ("'EOSINOPHIL '", 'MONOCYTE', "'E\\\\u0301'")
    >>> spelled('M\u041eNO'), spelled('\u041b\u0438\u043c\u0444\u043e')
    ("'M\\\\u041eNO'", '\u041b\u0438\u043c\u0444\u043e')
  """
  is_plain = name == name.strip() and '  ' not in name and unicodedata.normalize('NFC', name) == name
  is_plain = is_plain and not any(unicodedata.category(c) in ('Cf', 'Zs') and c != ' ' for c in name)
  latin = name.translate(_LOOK_ALIKES)
  return name if is_plain and (latin == name or not latin.isascii()) else ascii(name)


def some(names: Sequence[str]) -> str:
  """The first three names for a line, and dots for the others.

  Example:
    >>> some(['A', 'B ', 'C', 'D'])
    "A, 'B ', C, ..."
  """
  return ', '.join(map(spelled, names[:3])) + (', ...' if len(names) > 3 else '')


def alike(names: Iterable[str]) -> tuple[str, str] | None:
  """The first two names that differ but read the same; None if there are none.

  Blanks between letters, the accents of Latin letters and an umlaut written as two letters make no two classes; an
  umlaut itself does, and so does the minus of a marker.

  Example:
    >>> alike(('Band Cell', 'BandCell')), alike(('M\xe9gakaryocyte', 'Megakaryocyte'))
    (('Band Cell', 'BandCell'), ('M\xe9gakaryocyte', 'Megakaryocyte'))
    >>> alike(('Pl\xe4ttchen', 'Plaettchen')), alike(('MON0CYTE', 'MONOCYTE')), alike(('1', '1.0'))
    (('Pl\xe4ttchen', 'Plaettchen'), ('MON0CYTE', 'MONOCYTE'), ('1', '1.0'))
    >>> alike(('type 1 1', 'type 11', 'B\xe4r', 'Bar', 'CD4', 'CD4+', 'CD4-'))
  """
  return _first_pair(names, _readings)


def _first_pair(names: Iterable[str], readings: Callable[[str], Iterable[str]]) -> tuple[str, str] | None:
  """The first two names that differ and share a reading; None if there are none."""
  first: dict[str, str] = {}
  for name in names:
    for reading in readings(name):
      if (other := first.setdefault(reading, name)) != name:
        return other, name
  return None


def _whole(name: str) -> str:
  """A whole number as it is written at its shortest; any other name as it is."""
  number = _NUMBER.fullmatch(name.strip())
  return number[1] if number else name


def _readings(name: str) -> Iterator[str]:
  """What a reader may take the name for."""
  plain = _whole(name)
  sign = '-' if _NEGATIVE.fullmatch(name.strip()) else ''
  spelled_out = unicodedata.normalize('NFC', key(plain)).translate(_SPELLED_OUT)
  for reading in (
    key(plain),
    key(plain.translate(_LOOK_ALIKES)),
    _bare(plain),
    _ZERO.sub('o', _bare(spelled_out)),
  ):
    yield reading + sign


def alike_groups(names: Iterable[str]) -> tuple[str, str] | None:
  """The first two names of groups that differ but read the same, or are one number; None if there are none.

  Example:
    >>> alike_groups(('P1', 'P2', 'p1 ')), alike_groups(('7', '7.0')), alike_groups(('P1', 'P11', '1', '11'))
    (('P1', 'p1 '), ('7', '7.0'), None)
  """
  return _first_pair(names, lambda name: [key(_whole(name))])


def _bare(name: str) -> str:
  """The name as `key` gives it without blanks, except between digits, and without accents of Latin letters."""
  plain = _ACCENT.sub(r'\1', unicodedata.normalize('NFD', key(name)))
  return _JOINT.sub('', unicodedata.normalize('NFC', plain))


def singular(name: str) -> str:
  """The name as `key` gives it, with the plural of a kind of cell, or of a word that stands for cells, as one of them.

  Example:
    >>> singular('Neutrophils'), singular('Segmented neutrophil'), singular('band_cells'), singular('Blast')
    ('neutrophil', 'segmented neutrophil', 'band cell', 'blast')
    >>> singular('Monozyten')
    'monozyt'
    >>> singular('Basophilic series'), singular('class'), singular('dogs'), singular('smudge cells (lysis)')
    ('basophilic series', 'class', 'dogs', 'smudge cells (lysis)')
  """
  words = key(name).split()
  last = words[-1] if words else ''
  if last.endswith('zyten'):
    words[-1] = last.removesuffix('en')
  if last.endswith('s') and (_has_cell(last) or last in _PLURALS):
    words[-1] = last.removesuffix('s')
  return ' '.join(words)


def differ_in_number(names: Iterable[str]) -> tuple[str, str] | None:
  """The first two names that are one in the singular and the plural; None if there are none.

  Example:
    >>> differ_in_number(('Neutrophils', 'MONOCYTE', 'neutrophil')), differ_in_number(('Band', 'Segmented neutrophils'))
    (('Neutrophils', 'neutrophil'), None)
  """
  return _first_pair(names, lambda name: [singular(name)])


def copy_of(name: str, others: Iterable[str]) -> str:
  """The folder that a file manager has copied under this name; '' if none of the others is it.

  Example:
    >>> [copy_of(name, ('A', 'B')) for name in ('A - Copy', 'Copy of B', 'a (2)', 'A 2', 'C - Copy')]
    ['A', 'B', 'A', '', '']
    >>> [copy_of(name, ('A', 'B')) for name in ('A - Kopie', 'B - C\xf3pia', 'A - \u526f\u672c (2)')]
    ['A', 'B', 'A']
  """
  folded = key(name)
  original = _COPIED_AFTER.sub('', _COPIED_BEFORE.sub('', folded))
  return match(original, others) if original and original != folded else ''


def match(name: str, others: Iterable[str]) -> str:
  """The one of the others that is this very name, or else the only one that reads like it; '' if none or several do.

  Example:
    >>> match('cd4 ', ('CD4', 'CD8')), match('CD4-', ('CD4', 'CD4-')), match('cd4', ('CD4', 'CD4-'))
    ('CD4', 'CD4-', '')
  """
  known = list(others)
  if name in known:
    return name
  found = [other for other in known if key(other) == key(name)]
  return found[0] if len(found) == 1 else ''


def match_number(name: str, others: Iterable[str]) -> str:
  """As `match`; else the only one of the others that is the name in the singular or the plural."""
  found = [other for other in others if singular(other) == singular(name)]
  return match(name, others) or (found[0] if len(found) == 1 else '')


def nearest(name: str, others: Iterable[str]) -> str:
  """The one of the others that the name may be a slip for, read as by `key`; '' if none is near.

  Example:
    >>> nearest('monozyt', ('Lymphocyte', 'Monocyte')), nearest('CD4', ('Lymphocyte', 'Monocyte'))
    ('Monocyte', '')
  """
  known = {key(other): other for other in others}
  near = difflib.get_close_matches(key(name), known, 1)
  return known[near[0]] if near else ''
