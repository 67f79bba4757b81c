"""What programs leave among images is passed over and counted; images and classes are not."""

from __future__ import annotations

import pytest

from bloodcell_jax.data.images import image_files, litter
from bloodcell_jax.data.sources import folders, input_paths

FOLDERS = (
  '@eaDir', '#recycle', '#snapshot', '@Recycle', '.@__thumb', '.snapshot', '$RECYCLE.BIN', 'System Volume Information',
  'RECYCLER', '__MACOSX', '.Trashes', '.Spotlight-V100', '.fseventsd', '.AppleDouble', '.TemporaryItems', '.Trash-1000',
  '.thumbnails', 'lost+found', '.ipynb_checkpoints', '__pycache__', '.picasaoriginals', 'Thumbnails', '.git', '.cache',
  '@SynoResource', '@GMT-2024.01.01-00.00.00', 'OneDriveTemp', 'MSOCache', '@sharebin', 'Network Recycle Bin 1',
  'recycle',
  'TheVolumeSettingsFolder', 'Adobe Bridge Cache', 'CVS', 'node_modules', 'Deleted Items',
  'Network Trash Folder', '@Recently-Snapshot', '@tmp', 'LOST.DIR', 'Papierkorb', 'Previews.lrdata',
  '$WinREAgent', 'Config.Msi', 'DfsrPrivate', 'Recycle Bin - Volume_1', '@__thumb', 'trashbox', '_recycle', 'Lixeira',
  'Prullenbak', 'site-packages', 'venv', 'Papelera de reciclaje', '#trash',
)  # fmt: skip
FILES = (
  'Thumbs.db', 'Thumbs.db:encryptable', 'ehthumbs_vista.db', 'desktop.ini', '~$list.xlsx', '.DS_Store', '._1.png',
  'Icon\r', '.directory', '.nfs000001', 'a.png~', 'a.tmp', '.~lock.list.csv#', 'Picasa.ini', '1.xmp', 'digikam4.db',
  'a.png.download', 'list.gsheet', 'sync.ffs_db', 'a.png.filepart', 'a.png.aria2', 'swapfile.sys',
  '#a.png#', 'a.png.orig', 'thumbcache_256.db', 'AlbumArtSmall.jpg', 'autorun.inf',
  'FILE0000.CHK', '1.pp3', '1.png:com.apple.quarantine', '1.png:AFP_AfpInfo', 'WPSettings.dat', 'NTUSER.DAT.LOG1',
  'a.png:Zone.Identifier', '.smbdelete1', '1.png@SynoEAStream', 'Shortcut.lnk', '.bridgecache',
)  # fmt: skip


def write(path):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(str(path).encode())


@pytest.mark.parametrize('name', FOLDERS)
def test_what_lies_in_a_folder_of_other_programs_is_no_image_and_no_class(tmp_path, name):
  for inside in (
    'A/1.png',
    'B/2.png',
    f'A/{name}/3.png',
    f'A/{name}/deep/4.png',
    f'{name}/A/5.png',
    f'{name}/6.png',
  ):
    write(tmp_path / inside)
  found = folders.read(str(tmp_path), '', '')
  assert found.table.file.tolist() == ['A/1.png', 'B/2.png']
  assert found.problems == []
  assert 'passed over, as left by other programs: 2 ' in '\n'.join(found.remarks)
  paths = input_paths.read([str(tmp_path)])
  assert len(paths.inputs) == 2
  assert sum(paths.passed_over.times.values()) == 2
  assert 'passed over' in '\n'.join(paths.remarks())


@pytest.mark.parametrize('name', FILES)
def test_files_of_other_programs_are_no_problem_and_counted(tmp_path, name):
  write(tmp_path / 'A/1.png')
  write(tmp_path / 'A' / name)
  passed_over = litter.tally()
  found = image_files.read_listing(str(tmp_path), '', True, passed_over)
  assert (found.names, found.problems) == (['A/1.png'], [])
  assert sum(passed_over.times.values()) == 1


@pytest.mark.parametrize(
  'name', ['NEUTROPHIL', 'cache miss', 'thumb.png', 'recycle.png', 'a~b.png', 'icon.png', '~.png', 'eaDir', 'Trash',
   '@1.png', 'albumart', 'download', '12:30.png', 'recycled cells', 'original', '#1 cell.png']
)  # fmt: skip
def test_what_may_be_a_class_or_an_image_is_no_litter(name):
  assert litter.kind(name) == ''


@pytest.mark.parametrize(
  'name', ['.1.png.icloud', '1.png.icloud', '2.JPG.nextcloud', '2.tif.owncloud', '3.jpeg.cloudf']
)
def test_what_a_cloud_drive_leaves_for_an_image_is_a_problem_and_not_passed_over(tmp_path, name):
  write(tmp_path / 'A/0.png')
  write(tmp_path / 'A' / name)
  found = folders.read(str(tmp_path), '', '')
  assert found.table.file.tolist() == ['A/0.png']
  (problem,) = found.problems
  assert problem.file == f'A/{name}'
  assert 'the image is not on this computer; download it' in problem.reason
  assert image_files.is_image(name)
  # Negative control: the same of a file that is no image.
  other = (
    name.replace('1.png', 'list.csv')
    .replace('2.JPG', 'list.csv')
    .replace('2.tif', 'a')
    .replace('3.jpeg', 'a')
  )
  assert not image_files.is_image(other)


def test_the_line_is_short_however_much_there_is():
  passed_over = litter.tally()
  assert passed_over.line() == ''
  for number in range(30):
    passed_over.times[f'kind {number}'] += 1
  passed_over.times[litter.RUN] += 2
  assert len(passed_over.line()) < 250
  assert '26 others' in passed_over.line()
  assert passed_over.line().endswith('2 folders')
