"""CSV files that users write, sound, damaged and hostile: rows, or one line that names the file."""

from __future__ import annotations

import mutation
import numpy as np
import pytest
import victims

from bloodcell_jax.base import types
from bloodcell_jax.data.sources import csv_rows

SOUND = {
  'groups': b'file,group,source\nA/a.png,1,x\nA/b.png,2,y\n',
  'labels': b'file,label,sha256_16\nA/a.png,X,\nA/b.png,Y,\n',
  'inputs': b'file\nimages/A/a.png\nimages/A/b.png\n',
  'predictions': b'file,label,group,predicted,confidence,prob_A,prob_B\na,A,g,A,0.9,0.9,0.1\nb,B,h,A,0.6,0.6,0.4\n',
}


def test_rows_come_with_the_words_that_name_their_lines(tmp_path):
  path = tmp_path / 'x.csv'
  path.write_text('\ufefffile,group\na.png,1\n"b, c.png",\n')
  assert csv_rows.read(str(path), ('file', 'group'), '') == [
    (f'{path}: line 2', {'file': 'a.png', 'group': '1'}),
    (f'{path}: line 3', {'file': 'b, c.png', 'group': ''}),
  ]


@pytest.mark.parametrize('bad', ['a\0.png', 'a\x0b.png', '"a\nb.png"', 'a\x7f.png'])
def test_control_characters_are_refused_by_line_and_column(tmp_path, bad):
  path = tmp_path / 'x.csv'
  path.write_text(f'file,group\na.png,1\n{bad},2\n', newline='')
  with pytest.raises(
    types.UserError, match=r'line [34] has control characters in the column file; remove them'
  ):
    csv_rows.read(str(path), ('file',), '')


@pytest.mark.parametrize('kind', SOUND)
def test_a_damaged_file_is_read_or_refused_in_one_line(kind):
  generator = np.random.default_rng(0)
  assert victims.read_csv((SOUND[kind], kind)) == 'ok'
  names = list(SOUND)
  for _ in range(150):
    other = SOUND[names[int(generator.integers(len(names)))]]
    message = victims.read_csv((mutation.mutated(SOUND[kind], other, generator), kind))
    assert message == 'ok' or message.startswith('refused: ')
