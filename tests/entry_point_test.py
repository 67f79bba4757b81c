"""main.py as a user starts it: in processes of its own, on synthetic smears, without TensorFlow but once."""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import signal as system_signal
import subprocess
import sys

import numpy as np
import pytest
from starting import ROOT, TINY, read_rows, run


def test_a_run_leaves_the_files_of_the_contract(finished):
  folder, _ = finished
  present = {str(path.relative_to(folder)) for path in folder.rglob('*')}
  for name in ('config.json', 'environment.json', 'history.jsonl', 'metrics.json', 'report.html'):
    assert name in present
  assert {f'predictions/{split}.csv' for split in ('validation', 'test', 'test_originals')} <= present
  assert {'figures/history.png', 'figures/distribution.png', 'figures/confusion_test.png'} <= present
  assert any(name.startswith('events.out.tfevents') for name in present)
  assert not [name for name in present if pathlib.Path(name).name.startswith('.')]


def test_every_history_line_has_the_keys_of_the_contract(finished):
  folder, _ = finished
  lines = [json.loads(line) for line in (folder / 'history.jsonl').read_text().splitlines()]
  wanted = (
    'epoch step stage loss accuracy val_loss val_accuracy learning_rate seconds images_per_second wait_share'
  )
  assert [list(line) for line in lines] == [wanted.split()] * 2
  assert [line['step'] for line in lines] == [5, 10]


def test_every_image_is_predicted_once_and_counted_once(finished):
  folder, _ = finished
  rows = read_rows(folder / 'predictions/test.csv')
  entry = json.loads((folder / 'metrics.json').read_text())['test']
  # 4 classes x 6 photographs x 3 views.
  assert len(rows) == len({row['file'] for row in rows}) == entry['num_images'] == 72
  assert len({row['group'] for row in rows}) == entry['num_groups'] == 24
  assert sum(map(sum, entry['confusion'])) == 72


def test_everything_that_shows_a_figure_says_that_the_data_is_synthetic(finished):
  folder, out = finished
  assert 'synthetic' in (folder / 'report.html').read_text().lower()
  assert out.strip().splitlines()[-1].startswith('Synthetic data')
  assert all(
    'Synthetic' in entry['note'] for entry in json.loads((folder / 'metrics.json').read_text()).values()
  )


def test_the_page_refers_to_nothing_outside_itself(finished):
  page = (finished[0] / 'report.html').read_text()
  outside = r'(src|href)="(?!data:|#)'
  assert not re.search(outside, page)
  assert re.search(outside, '<img src="figures/history.png">'), 'the check itself must see a reference'


def test_the_same_command_again_says_complete_and_changes_nothing(finished):
  folder, _ = finished
  before = {path: path.read_bytes() for path in folder.glob('predictions/*.csv')}
  code, out, err = run(*TINY, f'--workdir={folder}')
  assert code == 0, err
  assert 'complete' in out
  assert {path: path.read_bytes() for path in folder.glob('predictions/*.csv')} == before


def test_a_run_of_another_config_is_refused_by_the_differing_key(finished):
  folder, _ = finished
  code, _, err = run(*TINY, f'--workdir={folder}', '--config.optimizer.learning_rate=0.5')
  assert code == 2
  assert 'optimizer.learning_rate was 0.001 and is 0.5' in err


def test_more_epochs_continue_the_run(finished, tmp_path):
  folder, _ = finished
  copy = tmp_path / 'copy'
  shutil.copytree(folder, copy)
  code, out, err = run(*TINY, f'--workdir={copy}', '--config.train.epochs=3')
  assert code == 0, err
  assert 'continuing after step 10 of 15' in out
  assert (copy / 'history.jsonl').read_text().startswith((folder / 'history.jsonl').read_text())


def test_a_stopped_run_continues_to_the_same_bits(finished, tmp_path):
  folder, _ = finished
  # At the end of the first epoch there is something to stop in the middle of.
  plan = {
    'at': 'history line', 'after': 0.0, 'nth': 1, 'delay': 0.0, 'note': str(tmp_path / 'note.json'),
    'is_at_once': True, 'signal': system_signal.SIGTERM,
  }  # fmt: skip
  code, _, err = run(*TINY, f'--workdir={tmp_path / "run"}', plan=plan)
  assert code == 75, err
  assert 0 < json.loads((tmp_path / 'note.json').read_text())['step'] < 10
  code, out, err = run(*TINY, f'--workdir={tmp_path / "run"}')
  assert code == 0, err
  assert 'continuing after step' in out
  for split in ('validation', 'test'):
    name = f'predictions/{split}.csv'
    assert (tmp_path / 'run' / name).read_bytes() == (folder / name).read_bytes()


def test_another_seed_gives_other_predictions(finished, tmp_path):
  folder, _ = finished
  code, _, err = run(*TINY, f'--workdir={tmp_path / "run"}', '--config.seed=1')
  assert code == 0, err
  name = 'predictions/test.csv'
  assert (tmp_path / 'run' / name).read_bytes() != (folder / name).read_bytes()


def test_evaluate_scores_the_splits_again_to_the_same_figures(finished):
  folder, _ = finished
  before = json.loads((folder / 'metrics.json').read_text())
  code, out, err = run('evaluate', f'--workdir={folder}')
  assert code == 0, err
  assert json.loads((folder / 'metrics.json').read_text()) == before
  assert 'test: macro_f1' in out


def test_evaluate_scores_any_folder_of_classes(finished, tmp_path):
  from bloodcell_jax.data.sources import embedded

  folder, _ = finished
  spec = embedded.Spec(num_train=2, num_test=0, num_copies=1, height=60, width=80, seed=5)
  for image in embedded.draw_all(spec):
    path = tmp_path / 'other' / image.class_name / pathlib.Path(image.file).name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image.png)
  code, out, err = run('evaluate', f'--workdir={folder}', f'--data_dir={tmp_path / "other"}')
  assert code == 0, err
  assert 'other: macro_f1' in out
  assert len(read_rows(folder / 'predictions/other.csv')) == 8
  notes = {name: entry['note'] for name, entry in json.loads((folder / 'metrics.json').read_text()).items()}
  assert notes['other'].startswith('Synthetic data in training: '), 'these images may be real'
  assert notes['test'].startswith('Synthetic data: ')

  (tmp_path / 'other' / 'NEUTROPHIL').rename(tmp_path / 'other' / 'BASOPHIL')
  code, _, err = run('evaluate', f'--workdir={folder}', f'--data_dir={tmp_path / "other"}')
  assert code == 2
  assert 'BASOPHIL' in err


@pytest.mark.parametrize(
  ('arguments', 'said'),
  [
    (['fly'], 'fly: no such command'),
    ([''], "'': no such command"),
    (['serve', '--most_megabytes=0'], '--most_megabytes is 0; it must be above 0'),
    ([], 'train needs a config'),
    (['--config=configs/nowhere.py'], 'no such config file'),
    (['--config=configs/cnn_b.py:lion'], 'lion'),
    (['--config=configs/default.py', '--config.train.epoch=3'], 'config.train.epoch'),
    (['--config=configs/default.py', '--config.trin.epochs=3'], 'did you mean --config.train.epochs'),
    (['--config=configs/default.py', '--config.train.epochs=0'], 'train.epochs is 0'),
    (
      ['--config=configs/default.py', '--config.data.source=kaggle', '--config.data.dir=/nowhere'],
      '/nowhere',
    ),
    (
      ['ensemble', '--combine=runs/a,runs/b'],
      '--combine=runs/a,runs/b: the flag takes no value; write --combine alone and the runs after it: ensemble ',
    ),
    (['predict', 'x.png', '--overlays=maybe'], 'the flag takes no value; write --overlays alone\n'),
    (['--config=configs/ensemble.py', 'ensemble'], 'ensemble: the command comes first; write '),
    # Negative control: a folder of this name.
    (['--workdir', 'ensemble'], 'train needs a config'),
    (
      ['--config=configs/default.py', '--config.train.epochs=1', '--config=configs/cnn_a.py'],
      '--config is given twice; give it once',
    ),
    (
      ['--config=configs/cnn_b.py', '--config.optimizer=adam'],
      'a section; give one of its keys, such as --config.opt',
    ),
    (
      ['--config=configs/cnn_b.py', '--config.evaluate.splits=test,validation'],
      "splits=\"('test','validation')\"",
    ),
    (['study', '--config=configs/cnn_b.py'], 'a study has a config of rows; start from configs/study.py'),
    (['evaluate'], '--workdir'),
    (['evaluate', '--workdir=nowhere'], 'no run here'),
    (['explain', '--workdir=nowhere', 'cell.png'], 'no run here'),
  ],
)
def test_bad_usage_is_one_line_that_names_it_and_exit_code_2(arguments, said, tmp_path):
  workdir = (
    []
    if any(a.startswith(('--workdir', 'evaluate', 'explain')) for a in arguments)
    else [f'--workdir={tmp_path}/run']
  )
  code, _, err = run(*arguments, *workdir)
  assert code == 2
  assert said in err
  assert len(err.strip().splitlines()) == 1, err


def test_debug_shows_the_traceback(tmp_path):
  code, _, err = run(
    '--config=configs/default.py', '--config.train.epochs=0', f'--workdir={tmp_path}', '--debug'
  )
  assert code != 0
  assert 'Traceback' in err


def test_help_lists_the_commands_and_a_command_its_flags():
  code, out, _ = run('--help')
  assert code == 0
  assert re.search(r'^  train +\S', out, re.M)
  code, out, _ = run('evaluate', '--help')
  assert code == 0
  assert '--data_dir' in out


def test_the_help_of_a_flag_says_how_to_switch_off_what_is_on_and_each_choice_once():
  _, out, _ = run('predict', '--help')
  switches = re.findall(r'--(\w+)=false for none', out)
  assert switches == ['overlays', 'heat_maps']
  _, out, _ = run('ensemble', '--help')
  assert out.count('gradient_boosting') == 1
  assert 'for none' not in out


AUGMENTED = (
  *(flag for flag in TINY if 'pipeline' not in flag),
  '--config.augment.rotation_range=20.',
  '--config.augment.width_shift_range=0.2',
  '--config.augment.quarter_turns=True',
  '--config.augment.featurewise_center=True',
)


def test_an_augmented_run_keeps_its_statistics_and_is_scored_with_them(tmp_path):
  folder = tmp_path / 'run'
  code, out, err = run(*AUGMENTED, f'--workdir={folder}', loads=('tensorflow',))
  assert code == 0, err
  assert 'fitting statistics on 96 training images' in out
  assert (folder / 'figures' / 'augmentation.png').exists()
  before = read_rows(folder / 'predictions' / 'test.csv')
  code, _, err = run('evaluate', f'--workdir={folder}')
  assert code == 0, err
  assert read_rows(folder / 'predictions' / 'test.csv') == before
  # Others of the same shapes give other predictions: they are really read from there.
  with np.load(folder / 'statistics.npz') as found:
    values = dict(found)
  np.savez(folder / 'statistics.npz', **{**values, 'mean_C': values['mean_C'] + 0.2})
  assert run('evaluate', f'--workdir={folder}')[0] == 0
  assert read_rows(folder / 'predictions' / 'test.csv') != before
  (folder / 'statistics.npz').write_bytes(b'PK')
  code, _, err = run('evaluate', f'--workdir={folder}')
  assert code == 2
  assert 'statistics.npz' in err
  assert len(err.splitlines()) == 1


def test_augment_draws_sheets_and_saves_images_but_over_nothing(tmp_path):
  code, _, err = run(
    'augment', *AUGMENTED, f'--workdir={tmp_path / "run"}', draws=True, loads=('tensorflow',)
  )
  assert code == 0, err
  assert sorted(path.name for path in (tmp_path / 'run' / 'figures').iterdir()) == [
    'augmentation.png',
    'augmentation_offline.png',
  ]
  save = ('augment', *AUGMENTED, f'--workdir={tmp_path / "run"}', f'--save_to_dir={tmp_path / "images"}')
  for _ in range(2):  # the same images again are no harm
    code, _, err = run(*save, '--num_images=5')
    assert code == 0, err
  saved = sorted((tmp_path / 'images').rglob('*.png'))
  assert len(saved) == 5
  code, _, err = run(*save, '--num_images=5', '--config.seed=0', '--config.augment.rotation_range=3.')
  assert code == 2
  assert 'exists with other content' in err


INTERRUPTED = """
import os, runpy, signal, sys
class Finder:
  def find_spec(self, name, path=None, target=None):
    if name == 'absl':
      os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
runpy.run_path('main.py', run_name='__main__')
"""


def test_ctrl_c_while_the_program_is_being_loaded_is_no_traceback():
  if os.name == 'nt':
    pytest.skip('Windows has no such signal')
  done = subprocess.run(
    [sys.executable, '-c', INTERRUPTED], cwd=ROOT, capture_output=True, text=True, timeout=60
  )
  assert (done.returncode, done.stderr) == (-system_signal.SIGINT, '')
