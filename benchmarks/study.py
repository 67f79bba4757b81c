"""Puts the table of a study into docs/study.md and five rows of it into README.md, so that no figure is typed by hand.

python -m benchmarks.study runs/study

Reads the folder and leaves it as it is. README.md is left as it is until its rows are complete.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from bloodcell_jax.base import types
from bloodcell_jax.config import study as study_config
from bloodcell_jax.plots import figure, study_curves
from bloodcell_jax.study import length_table, page_head, run_folder, study_page, table, tables
from bloodcell_jax.system import atomic
from configs import study

ROOT = pathlib.Path(__file__).parent.parent
BEGIN, END = '<!-- begin: python -m benchmarks.study writes this -->', '<!-- end -->'
PICTURE = 'study.png'
# Rows of README.md's table: the study's networks, what fine-tuning and the crop add, and several networks.
README_ROWS = ('cnn_b-rmsprop', 'cnn_b-augmented', 'vgg16-rmsprop', 'vgg16-crop-rmsprop', 'averaged')
ALT = 'training and validation accuracy by update, a panel a row'


def main(arguments: Sequence[str]) -> None:
  """Writes the pages from the folder of a study."""
  if len(arguments) != 1 or arguments[0].startswith('-'):
    sys.exit('usage: python -m benchmarks.study FOLDER')
  root = pathlib.Path(arguments[0])
  if not root.is_dir():
    raise types.UserError(f'{root}: no study here; run one first')
  write(study_config.resolve(study.get_config()), root, ROOT)


def write(rows: Sequence[study_config.Row], root: pathlib.Path, project: pathlib.Path) -> None:
  """Writes the parts of docs/study.md and README.md, and the curves.

  Args:
    rows: of the study.
    root: its folder.
    project: holds README.md and docs/.
  """
  entries, data, circumstances = study_page.read(rows, root)
  note = ' '.join(page_head.notes(entries)[:-1])
  figure.write(project / 'docs' / PICTURE, study_curves.plot(study_page.panels(rows, entries, root)), note)
  replace(project / 'docs' / 'study.md', docs_lines(entries, data, circumstances))
  by_name = {entry['name']: entry for entry in entries}
  missing = [name for name in README_ROWS if by_name[name]['state'] != run_folder.COMPLETE]
  if missing:
    print(f'README.md is left as it is: not complete are {", ".join(missing)}')
  else:
    replace(project / 'README.md', readme_lines([by_name[name] for name in README_ROWS]))


def docs_lines(
  entries: Sequence[Mapping[str, Any]], data: Mapping[str, Any], circumstances: Mapping[str, Sequence[str]]
) -> list[str]:
  """The part of docs/study.md: all of the page but the list of its folders."""
  lines = study_page.markdown_head(entries, data)
  for part in tables.sections(entries, circumstances):
    if part.name == 'runs':
      # Without the first sentence and the table, which are about folders that a reader does not have.
      part = dataclasses.replace(part, title='When and how', paragraphs=part.paragraphs[1:], tables=[])
    lines += study_page.markdown_lines([part], '###')
    if part.has_curves:
      lines += [f'![{ALT}]({PICTURE})', '']
  return lines


def readme_lines(entries: Sequence[Mapping[str, Any]]) -> list[str]:
  """The table of README.md."""
  known = [split for split in ('test_clean', 'test') if any(split in entry['metrics'] for entry in entries)]
  head = ['network', "the study's figure", *(table.TITLES[split] for split in known), 'length']
  lines = ['| ' + ' | '.join(head) + ' |', '|---|---|' + '---:|' * len(known) + '---|']
  for entry in entries:
    figures = [tables.accuracy(entry, split) for split in known]
    cells = [entry['title'], tables.published(entry), *figures, length_table.cell(entry)]
    lines.append('| ' + ' | '.join(cells) + ' |')
  return ['', *lines, '']


def replace(path: pathlib.Path, lines: Sequence[str]) -> None:
  """Replaces what stands between the marks of a page.

  Raises:
    UserError: the page does not have both marks once.
  """
  text = path.read_text()
  if (text.count(BEGIN), text.count(END)) != (1, 1) or text.index(BEGIN) > text.index(END):
    raise types.UserError(f'{path}: must have the lines {BEGIN!r} and {END!r} once each, in this order')
  before, _, rest = text.partition(BEGIN)
  after = rest.partition(END)[2]
  atomic.write_text(path, '\n'.join([f'{before}{BEGIN}', *lines, f'{END}{after}']))


if __name__ == '__main__':
  try:
    main(sys.argv[1:])
  except types.UserError as error:
    sys.exit(str(error))
