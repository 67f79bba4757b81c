"""`review_images.html`: predicted images, least certain first, to be looked through and corrected by keyboard."""

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
  ('h', 'heat maps on or off'),
)


def order(found: differential_count.Census, most: int) -> list[int]:
  """Rows of the images to show: least certain first, at most so many."""
  confidence_N = found.probs_NK.max(1)
  return [int(row) for row in confidence_N.argsort(kind='stable')[:most]]


def make(
  found: differential_count.Census,
  rows: Sequence[int],
  pictures: Iterable[tuple[str, str]],
  about: dict[str, Any],
  notes: Sequence[str],
  tables: Sequence[str],
) -> str:
  """The page, whole and self-contained.

  Args:
    found: all images.
    rows: those to show, in order.
    pictures: (JPEG, heat map as PNG) of each of them in base64; empty text for none.
    about: `title`, and `model`: the name under which corrections say who predicted.
    notes: what must be said first.
    tables: HTML above the images, such as the differential count.
  """
  items = [
    {
      'file': found.file[row],
      'digest': found.digest[row],
      'predicted': found.named[row],
      'likeliest': found.likeliest[row],
      'confidence': float(found.probs_NK[row].max()),
      'set': list(found.sets[row]),
      'image': image,
      'heat': heat,
    }
    for row, (image, heat) in zip(rows, pictures, strict=True)
  ]
  # Corrections are kept for these images and this network, whatever the page is called.
  names = ' '.join([about['model'], *sorted(found.digest)])
  key = 'bloodcell_jax ' + hashlib.sha256(names.encode()).hexdigest()[:16]
  parts = [
    f'<style>{_resource("review.css")}</style>',
    f'<h1>{page.text(about["title"])}</h1>',
    *(f'<p class="note" role="note">{page.text(note)}</p>' for note in notes),
    *tables,
    page.heading('images', 'Images, least certain first'),
    _shown(len(rows), len(found)),
    _controls(found.class_names),
    '<ul id="grid"></ul>',
    _data('about', {'model': about['model'], 'classes': list(found.class_names), 'key': key}),
    _data('items', items),
    f'<script>{_resource("review.js")}</script>',
  ]
  return page.whole(about['title'], parts)


def _shown(num: int, num_all: int) -> str:
  if num == num_all:
    return ''
  return f'<p>The {num:,} least certain of {num_all:,} images; all are in predictions.csv.</p>'


def _controls(class_names: Sequence[str]) -> str:
  options = ''.join(
    f'<option value="{page.text(value)}">{page.text(shown)}</option>'
    for value, shown in (
      ('*', 'all'),
      *((name, name) for name in (*class_names, differential_count.UNCLASSIFIED)),
      ('+', 'labelled by you'),
    )
  )  # fmt: skip
  keys = ', '.join(f'<kbd>{key}</kbd> {what}' for key, what in _KEYS)
  classes = ', '.join(f'<kbd>{i + 1}</kbd> {page.text(name)}' for i, name in enumerate(class_names[:9]))
  return (
    f'<p class="small">Click an image, then: {keys}. {classes}. Labels stay in this browser until you export them.</p>'
    f'<div class="controls"><label>Show <select id="filter">{options}</select></label>'
    '<button id="heat" type="button">Heat maps</button>'
    '<button id="export" type="button" disabled>Export labels as CSV</button>'
    '<span id="status" role="status"></span></div>'
  )


def _data(name: str, value: Any) -> str:
  # No text of a user may end the element, or begin another.
  text = json.dumps(value).replace('<', '\\u003c').replace('>', '\\u003e').replace('&', '\\u0026')
  return f'<script type="application/json" id="{name}">{text}</script>'


def _resource(name: str) -> str:
  return importlib.resources.files('bloodcell_jax.inference').joinpath('static', name).read_text('utf-8')
