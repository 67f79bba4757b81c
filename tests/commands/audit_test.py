"""`python main.py audit` as a user starts it: what it finds, what it leaves, how it ends."""

from __future__ import annotations

import csv
import io
import json
import pathlib
import signal
import time

import numpy as np
import pytest
from PIL import Image
from starting import run, start

from bloodcell_jax.audit import grouping, near_duplicates, scan, summary
from bloodcell_jax.data.images import decode
from bloodcell_jax.data.sources import folders, kaggle, smear

SHARED = (('00257', '00230'), ('00204', '00277'), ('00264', '00224'), ('00377', '00400'))


def draw(class_name: str, seed: int) -> Image.Image:
  return Image.fromarray(smear.draw(class_name, np.random.default_rng(seed), 120, 160))


def write_clean(folder: pathlib.Path) -> None:
  """Ten photographs a class to train and three to test, all of other fields."""
  for number, class_name in enumerate(('EOSINOPHIL', 'LYMPHOCYTE')):
    for split, seeds in (('TRAIN', range(10)), ('TEST', range(10, 13))):
      (folder / split / class_name).mkdir(parents=True)
      for seed in seeds:
        draw(class_name, 100 * number + seed).save(folder / split / class_name / f'{seed}.png')


def read_rows(path: pathlib.Path) -> list[dict[str, str]]:
  return list(csv.DictReader(path.read_text().splitlines()))


@pytest.fixture(scope='module')
def leaky(tmp_path_factory) -> tuple[pathlib.Path, pathlib.Path, int, str]:
  """The images, what the audit left, its exit code and what it printed: one leak and one label in dispute."""
  images, left = tmp_path_factory.mktemp('leaky'), tmp_path_factory.mktemp('audit')
  write_clean(images)
  train = images / 'TRAIN' / 'EOSINOPHIL'
  turned = Image.open(train / '0.png').rotate(12).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
  turned.save(images / 'TEST' / 'EOSINOPHIL' / 'other.jpeg', quality=80)
  # The same pixels in other bytes, under the other class.
  Image.open(train / '1.png').save(images / 'TRAIN' / 'LYMPHOCYTE' / 'again.bmp')
  (images / 'TRAIN' / 'EOSINOPHIL' / 'twice.png').write_bytes((train / '2.png').read_bytes())
  code, out, err = run(
    'audit', '--config.data.source=folders', f'--config.data.dir={images}', f'--workdir={left}'
  )
  assert code in (0, 3), err
  return images, left, code, out


def test_a_turned_and_mirrored_copy_in_the_test_split_is_a_leak_and_ends_in_3(leaky):
  _, left, code, out = leaky
  assert code == 3
  assert out.strip().splitlines()[-1].startswith('LEAK: 1 of the 7 images of TEST')
  numbers = json.loads((left / 'audit.json').read_text())
  assert numbers['leak']
  assert numbers['leaking_groups']['number'] == 1
  pairs = [row for row in read_rows(left / 'pairs.csv') if row['split_a'] != row['split_b']]
  assert len(pairs) == 1
  assert {pairs[0]['file_a'], pairs[0]['file_b']} == {'TEST/EOSINOPHIL/other.jpeg', 'TRAIN/EOSINOPHIL/0.png'}
  assert (pairs[0]['kind'], pairs[0]['mirrored']) == ('near', '1')
  assert (left / 'figures' / 'between_splits.png').exists()


def test_equal_pixels_in_other_bytes_and_their_two_labels_are_reported(leaky):
  numbers = json.loads((leaky[1] / 'audit.json').read_text())
  assert numbers['equal_bytes']['files'] == [['TRAIN/EOSINOPHIL/2.png', 'TRAIN/EOSINOPHIL/twice.png']]
  assert numbers['equal_bytes']['sets_of_several_labels'] == 0
  assert ['TRAIN/EOSINOPHIL/1.png', 'TRAIN/LYMPHOCYTE/again.bmp'] in numbers['equal_pixels']['files']
  assert numbers['equal_pixels']['sets_of_several_labels'] == 1
  assert numbers['conflicting_labels']['number'] == 1
  assert (leaky[1] / 'figures' / 'conflicting_labels.png').exists()


def test_the_proposed_groups_are_read_by_the_folders_source_and_hold_the_copies(leaky):
  images, left, _, _ = leaky
  table, problems = folders.table(str(images), str(left / 'groups.csv'), '')
  assert problems == []
  group_of = dict(zip(table.file.tolist(), table.group.tolist(), strict=True))
  assert group_of['TEST/EOSINOPHIL/other.jpeg'] == group_of['TRAIN/EOSINOPHIL/0.png']
  assert group_of['TRAIN/LYMPHOCYTE/again.bmp'] == group_of['TRAIN/EOSINOPHIL/1.png']
  # 26 drawn, and three that were copied from them.
  assert (len(table), len(set(group_of.values()))) == (29, 26)


def audit_clean(folder: pathlib.Path, *arguments: str) -> tuple[int, str, str]:
  """Exit code, output and errors; the images are in `images`, the results in `left`."""
  write_clean(folder / 'images')
  source = ('--config.data.source=folders', f'--config.data.dir={folder / "images"}')
  return run('audit', *source, f'--workdir={folder / "left"}', *arguments)


def test_a_clean_folder_ends_in_0(tmp_path):
  code, out, err = audit_clean(tmp_path)
  assert code == 0, err
  assert out.strip().splitlines()[-1] == 'no leak found between splits'
  assert json.loads((tmp_path / 'left' / 'audit.json').read_text())['not_compared']['images'] == 0


def test_a_sample_of_a_clean_folder_ends_in_4_and_leaves_no_pair(tmp_path):
  code, out, err = audit_clean(tmp_path, '--max_images=20')
  assert code == 4, err
  assert '20 of 26 images' in out
  assert out.strip().splitlines()[-1].startswith('NOT COMPARED: 6 images (6 outside the sample)')
  assert [row for row in read_rows(tmp_path / 'left' / 'pairs.csv') if row['kind'] != 'touching'] == []
  counted = json.loads((tmp_path / 'left' / 'audit.json').read_text())['counts']
  # Evenly: all of the small split, and the rest from the large one.
  assert [counted[split]['LYMPHOCYTE']['images'] for split in ('TEST', 'TRAIN')] == [3, 7]


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (['somewhere'], 'somewhere: name the folder'),
    (['--config.data.source=folders', '--config.data.dir=/nowhere'], '/nowhere'),
    (['--config.data.sorce=folders'], 'did you mean --config.data.source'),
  ],
)
def test_bad_usage_is_one_line_and_exit_code_2(arguments, message, tmp_path):
  code, _, err = run('audit', *arguments, f'--workdir={tmp_path / "left"}')
  assert code == 2
  assert message in err
  assert len(err.strip().splitlines()) == 1, err
  assert not (tmp_path / 'left').exists()


def test_a_stop_ends_in_75_and_leaves_nothing(tmp_path):
  smears = (
    '--config.data.embedded.num_train=50',
    '--config.data.embedded.height=60',
    '--config.data.embedded.width=80',
  )
  process = start('audit', *smears, f'--workdir={tmp_path / "left"}')
  assert process.stdout is not None
  process.stdout.readline()  # reading has begun
  time.sleep(0.3)
  process.send_signal(signal.SIGTERM)
  process.communicate(timeout=100)
  assert process.returncode == 75
  assert not (tmp_path / 'left').exists()


def test_an_image_that_cannot_be_read_is_left_out_of_the_scan_with_its_reason(tmp_path):
  (tmp_path / 'A').mkdir()
  draw('MONOCYTE', 1).save(tmp_path / 'A' / 'good.png')
  (tmp_path / 'A' / 'bad.png').write_bytes(b'no image')
  table, _ = folders.table(str(tmp_path), '', '')
  scanned = scan.read(table, 10**8, lambda: None, lambda done, total: None)
  assert scanned.table.file.tolist() == ['A/good.png']
  assert [problem.file for problem in scanned.problems] == ['A/bad.png']
  buffer = io.BytesIO()
  draw('MONOCYTE', 1).save(buffer, 'BMP')
  (tmp_path / 'A' / 'same.bmp').write_bytes(buffer.getvalue())
  scanned = scan.read(folders.table(str(tmp_path), '', '')[0], 10**8, lambda: None, lambda done, total: None)
  assert len(set(scanned.pixels_N.tolist())) == 1
  assert len(set(scanned.table.digest.tolist())) == 2


def test_the_groups_of_real_images_are_their_photographs_and_the_shared_cells_are_found(real_images):
  """A sample: the test photographs that TRAIN shows too, and others of both splits, ten copies of each at most."""
  table, _ = kaggle.table(str(real_images))
  source_N = np.array([name.split('_')[-1].split('.')[0] for name in table.source.tolist()])
  wanted = {source for pair in SHARED for source in pair} | set(np.unique(source_N)[::12].tolist())
  rows = [
    row
    for source in sorted(wanted)
    for row in np.flatnonzero((source_N == source) & np.isin(table.split, ('TRAIN', 'TEST')))[:10]
  ]
  scanned = scan.read(table.take(rows), 10**8, lambda: None, lambda done, total: None)
  actual = near_duplicates.find(
    scanned.points,
    scanned.pixels_N,
    lambda row: decode.upright(scanned.table.content[row], 10**8),
    np.random.default_rng(0),
    2,
    lambda: None,
    lambda text: None,
  )
  agreement = grouping.agreement(actual.group_N, scanned.table.group)
  assert agreement.precision >= 0.99
  assert agreement.recall >= 0.95
  here = source_N[rows]
  for test, train in SHARED:
    assert set(actual.group_N[here == test].tolist()) & set(actual.group_N[here == train].tolist())
  numbers = summary.names(scanned.table, scanned.histogram_ND, actual.group_N, 0)
  assert all(rule['leaks'] for rule in numbers.values())
