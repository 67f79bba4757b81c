"""When, where and by which commands a study was trained."""

from __future__ import annotations

import pytest
import tiny

from bloodcell_jax.study import circumstances, study_page, tables
from bloodcell_jax.system import atomic

MACHINE = {
  'bloodcell_jax': '0.1.0', 'python': '3.11.7', 'platform': 'Linux', 'num_cores': 2,
  'packages': {'jax': '0.10', 'flax': '0.12', 'optax': '0.2'},
  'devices': [{'platform': 'cpu', 'kind': 'cpu'}],
}  # fmt: skip


def trained(root, name, date, *commands):
  """A finished run with the head lines of its log."""
  (row,) = tiny.rows(tiny.study.row('N', name, name, tiny.DEFAULT, tiny.TINY))
  run = tiny.run_of(row, root)
  tiny.complete(run, {'test': 30})
  run.folder.write_config(run.folder.read_config())
  known = run.folder.read_environment()
  atomic.write_json(run.folder.environment, {**known, **MACHINE, 'date': date})
  lines = [f'--- {date} 0{hour}:00:00 +0000 {command}\nepoch 1\n' for hour, command in enumerate(commands)]
  run.folder.log.write_text(''.join(lines))
  return run.folder


def test_each_date_machine_and_command_is_named_once_and_no_place_on_this_machine(tmp_path):
  begun = "/anywhere/main.py study --budget=0.2 --config.data.dir='/anywhere/my images' --workdir=/anywhere/x"
  more = 'main.py study --rows=b'
  folders = [
    trained(tmp_path, 'b', '2026-11-28', more, f'{more} --report_only'),
    trained(tmp_path, 'a', '2026-11-27', begun, begun, 'main.py evaluate --workdir=a'),
  ]
  found = circumstances.collect(folders, tmp_path)
  assert found['dates'] == ['2026-11-27', '2026-11-28']
  assert found['machines'] == ['Linux, 2 cores, 1 x cpu']
  assert found['versions'] == ['bloodcell_jax 0.1.0, Python 3.11.7, jax 0.10, flax 0.12, optax 0.2']
  assert found['commands'] == ['python main.py study --budget=0.2 --config.data.dir=FOLDER', f'python {more}']


@pytest.mark.parametrize(
  ('given', 'shown'),
  [
    ('--config.data.dir /anywhere/x --workdir /anywhere/s --rows=b', '--config.data.dir=FOLDER --rows=b'),
    ('--config.data.groups_csv=/anywhere/g.csv --seeds=3', '--config.data.groups_csv=FILE --seeds=3'),
    ('--config.weights.path=/anywhere/w.npz', '--config.weights.path=FILE'),
    ('--config.weights.path=pbc --report_only=no', '--config.weights.path=pbc'),
    ('--seeds 3 --budget=0.5', '--seeds 3 --budget=0.5'),
  ],
)
def test_no_spelling_of_a_place_is_on_the_page(given, shown):
  assert circumstances._without_places(f'main.py study {given}').startswith(f'python main.py study {shown}')


def test_a_study_of_which_nothing_is_known_says_nothing(tmp_path):
  found = circumstances.collect([], tmp_path)
  assert found == {'dates': [], 'machines': [], 'versions': [], 'commands': []}
  assert len(tables.sections([], found)[-1].paragraphs) == 1


def test_the_page_names_them(tmp_path):
  rows = tiny.rows(tiny.study.row('N', 'a', 'a', tiny.DEFAULT, tiny.TINY))
  trained(tmp_path, 'a', '2026-11-27', 'main.py study --budget=0.2')
  study_page.write(rows, tmp_path)
  text = (tmp_path / 'study.md').read_text()
  for words in (
    'Trained on 2026-11-27.',
    'Machine: Linux, 2 cores',
    'Command: python main.py study --budget=0.2.',
  ):
    assert words in text
