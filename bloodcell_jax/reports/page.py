"""Building blocks of a self-contained HTML page that works on a phone, with a screen reader and in print."""

from __future__ import annotations

import base64
import html
import json
import pathlib
from collections.abc import Sequence
from typing import Any

# Colours have a contrast of 4.5 or more on their background (WCAG 2.1, 1.4.3); tables scroll by keyboard.
STYLE = """
:root { --ink: #1c1c1c; --soft: #555; --line: #ddd; --accent: #0b5394; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); margin: 0 auto; max-width: 76rem; padding: 1rem;
  overflow-wrap: break-word; }
h1 { font-size: 1.6rem; overflow-wrap: anywhere; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
a { color: var(--accent); } :focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.skip { position: absolute; left: -99rem; } .skip:focus { position: static; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1rem; list-style: none; padding: 0; }
.headline { border: 1px solid var(--line); border-left: .4rem solid var(--accent); padding: .8rem 1rem; }
.headline strong { font-size: 1.5rem; white-space: nowrap; }
.note { border-left: .3rem solid #a33; background: #fbeeee; padding: .6rem 1rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
caption { text-align: left; color: var(--soft); padding: .25rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .6rem; text-align: right; white-space: nowrap; }
thead th { vertical-align: bottom; } th:first-child, td:first-child { text-align: left; }
tbody th { font-weight: normal; }
img { max-width: 100%; height: auto; }
.pair { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 1rem; margin: 1rem 0; }
.pair img { max-width: min(100%, 30rem); }
.small { font-size: .85rem; color: var(--soft); }
.thumbs { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .8rem; padding: 0; }
.thumbs li { list-style: none; font-size: .8rem; overflow-wrap: anywhere; } .thumbs img { width: 8rem; display: block; }
pre { overflow-x: auto; background: #f5f5f5; padding: .6rem; font-size: .8rem; }
@media print {
  nav, .skip { display: none; } body { max-width: none; font-size: 11pt; } .scroll { overflow: visible; }
  table { font-size: 8pt; } th, td { white-space: normal; padding: .15rem .3rem; }
  img, tr, .thumbs li, .headline, .note { break-inside: avoid; } h2, h3 { break-after: avoid; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
}
"""


def whole(title: str, body: Sequence[str]) -> str:
  """A complete HTML document.

  Args:
    title: plain text, for the browser's tab.
    body: HTML fragments, one below the other.
  """
  return (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    # An empty icon, so that no browser requests one from a server.
    f'<link rel="icon" href="data:,"><title>{html.escape(title)}</title><style>{STYLE}</style></head><body>'
    '<a class="skip" href="#main">Skip to the results</a><main id="main">'
    + '\n'.join(body)
    + '</main></body></html>\n'
  )


def text(words: str) -> str:
  """Plain text escaped for HTML."""
  return html.escape(words)


def contents(sections: Sequence[tuple[str, str]]) -> str:
  """Links to sections, each an (id, title)."""
  links = ''.join(f'<li><a href="#{text(name)}">{text(title)}</a></li>' for name, title in sections)
  return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'


def heading(name: str, title: str) -> str:
  """The heading of a section, with the id that `contents` links to."""
  return f'<h2 id="{text(name)}">{text(title)}</h2>'


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  """A table whose first column holds the row headers; it scrolls if it is wider than the page."""
  top = ''.join(f'<th scope="col">{text(cell)}</th>' for cell in head)
  body = ''.join(
    f'<tr><th scope="row">{text(str(row[0]))}</th>'
    + ''.join(f'<td>{text(str(cell))}</td>' for cell in row[1:])
    + '</tr>'
    for row in rows
  )
  label = text(caption)
  return (
    f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table><caption>{label}</caption>'
    f'<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
  )


def picture(path: pathlib.Path, alt: str) -> str:
  """The PNG file embedded in the page; empty if the file does not exist."""
  if not path.exists():
    return ''
  return image(base64.b64encode(path.read_bytes()).decode(), 'png', alt)


def data(name: str, value: Any) -> str:
  """The value as JSON for a script of the page, in an element with this id."""
  # No user's text may close the element or open another.
  content = json.dumps(value).replace('<', '\\u003c').replace('>', '\\u003e').replace('&', '\\u0026')
  return f'<script type="application/json" id="{name}">{content}</script>'


def image(encoded: str, kind: str, alt: str) -> str:
  """An image encoded in base64, of the type `image/KIND`."""
  return f'<img alt="{text(alt)}" src="data:image/{kind};base64,{encoded}">'
