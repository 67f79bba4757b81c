"""`review.html`: predicted cells, corrected by keyboard, mouse or touch.

Those that are proposed to be labelled next come first, then the least certain.
"""

from __future__ import annotations

import collections
import importlib.resources
import string
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from bloodcell_jax.data.images import image_files
from bloodcell_jax.inference import differential_count
from bloodcell_jax.reports import page

# The key of the heat maps, which no class gets.
_HEAT_KEY = 'h'
_SCRIPTS = ('pressed_sign.js', 'kept_labels.js', 'recount.js', 'review.js')


def in_order(
  classified: differential_count.ClassifiedCells, first: Sequence[str], most: int
) -> tuple[list[int], int]:
  """Rows of the cells to show, at most `most`: those to be labelled next, then the least certain first.

  Args:
    classified: all cells.
    first: digests of photographs to be labelled next, in order; others than those of the cells are passed over.
    most: how many.

  Returns:
    The rows, and how many of them are to be labelled next.
  """
  place = {digest: i for i, digest in reversed(list(enumerate(first)))}
  confidence_N = classified.probs_NK.max(1)
  rows = [int(row) for row in confidence_N.argsort(kind='stable')]
  rows.sort(key=lambda row: place.get(classified.cells[row].digest, len(first)))
  num = sum(classified.cells[row].digest in place for row in rows)
  return rows[:most], min(num, most)


def keys(class_names: Sequence[str]) -> tuple[str, ...]:
  """The key that labels with each class: a digit, then a letter of the name that is free, else any free letter.

  A capital letter is one with Shift; '' is for classes beyond those, which can be clicked only.

  Example:
    >>> keys([*'abcdefghi', 'Blast', 'Plasma cell', 'Band', '嗜碱性粒细胞'])[9:]
    ('b', 'p', 'a', 'c')
  """
  free = [letter for letter in string.ascii_lowercase if letter != _HEAT_KEY]
  free += [letter.upper() for letter in free]
  chosen = list('123456789'[: len(class_names)])
  for name in class_names[len(chosen) :]:
    own = [letter for letter in unicodedata.normalize('NFKD', name).casefold() if letter in free]
    key = next(iter([*own, *free]), '')
    free = [letter for letter in free if letter != key]
    chosen.append(key)
  return tuple(chosen)


def render(
  classified: differential_count.ClassifiedCells,
  rows: Sequence[int],
  num_next: int,
  pictures: Iterable[tuple[str, str]],
  about: dict[str, Any],
  notes: Sequence[str],
  tables: Sequence[str],
) -> str:
  """The page, self-contained.

  Args:
    classified: all cells.
    rows: those to show, in order.
    num_next: how many of them, the first ones, are proposed to be labelled next.
    pictures: (JPEG, heat map as PNG) of each of them in base64; empty text for none. The button and the key for heat
      maps are there if one cell has a map.
    about: `title`, and `model`: the name by which exported labels identify what predicted.
    notes: what must be read first.
    tables: HTML above the cells, such as the differential count.
  """
  items, counted = [], set(classified.countable)
  for row, (image, heat) in zip(rows, pictures, strict=True):
    one = classified.cells[row]
    items.append(
      {
        'key': one.key,
        'file': one.file,
        'cell': one.number,
        'box': one.box.as_tuple() if one.box else None,
        'digest': image_files.marked(one.digest),
        'predicted': classified.predicted[row],
        'likeliest': classified.likeliest[row],
        'confidence': float(classified.probs_NK[row].max()),
        'set': list(classified.sets[row]),
        'marks': [*one.marks, *_repeated(classified, row)],
        'counted': row in counted,
        'image': image,
        'heat': heat,
      }
    )
  has_heat_maps = any(item['heat'] for item in items)
  noun = 'cells' if classified.has_boxes else 'images'
  class_keys = keys(classified.class_names)
  rest = collections.Counter(classified.predicted[row] for row in sorted(counted.difference(rows)))
  parts = [
    f'<style>{_read_resource("review.css")}</style>',
    f'<h1>{page.text(about["title"])}</h1>',
    *(f'<p class="note" role="note">{page.text(note)}</p>' for note in notes),
    *tables,
    _recount(noun),
    page.heading('images', f'{noun.capitalize()}, least certain first'),
    _omission(len(rows), len(classified), noun),
    _proposed(num_next, noun),
    _controls(classified, has_heat_maps, noun.removesuffix('s')),
    '<p id="elsewhere" class="small" hidden></p>',
    '<ul id="grid"></ul>',
    _palette(classified.class_names, class_keys, noun.removesuffix('s')),
    page.data(
      'about',
      {
        'model': about['model'],
        'classes': list(classified.class_names),
        'keys': class_keys,
        'heat': _HEAT_KEY,
        'noun': noun,
        'rest': rest,
        'left': [differential_count.UNCLASSIFIED, differential_count.UNLIKE],
        'mostLeft': differential_count.MOST_LEFT,
      },
    ),
    page.data('items', items),
    f'<script>{"".join(map(_read_resource, _SCRIPTS))}</script>',
  ]
  return page.whole(about['title'], parts)


def _repeated(classified: differential_count.ClassifiedCells, row: int) -> list[str]:
  repeated = classified.repeat_of[row]
  return [] if repeated is None else [f'counted in {classified.cells[repeated].file}']


def _omission(num: int, num_all: int, noun: str) -> str:
  if num == num_all:
    return ''
  return f'<p>The {num:,} least certain of {num_all:,} {noun}; all are in predictions.csv.</p>'


def _proposed(num: int, noun: str) -> str:
  if not num:
    return ''
  return (
    f'<p>The first {num:,} {noun} are those whose labels would teach the run most about this laboratory, with '
    'the command <code>adapt</code>; label them in this order, as many as you can.</p>'
  )


def _recount(noun: str) -> str:
  """The count with the labels of the reviewer, which the script fills in."""
  head = ('class', 'by the network', 'share', 'with your labels', 'share')
  return (
    '<div id="recount"><h2>The count with your labels</h2>'
    + page.table(f'{noun} by class, your labels in place of the names given by the network', head, [])
    + '<p class="small"></p><p class="small">The shares are of what has a class. They have no intervals and are not '
    'saved: export the labels.</p></div>'
  )


def _controls(classified: differential_count.ClassifiedCells, has_heat_maps: bool, noun: str) -> str:
  # What else a cell may be predicted as comes last.
  names = dict.fromkeys(
    (*classified.class_names, differential_count.UNCLASSIFIED, *sorted(set(classified.predicted)))
  )
  options = ''.join(
    f'<option value="{page.text(value)}">{page.text(label)}</option>'
    for value, label in (
      ('*', 'all'),
      ('?', 'left for review'),
      *((name, name) for name in names),
      ('+', 'labelled by you'),
    )
  )
  article = 'an' if noun == 'image' else 'a'
  heat = f', <kbd>{_HEAT_KEY}</kbd> shows or hides heat maps' if has_heat_maps else ''
  return (
    f'<p class="small">Choose {article} {noun} by clicking it or with the arrow keys, then its class: click it in the '
    f'bar below, or press its key. <kbd>Enter</kbd> agrees with the likeliest class, <kbd>Backspace</kbd> takes your '
    f'label back{heat}. The next {noun} is then chosen for you. Labels stay in this browser, even after an export, '
    'until you remove them: whoever opens the page in this browser sees them.</p>'
    f'<div class="controls"><label>Show <select id="filter">{options}</select></label>'
    + (
      f'<button id="heat" type="button" aria-pressed="false">Heat maps <kbd>{_HEAT_KEY}</kbd></button>'
      if has_heat_maps
      else ''
    )
    + '<button id="export" type="button" disabled>Export labels as CSV</button>'
    '<button id="remove" type="button" disabled>Remove my labels</button>'
    '<span id="status" role="status"></span></div>'
  )


def _palette(class_names: Sequence[str], class_keys: Sequence[str], noun: str) -> str:
  """The bar with a button for each class, which stays at the lower edge of the window."""
  return (
    f'<div id="palette" role="group" aria-label="Class of the chosen {noun}"><p id="chosen"></p>'
    f'{label_buttons(class_names, class_keys)}</div>'
  )


def label_buttons(class_names: Sequence[str], class_keys: Sequence[str]) -> str:
  """A button for each class with its key, as `keys` gives it, then those that agree and take back."""
  buttons = ''.join(
    f'<button type="button" data-class="{i}" aria-pressed="false" dir="auto">{_key(key)}{page.text(name)}</button>'
    for i, (name, key) in enumerate(zip(class_names, class_keys, strict=True))
  )
  return (
    f'<div class="buttons">{buttons}'
    f'<button type="button" id="agree">{_key("Enter")}Agree</button>'
    f'<button type="button" id="undo">{_key("Backspace")}Take back</button></div>'
  )


def _key(key: str) -> str:
  if not key:
    return ''
  return f'<kbd>{"Shift " + key.lower() if len(key) == 1 and key.isupper() else key}</kbd> '


def _read_resource(name: str) -> str:
  return importlib.resources.files('bloodcell_jax.inference').joinpath('static', name).read_text('utf-8')
