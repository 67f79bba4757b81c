"""`review.html`: predicted cells, least certain first, to be looked through and corrected by keyboard."""

from __future__ import annotations

import hashlib
import importlib.resources
import json
from collections.abc import Iterable, Sequence
from typing import Any

from bloodcell_jax.inference import differential_count
from bloodcell_jax.reports import page

_KEYS = (
  ('arrows', 'move'),
  ('1 to 9', 'label with the class of that number'),
  ('Enter', 'agree with the likeliest class'),
  ('Backspace', 'take your label back'),
)
_HEAT_KEY = ('h', 'heat maps on or off')


def least_certain(classified: differential_count.ClassifiedCells, most: int) -> list[int]:
  """Rows of the cells to show: least certain first, at most `most`."""
  confidence_N = classified.probs_NK.max(1)
  return [int(row) for row in confidence_N.argsort(kind='stable')[:most]]


def render(
  classified: differential_count.ClassifiedCells,
  rows: Sequence[int],
  pictures: Iterable[tuple[str, str]],
  about: dict[str, Any],
  notes: Sequence[str],
  tables: Sequence[str],
) -> str:
  """The page, self-contained.

  Args:
    classified: all cells.
    rows: those to show, in order.
    pictures: (JPEG, heat map as PNG) of each of them in base64; empty text for none. The button and the key for heat
      maps are there if one cell has a map.
    about: `title`, and `model`: the name by which exported labels identify what predicted.
    notes: what must be read first.
    tables: HTML above the cells, such as the differential count.
  """
  items = []
  for row, (image, heat) in zip(rows, pictures, strict=True):
    one = classified.cells[row]
    items.append(
      {
        'key': one.key,
        'file': one.file,
        'cell': one.number,
        'box': one.box.as_tuple() if one.box else None,
        'digest': one.digest,
        'predicted': classified.predicted[row],
        'likeliest': classified.likeliest[row],
        'confidence': float(classified.probs_NK[row].max()),
        'set': list(classified.sets[row]),
        'image': image,
        'heat': heat,
      }
    )
  has_heat_maps = any(item['heat'] for item in items)
  noun = 'cells' if classified.has_boxes else 'images'
  # The browser keeps labels for these cells and this network, whatever the page is called.
  names = ' '.join([about['model'], *sorted(one.key for one in classified.cells)])
  key = 'bloodcell_jax ' + hashlib.sha256(names.encode()).hexdigest()[:16]
  parts = [
    f'<style>{_read_resource("review.css")}</style>',
    f'<h1>{page.text(about["title"])}</h1>',
    *(f'<p class="note" role="note">{page.text(note)}</p>' for note in notes),
    *tables,
    page.heading('images', f'{noun.capitalize()}, least certain first'),
    _omission(len(rows), len(classified), noun),
    _controls(classified.class_names, has_heat_maps, noun.removesuffix('s')),
    '<ul id="grid"></ul>',
    _data(
      'about', {'model': about['model'], 'classes': list(classified.class_names), 'key': key, 'noun': noun}
    ),
    _data('items', items),
    f'<script>{_read_resource("review.js")}</script>',
  ]
  return page.whole(about['title'], parts)


def _omission(num: int, num_all: int, noun: str) -> str:
  if num == num_all:
    return ''
  return f'<p>The {num:,} least certain of {num_all:,} {noun}; all are in predictions.csv.</p>'


def _controls(class_names: Sequence[str], has_heat_maps: bool, noun: str) -> str:
  options = ''.join(
    f'<option value="{page.text(value)}">{page.text(label)}</option>'
    for value, label in (
      ('*', 'all'),
      *((name, name) for name in (*class_names, differential_count.UNCLASSIFIED, differential_count.UNLIKE)),
      ('+', 'labelled by you'),
    )
  )  # fmt: skip
  keys = ', '.join(
    f'<kbd>{key}</kbd> {what}' for key, what in (*_KEYS, *([_HEAT_KEY] if has_heat_maps else []))
  )
  classes = ', '.join(f'<kbd>{i + 1}</kbd> {page.text(name)}' for i, name in enumerate(class_names[:9]))
  article = 'an' if noun == 'image' else 'a'
  return (
    f'<p class="small">Click {article} {noun}, then: {keys}. {classes}. '
    'Labels stay in this browser until you export them.</p>'
    f'<div class="controls"><label>Show <select id="filter">{options}</select></label>'
    + ('<button id="heat" type="button">Heat maps</button>' if has_heat_maps else '')
    + '<button id="export" type="button" disabled>Export labels as CSV</button>'
    '<span id="status" role="status"></span></div>'
  )


def _data(name: str, value: Any) -> str:
  # No user's text may close the element or open another.
  text = json.dumps(value).replace('<', '\\u003c').replace('>', '\\u003e').replace('&', '\\u0026')
  return f'<script type="application/json" id="{name}">{text}</script>'


def _read_resource(name: str) -> str:
  return importlib.resources.files('bloodcell_jax.inference').joinpath('static', name).read_text('utf-8')
