"""Names of files and folders that every system takes."""

from __future__ import annotations

import re
import unicodedata

# Devices of Windows, which no file may be called there, whatever its extension.
_DEVICES = {
  'con',
  'prn',
  'aux',
  'nul',
  *(f'{port}{i}' for port in ('com', 'lpt') for i in '123456789\u00b9\u00b2\u00b3'),
}


def portable_name(text: str) -> str:
  """The text in letters and digits of any script, `.`, `_` and `-`; '' if it has neither letter nor digit.

  Example:
    >>> [portable_name(text) for text in ('monday, 9 am', 'aux.png', 'Zellen 1.', '\u7d30\u80de', '...', '*')]
    ['monday_9_am', 'aux_.png', 'Zellen_1', '\u7d30\u80de', '', '']
  """
  plain = re.sub(r'[^\w.-]+', '_', unicodedata.normalize('NFC', text)).strip('.')
  if not any(letter.isalnum() for letter in plain):
    return ''
  return allowed(plain)


def allowed(name: str) -> str:
  """The name with `_` where Windows would refuse it: behind the word for a device, for a last dot or blank, for `:`.

  Example:
    >>> [allowed(name) for name in ('CON', 'nul.tar.gz', 'CONTROL', 'MONOCYTE?', 'band. ')]
    ['CON_', 'nul_.tar.gz', 'CONTROL', 'MONOCYTE_', 'band__']
  """
  name = re.sub(r'[<>:"/\\|?*]', '_', name)
  stem, dot, rest = name.partition('.')
  if stem.strip().casefold() in _DEVICES:
    name = f'{stem.rstrip()}_{dot}{rest}'
  kept = name.rstrip('. ')
  return kept + '_' * (len(name) - len(kept))
