"""What an audit compares: the pixels that training sees; what it cannot compare it says."""

from __future__ import annotations

import os
import pathlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from bloodcell_jax.audit import grouping, near_duplicates, scan, summary
from bloodcell_jax.data.images import copies, decode
from bloodcell_jax.data.sources import folders, smear


def draw(seed: int) -> np.ndarray:
  return smear.draw('EOSINOPHIL', np.random.default_rng(seed), 120, 160)


def save(path: pathlib.Path, image_HWC: np.ndarray, kind: str) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  if kind == 'png':
    Image.fromarray(image_HWC).save(path.with_suffix('.png'))
  elif kind == '12 bits':
    tifffile.imwrite(path.with_suffix('.tif'), image_HWC.astype(np.uint16) * 16, photometric='rgb')
  elif kind == '16 bits in planes':
    wide = np.moveaxis(image_HWC.astype(np.uint16) * 257, -1, 0)
    tifffile.imwrite(path.with_suffix('.tif'), wide, photometric='rgb', planarconfig='separate')
  elif kind == 'float':
    tifffile.imwrite(path.with_suffix('.tif'), image_HWC.astype(np.float32) / 255, photometric='rgb')
  else:
    alpha = np.zeros_like(image_HWC[..., :1])
    Image.fromarray(np.concatenate([image_HWC, alpha], -1)).save(path.with_suffix('.png'))


def found(folder: pathlib.Path) -> tuple[scan.Scan, near_duplicates.Duplicates]:
  scanned = scan.read(folders.table(str(folder), '', '')[0], 10**7, lambda: None, lambda done, total: None)
  equal_N = grouping.with_pairs(scanned.pixels_N, copies.pairs(scanned.signature_ND, lambda: None))
  return scanned, near_duplicates.find(
    scanned.points,
    equal_N,
    lambda row: decode.upright(scanned.table.content[row], 10**7),
    np.random.default_rng(0),
    os.cpu_count() or 1,
    lambda: None,
    lambda text: None,
  )


@pytest.mark.parametrize('kind', ['png', '12 bits', '16 bits in planes', 'float', 'alpha 0'])
def test_a_shifted_copy_between_splits_is_found_however_the_images_are_stored(tmp_path, kind):
  for seed in range(4):
    save(tmp_path / 'TRAIN' / 'A' / f'a{seed}', draw(seed), kind)
    save(tmp_path / 'TEST' / 'A' / f'b{seed}', draw(10 + seed), kind)
  save(tmp_path / 'TEST' / 'A' / 'leak', np.roll(draw(0), 12, 1).clip(0, 253) + 2, kind)
  scanned, duplicates = found(tmp_path)
  leaking = grouping.with_several(duplicates.group_N, summary.sides(scanned.table))
  assert [sorted(pathlib.Path(f).stem for f in scanned.table.file[rows]) for rows in leaking] == [
    ['a0', 'leak']
  ]
  assert summary.not_compared(scanned, duplicates.group_N, 0)['images'] == 0
  assert bool(scanned.notes) == (kind != 'png')


@pytest.mark.parametrize('side', [120, 60, 40])
def test_a_reduced_copy_under_any_name_is_of_the_same_group(tmp_path, side):
  for seed in range(4):
    save(tmp_path / 'A' / f'{seed}', draw(seed), 'png')
  small = Image.fromarray(draw(2)).resize((side, side * 3 // 4))
  small.save(tmp_path / 'A' / 'zz.jpg', quality=80)
  scanned, duplicates = found(tmp_path)
  (rows,) = grouping.repeated(duplicates.group_N)
  assert scanned.table.file[rows].tolist() == ['A/2.png', 'A/zz.jpg']


def test_images_without_content_are_said_not_to_be_compared(tmp_path):
  save(tmp_path / 'A' / 'drawn', draw(0), 'png')
  save(tmp_path / 'A' / 'flat', np.full((120, 160, 3), 200, np.uint8), 'png')
  scanned, duplicates = found(tmp_path)
  assert summary.not_compared(scanned, duplicates.group_N, 0) == {
    'images': 1, 'outside_sample': 0, 'few_keypoints': 1, 'left_out': 0, 'files': ['A/flat.png'],
  }  # fmt: skip


def test_folders_of_patients_are_proposed_as_groups_that_leave_no_group_apart(tmp_path):
  for name in ('A', 'B'):
    for patient in range(3):
      for i in range(2):
        save(
          tmp_path / name / f'patient_{patient}' / f'{name}{i}',
          draw(100 * ord(name) + 10 * patient + i),
          'png',
        )
  table = folders.table(str(tmp_path), '', '')[0]
  own_N = np.arange(12)
  by_folder_N = summary.by_folder(table, own_N)
  assert by_folder_N is not None
  assert len(set(by_folder_N.tolist())) == 3, 'a patient of two classes is one'
  joined_N = own_N.copy()
  joined_N[11] = 0  # the last patient of B shows what the first of A does
  united_N = summary.by_folder(table, joined_N)
  assert united_N is not None
  assert len(set(united_N.tolist())) == 2
  assert summary.subfolders(table, own_N)['groups'] == 3
  flat = table.take([0, 1])
  assert summary.by_folder(flat, np.arange(2)) is None, 'one folder is no grouping'
