"""What a folder was taken for is told where a person may have meant something else."""

from written import write

from bloodcell_jax.data.sources import folders


def test_a_folder_whose_images_are_rarely_of_one_class_is_told(tmp_path):
  found = folders.read(write(tmp_path, 'A/1.png', 'B/2.png', 'New folder/3.png', 'Unlabelled/4.png'), '', '')
  (line,) = [line for line in found.remarks if 'taken for a class' in line]
  assert line.startswith('  New folder, Unlabelled: ')
  (tmp_path / 'New folder').rename(tmp_path / 'C')
  (tmp_path / 'Unlabelled').rename(tmp_path / 'D')
  assert not [line for line in folders.read(str(tmp_path), '', '').remarks if 'taken for a class' in line]


def test_classes_inside_classes_are_told_as_such_and_not_as_patients(tmp_path):
  files = [f'{above}/{below}/{i}{below}.png' for above, below in
           (('granulocytes', 'eosinophil'), ('granulocytes', 'neutrophil'), ('others', 'monocyte'))
           for i in range(2)]  # fmt: skip
  remarks = folders.read(write(tmp_path, *files), '', '').remarks
  (line,) = [line for line in remarks if 'sub-folders' in line]
  assert line.endswith(
    'each counts as the class folder above it. If eosinophil is a class of its own, move its folder up'
  )


def test_names_that_hold_backslashes_say_what_unpacked_them(tmp_path):
  found = folders.read(write(tmp_path, 'A/1.png', 'B/2.png', 'A\\3.png'), '', '')
  (problem,) = found.problems
  assert 'unpack the archive again with another program' in problem.reason


def test_the_folder_of_one_split_names_the_others_beside_it(tmp_path):
  files = [f'{split}/{name}/{split}{name}.png' for split in ('Train', 'Test', 'val') for name in 'AB']
  write(tmp_path, *files)
  (line,) = [line for line in folders.read(str(tmp_path / 'Train'), '', '').remarks if 'beside it' in line]
  assert line.startswith('  this folder alone is used, not Test, val beside it; name the folder above')
  # Negative controls: the folder above, and a folder to be scored.
  for place in (tmp_path, tmp_path / 'Test'):
    assert 'beside it' not in '\n'.join(folders.read(str(place), '', '').remarks)


def test_many_classes_are_counted_and_few_are_named(tmp_path):
  many = [f'TRAIN/class {k}/{k}.png' for k in range(30)] + ['TRAIN/class 0/more.png', 'TEST/class 0/0.png']
  remarks = folders.read(write(tmp_path / 'many', *many), '', '').remarks
  assert '  TRAIN: 30 classes with 1 to 2 images each' in remarks
  (line,) = [line for line in remarks if 'TEST has no image' in line]
  assert line.startswith('  TEST has no image of class 1, class 10, ')
  assert ' and 9 more: ' in line
  few = folders.read(
    write(tmp_path / 'few', 'TRAIN/A/1.png', 'TRAIN/B/2.png', 'TEST/A/3.png'), '', ''
  ).remarks
  assert {'  TRAIN: A 1, B 1', '  TEST has no image of B: no recall can be given there'} <= set(few)
