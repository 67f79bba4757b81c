"""English of lines for people: numbers with their nouns, and lines as sentences."""


def counted(num: int, noun: str, plural: str = '') -> str:
  """The number with its noun, whose plural ends in s unless another one is given.

  Example:
    >>> counted(1, 'cell'), counted(0, 'cell'), counted(2_000, 'class', 'classes')
    ('1 cell', '0 cells', '2,000 classes')
  """
  return f'{num:,} {noun if num == 1 else plural or noun + "s"}'


def capital(line: str) -> str:
  """The line with a capital letter first.

  Example:
    >>> capital('no image was DRAWN'), capital('')
    ('No image was DRAWN', '')
  """
  return line[:1].upper() + line[1:]
