"""`study.html`, `study.md` and `study.json`, from the folders of a study's runs alone."""

from __future__ import annotations

import base64
import json
import pathlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import wording
from bloodcell_jax.config import study as study_config
from bloodcell_jax.plots import figure, study_curves
from bloodcell_jax.reports import page
from bloodcell_jax.study import circumstances as circumstances_lib
from bloodcell_jax.study import page_head, run_folder, summary, tables
from bloodcell_jax.study import table as table_lib
from bloodcell_jax.system import atomic
from bloodcell_jax.train import history

PAGE, TEXT, DATA = 'study.html', 'study.md', 'study.json'
STYLE = """<style>
p, li { overflow-wrap: anywhere; } .headline strong { white-space: normal; }
table.study td { white-space: normal; min-width: 8rem; } table.study tbody th { white-space: normal; min-width: 11rem; }
table.study tr.part th { font-weight: bold; text-align: left; padding-top: .9rem; color: var(--accent); }
table.study td { vertical-align: top; text-align: left; } table.study th { vertical-align: top; text-align: left; }
table.study thead th { white-space: normal; }
table.study td.figure { min-width: 0; font-variant-numeric: tabular-nums; } td.figure span { white-space: nowrap; }
@media (max-width: 40rem) {
  table.study tbody th { min-width: 7rem; } table.study td { min-width: 8.5rem; }
  table.study td.figure { min-width: 0; }
}
</style>"""
SECONDS_BETWEEN_PAGES = 60.0
_FIGURE = re.compile(r'[+-]?\d\.\d{3} \[')


def write(rows: Sequence[study_config.Row], root: pathlib.Path) -> None:
  """Writes the three files; a row that is not run says so.

  Args:
    rows: of the study.
    root: its folder.

  Raises:
    UserError: a file of a run is damaged.
  """
  entries, data, circumstances = read(rows, root)
  note = ' '.join(page_head.notes(entries)[:-1])
  picture = figure.png(study_curves.plot(panels(rows, entries, root)), note) if entries else b''
  settings = summary.settings(rows, root)
  contents = {'settings': settings, 'data': data, 'circumstances': circumstances, 'rows': entries}
  atomic.write_text(root / PAGE, html(entries, data, circumstances, picture))
  atomic.write_text(root / TEXT, markdown(entries, data, circumstances))
  atomic.write_json(root / DATA, json.loads(json.dumps(contents)))


class Pages:
  """The page of a study that is being run, written at most once a minute: its curves take as long as a short run.

  Args:
    rows: of the study.
    root: its folder.
    now: the clock, in seconds.
  """

  def __init__(
    self,
    rows: Sequence[study_config.Row],
    root: pathlib.Path,
    now: Callable[[], float] = time.monotonic,
  ):
    self._rows, self._root, self._now, self._last = rows, root, now, now()

  def write_now_and_then(self) -> None:
    """Writes the page where the last was written long enough ago."""
    if self._now() - self._last >= SECONDS_BETWEEN_PAGES:
      write(self._rows, self._root)
      self._last = self._now()


def read(
  rows: Sequence[study_config.Row], root: pathlib.Path
) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, list[str]]]:
  """The entries of the rows, the images, and when, where and how the runs were trained."""
  entries = summary.rows(rows, root)
  runs = [
    run_folder.StudyRun(row, each['seed'], root)
    for row, entry in zip(rows, entries, strict=True)
    for each in entry['runs']
    if not row.trees
  ]
  return entries, summary.data(rows, root), circumstances_lib.collect([run.folder for run in runs], root)


def panels(
  rows: Sequence[study_config.Row], entries: Sequence[Mapping[str, Any]], root: pathlib.Path
) -> list[study_curves.Panel]:
  """The curves of each row that has epochs."""
  found = []
  for row, entry in zip(rows, entries, strict=True):
    runs = [run_folder.StudyRun(row, each['seed'], root) for each in entry['runs']]
    curves = [_curve(records) for run in runs for records in run.records() if records]
    if curves:
      found.append(study_curves.Panel(entry['title'], curves, entry['study']['accuracy']))
  return found or [study_curves.Panel('no epoch yet', [], 0.0)]


def _curve(records: Sequence[history.Record]) -> study_curves.Curve:
  columns = (np.array([getattr(r, name) for r in records]) for name in ('step', 'accuracy', 'val_accuracy'))
  return study_curves.Curve(*columns)


def html(
  entries: Sequence[Mapping[str, Any]],
  data: Mapping[str, Any],
  circumstances: Mapping[str, Sequence[str]],
  picture: bytes,
) -> str:
  """The page.

  Args:
    entries: the rows of `study.json`.
    data: its images.
    circumstances: as from `circumstances.collect`.
    picture: the curves, a PNG.
  """
  parts = tables.sections(entries, circumstances)
  body = [
    STYLE,
    f'<h1>{page.text(tables.TITLE)}</h1>',
    f'<p class="headline"><strong>{page.text(page_head.headline(entries))}</strong><br>'
    f'{page.text(page_head.images(data))}</p>',
    *(f'<p class="note" role="note">{page.text(note)}</p>' for note in page_head.notes(entries)),
    page.contents([(part.name, part.title) for part in parts]),
  ]
  for part in parts:
    body.append(page.heading(part.name, part.title))
    many = len(part.paragraphs) > 1
    items = ''.join(
      f'<{"li" if many else "p"}>{page.text(line)}</{"li" if many else "p"}>' for line in part.paragraphs
    )
    body.append(f'<ul>{items}</ul>' if many else items)
    if part.has_curves:
      alt = 'training and validation accuracy by update, a panel a row'
      body.append(page.image(base64.b64encode(picture).decode(), 'png', alt))
    body += [_html_table(table) for table in part.tables]
  return page.whole(tables.TITLE, body)


def _html_table(table: table_lib.Table) -> str:
  top = ''.join(f'<th scope="col">{page.text(cell)}</th>' for cell in table.head)
  body = []
  for name, rows in table.parts:
    if name and rows:
      body.append(
        f'<tr class="part"><th scope="rowgroup" colspan="{len(table.head)}">{page.text(name)}</th></tr>'
      )
    for row in rows:
      cells = ''.join(map(_html_cell, row[1:]))
      body.append(f'<tr><th scope="row">{page.text(row[0])}</th>{cells}</tr>')
  label = page.text(table.caption)
  return (
    f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table class="study">'
    f'<caption>{label}</caption><thead><tr>{top}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
  )


def _html_cell(cell: str) -> str:
  """A cell; a figure with its interval stays on one line, what follows it goes below."""
  if not _FIGURE.match(cell):
    return f'<td>{page.text(cell)}</td>'
  figure, *others = map(page.text, cell.split('; '))
  return f'<td class="figure">{"<br>".join((f"<span>{figure}</span>", *others))}</td>'


def markdown(
  entries: Sequence[Mapping[str, Any]],
  data: Mapping[str, Any],
  circumstances: Mapping[str, Sequence[str]],
) -> str:
  """The same as Markdown, without the curves."""
  parts = [part for part in tables.sections(entries, circumstances) if not part.has_curves]
  return '\n'.join([f'# {tables.TITLE}', '', *markdown_head(entries, data), *markdown_lines(parts, '##')])


def markdown_head(entries: Sequence[Mapping[str, Any]], data: Mapping[str, Any]) -> list[str]:
  """The lines before the first section: how much of the study there is, and what to know before the figures."""
  lines = [f'{page_head.headline(entries)}. {page_head.images(data)}', '']
  for note in page_head.notes(entries):
    lines += [f'**{note}**', '']
  return lines


def markdown_lines(parts: Sequence[table_lib.Section], level: str) -> list[str]:
  """The lines of sections without their curves; `level` is the mark of a heading."""
  lines = []
  for part in parts:
    lines += [f'{level} {part.title}', '']
    many = len(part.paragraphs) > 1
    lines += [f'- {line}' if many else line for line in part.paragraphs]
    lines += [''] if part.paragraphs else []
    for table in part.tables:
      # The heading says what a table alone in its section is of.
      lines += [f'{wording.capital(table.caption)}:', ''] if len(part.tables) > 1 else []
      lines += _markdown_table(table)
  return lines


def _markdown_table(table: table_lib.Table) -> list[str]:
  def line(cells: Sequence[str]) -> str:
    return '| ' + ' | '.join(cell.replace('|', '\\|') for cell in cells) + ' |'

  lines = [line(table.head), '|' + '---|' * len(table.head)]
  for name, rows in table.parts:
    if name and rows:
      lines.append(line([f'**{name}**', *[''] * (len(table.head) - 1)]))
    lines += [line(row) for row in rows]
  return [*lines, '']
