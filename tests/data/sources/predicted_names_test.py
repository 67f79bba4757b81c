"""The names that `predict` gives to images of patterns and of several folders are found again in lists of labels."""

import pytest
from written import write

from bloodcell_jax.base import types
from bloodcell_jax.data.images import image_files
from bloodcell_jax.data.sources import folders, input_paths


def listed(folder, text):
  path = folder.parent / 'labels.csv'
  path.write_text(text, encoding='utf-8')
  return str(path)


@pytest.fixture
def days(tmp_path, monkeypatch):
  write(tmp_path / 'work' / 'slides', 'mon/m.png', 'mon/same.png', 'tue/deep/t.png', 'tue/same.png')
  monkeypatch.chdir(tmp_path / 'work')
  return tmp_path / 'work'


@pytest.mark.parametrize(
  'paths', [['slides/**/*.png'], ['slides/mon', 'slides/tue'], ['../slides/mon', '../slides/tue']]
)
def test_the_names_that_predict_gives_are_found_again_where_the_digest_stands_beside_them(
  days, monkeypatch, paths
):
  (days / 'notes').mkdir()
  monkeypatch.chdir(days / 'notes' if paths[0].startswith('..') else days)
  found = input_paths.read(paths).inputs
  assert {'m.png'} < {one.shown for one in found}
  rows = [(one.shown, f'sha256:{image_files.digests([one.path])[0]}') for one in found]

  def read(rows):
    text = ''.join(f'{file},{digest},{"AB"[i % 2]}\n' for i, (file, digest) in enumerate(rows))
    return folders.table(str(days / 'slides'), '', listed(days, f'file,sha256_16,human_label\n{text}'))[0]

  wanted = ['mon/m.png', 'mon/same.png', 'tue/deep/t.png', 'tue/same.png']
  assert sorted(read(rows).file.tolist()) == wanted
  # Negative control: without its digest an image is not taken for another of that name, but told.
  bare = next(row for row in rows if row[0] == 'm.png')
  with pytest.raises(
    types.UserError, match=r'm\.png is not a file in the folder .* \(mon/m\.png is there\)$'
  ):
    read([(bare[0], '')])
  # Of two images of one name the digest tells the one that is meant.
  same = next(row for row in rows if row[0].endswith('mon/same.png'))
  for name in ('mon/same.png', 'same.png'):
    assert read([(name, same[1])]).file.tolist() == ['mon/same.png']
  # Also where an image of that name lies in the folder itself.
  (days / 'slides' / 'same.png').write_bytes(b'another image')
  assert read([('same.png', same[1])]).file.tolist() == ['mon/same.png']
  (days / 'slides' / 'same.png').unlink()
  # Negative controls: the digest of none of them, and of both.
  said = r'mon/same\.png or tue/same\.png; write the one that is meant'
  with pytest.raises(types.UserError, match=said):
    read([('same.png', bare[1])])
  (days / 'slides/tue/same.png').write_bytes(b'mon/same.png')
  with pytest.raises(types.UserError, match=said):
    read([('same.png', same[1])])


def test_a_path_that_leads_out_of_the_folder_stays_refused_beside_a_digest(days):
  (days / 'm.png').write_bytes(b'mon/m.png')
  digest = image_files.sha256_16(b'mon/m.png')
  for name in ('../m.png', '../gone/m.png'):
    with pytest.raises(types.UserError, match=r'm\.png, which is not inside the folder of the data'):
      folders.table(str(days / 'slides'), '', listed(days, f'file,sha256_16,label\n{name},{digest},A\n'))
