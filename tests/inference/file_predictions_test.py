"""Files through a classifier: one cell a file, or several; each predicted once, also after a kill."""

import pathlib
import shutil

import numpy as np
import pytest
import tifffile
from PIL import Image

from bloodcell_jax.base import cell, types
from bloodcell_jax.data.images import decode, image_files
from bloodcell_jax.data.sources import input_paths
from bloodcell_jax.inference import file_predictions
from bloodcell_jax.storage import journal

CLASSES = ('A', 'B')
SPEC = decode.Spec(8, 'full', 'nearest', False, 10**6, 'memory')
WHOLE = file_predictions.cells_of


class Killed(Exception):
  pass


class Classifier:
  """Stands for a loaded run: the probability of A is the brightness; batches of 3."""

  class_names = CLASSES

  def __init__(self, num_batches=None):
    self.predicted = []
    self.num_batches = num_batches
    self.job = self
    self.experiment = self
    self.evaluate_batch_size = 3

  def poll(self):
    pass

  measure = None

  def probabilities_and_looks(self, image_BHWC):
    assert len(image_BHWC) <= 3
    if self.num_batches == 0:
      raise Killed
    if self.num_batches:
      self.num_batches -= 1
    light_B = image_BHWC.mean((1, 2, 3)) / 255
    self.predicted += light_B.tolist()
    return np.stack([light_B, 1 - light_B], 1), None


def halves(photograph_HWC):
  """The left and the right half of each photograph."""
  height, width = photograph_HWC.shape[:2]
  left, right = cell.Box(0, 0, width // 2, height), cell.Box(width // 2, 0, width, height)
  return cell.Region(left, ('touching',)), cell.Region(right, ())


@pytest.fixture
def files(tmp_path):
  """Three photographs of 20x12 pixels; the halves of the i-th are 20 * i and 20 * i + 10 bright."""
  found = []
  for i in range(3):
    image_HWC = np.full((12, 20, 3), 20 * i, np.uint8)
    image_HWC[:, 10:] += 10
    path = tmp_path / f'{i}.png'
    Image.fromarray(image_HWC).save(path)
    found.append(input_paths.Input(str(path), f'{i}.png'))
  return found


def predict(files, folder, cells_of, loaded=None):
  known = journal.Journal(folder / 'journal.jsonl', 'net', CLASSES)
  return file_predictions.predict_files(
    loaded or Classifier(), files, SPEC, known, lambda done, total: None, cells_of
  )


def test_a_file_is_one_cell_with_the_digest_as_its_key(files, tmp_path):
  predictions = predict(files, tmp_path, WHOLE)
  digests = [image_files.sha256_16(pathlib.Path(file.path).read_bytes()) for file in files]
  assert [one.key for one in predictions.cells] == digests
  assert [(one.file, one.number, one.box) for one in predictions.cells] == [
    (f'{i}.png', 1, None) for i in range(3)
  ]
  np.testing.assert_allclose(predictions.probs_NK[:, 0] * 255, [5, 25, 45], atol=1.5)
  assert 'boxes' not in (tmp_path / 'journal.jsonl').read_text()


def test_a_photograph_of_two_cells_gives_two_predictions_from_its_two_parts(files, tmp_path):
  predictions = predict(files, tmp_path, halves)
  assert [(one.file, one.number) for one in predictions.cells] == [
    (f'{i}.png', number) for i in range(3) for number in (1, 2)
  ]
  digest = predictions.cells[0].digest
  assert [one.key for one in predictions.cells[:2]] == [f'{digest}#0,0,10,12', f'{digest}#10,0,20,12']
  np.testing.assert_allclose(predictions.probs_NK[:, 0] * 255, [0, 10, 20, 30, 40, 50])
  rows = [4, 1, 2]
  images = list(file_predictions.read_images(predictions, rows, SPEC))
  assert [image.mean() for image in images] == [40, 10, 20]


def test_the_stretch_is_that_of_the_photograph_and_not_of_each_cell(files, tmp_path):
  image_HWC = np.full((12, 20, 3), 100, np.uint8)
  image_HWC[:, 10:] = 200
  Image.fromarray(image_HWC).save(files[0].path)
  spec = decode.Spec(8, 'full', 'nearest', True, 10**6, 'memory')
  ((_, content),) = decode.each(
    [files[0].path], spec, lambda digest, data: True, lambda i, digest, x: [one.box for one in halves(x)]
  )
  assert [image.max() for _, image in content] == [127, 255]


@pytest.mark.parametrize('num_batches', range(3))
def test_after_a_kill_in_the_midst_of_a_photograph_only_its_other_cells_are_predicted(
  files, tmp_path, num_batches
):
  undisturbed = predict(files, tmp_path / 'undisturbed', halves)
  killed = Classifier(num_batches)
  if num_batches < 2:
    with pytest.raises(Killed):
      predict(files, tmp_path / 'killed', halves, killed)
  # Three of a batch: the kill after the first one comes between the two cells of the second photograph.
  assert len(killed.predicted) == (0 if num_batches == 2 else 3 * num_batches)
  again = Classifier()
  resumed = predict(files, tmp_path / 'killed', halves, again)
  assert len(again.predicted) == 6 - len(killed.predicted)
  assert resumed.cells == undisturbed.cells
  np.testing.assert_array_equal(resumed.probs_NK, undisturbed.probs_NK)


def test_boxes_in_the_journal_are_not_looked_for_again(files, tmp_path):
  with pytest.raises(Killed):
    predict(files, tmp_path, halves, Classifier(1))

  def never(photograph_HWC):
    raise AssertionError('the cells of this photograph are known')

  assert len(predict(files[:2], tmp_path, never).cells) == 4
  # Negative control: those of a new photograph are looked for.
  Image.fromarray(np.full((9, 9, 3), 7, np.uint8)).save(tmp_path / 'new.png')
  with pytest.raises(AssertionError, match='are known'):
    predict([input_paths.Input(str(tmp_path / 'new.png'), 'new.png')], tmp_path, never)


def test_a_photograph_without_a_cell_is_listed_and_the_others_are_predicted(files, tmp_path):
  for _ in range(2):
    predictions = predict(files, tmp_path, lambda x: halves(x) if x.max() > 20 else ())
    assert [str(problem) for problem in predictions.problems] == ['0.png: no white cell was found in it']
    assert len(predictions.cells) == 4


def test_a_folder_without_a_cell_is_no_error_and_one_without_an_image_is(files, tmp_path):
  predictions = predict(files, tmp_path, lambda x: ())
  assert (predictions.cells, predictions.probs_NK.shape) == ((), (0, 2))
  assert len(predictions.problems) == 3
  pathlib.Path(files[0].path).write_bytes(b'')
  with pytest.raises(types.UserError, match='none of the 1 files'):
    predict(files[:1], tmp_path / 'other', halves)


def test_what_makes_a_cell_doubtful_is_known_again_after_a_kill(files, tmp_path):
  with pytest.raises(Killed):
    predict(files, tmp_path, halves, Classifier(1))
  marks = [one.marks for one in predict(files, tmp_path, halves).cells]
  assert marks == [('touching',), ()] * 3


def test_two_files_with_the_same_bytes_are_predicted_once(files, tmp_path):
  loaded = Classifier()
  assert len(predict([*files, *files], tmp_path, halves, loaded).cells) == 12
  assert len(loaded.predicted) == 6


def test_an_image_that_has_changed_meanwhile_is_not_shown(files, tmp_path):
  predictions = predict(files, tmp_path, halves)
  Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(files[0].path)
  shutil.copy(files[2].path, files[1].path)
  images = list(file_predictions.read_images(predictions, [0, 2, 4], SPEC))
  assert [image is None for image in images] == [True, True, False]


def test_only_what_is_read_otherwise_than_before_is_predicted_again(tmp_path):
  # A journal of an earlier version, which described no photographs: 8 bits, 16 bits, and 12 bits in 16.
  dark_HWC = np.full((12, 20, 3), 1000, np.uint16)
  tifffile.imwrite(tmp_path / 'dark.tif', dark_HWC, photometric='rgb')
  tifffile.imwrite(tmp_path / 'wide.tif', dark_HWC * 64, photometric='rgb')
  tifffile.imwrite(tmp_path / 'plain.tif', (dark_HWC // 4).astype(np.uint8), photometric='rgb')
  Image.fromarray(np.full((12, 20, 3), 7, np.uint8)).save(tmp_path / 'plain.png')
  Image.fromarray(np.full((12, 20, 4), 0, np.uint8)).save(tmp_path / 'hidden.png')
  found = [input_paths.Input(str(path), path.name) for path in sorted(tmp_path.glob('*.*'))]
  before = journal.Journal(tmp_path / 'journal.jsonl', 'net', CLASSES)
  keys = [image_files.sha256_16(pathlib.Path(file.path).read_bytes()) for file in found]
  before.add(keys, np.full((len(keys), 2), 0.5), None)
  loaded = Classifier()
  predictions = predict(found, tmp_path, WHOLE, loaded)
  changed = {file.shown for file, p_K in zip(found, predictions.probs_NK, strict=True) if p_K[0] != 0.5}
  assert changed == {'dark.tif', 'hidden.png'}
  assert len(loaded.predicted) == 2
  # Known from now on, in the same order.
  again = Classifier()
  np.testing.assert_array_equal(predict(found, tmp_path, WHOLE, again).probs_NK, predictions.probs_NK)
  assert again.predicted == []


def test_floats_a_little_above_one_are_predicted_again_where_an_earlier_version_read_them_as_black(tmp_path):
  rng = np.random.default_rng(0)
  unit_HWC = rng.uniform(0, 1, (12, 20, 3)).astype(np.float32)
  unit_HWC[0, 0] = 1.02
  tifffile.imwrite(tmp_path / 'over.tif', unit_HWC, photometric='rgb')
  tifffile.imwrite(tmp_path / 'levels.tif', unit_HWC * 249, photometric='rgb')
  found = [input_paths.Input(str(path), path.name) for path in sorted(tmp_path.glob('*.tif'))]
  before = journal.Journal(tmp_path / 'journal.jsonl', 'net', CLASSES)
  keys = [image_files.sha256_16(pathlib.Path(file.path).read_bytes()) for file in found]
  note = 'floating-point samples of 32 bits, 8 of them used, scaled to 8'
  for key in keys:
    before.describe(key, journal.Photograph((20, 12), (note,)))
  before.add(keys, np.full((len(keys), 2), 0.5), None)
  loaded = Classifier()
  predictions = predict(found, tmp_path, WHOLE, loaded)
  changed = [file.shown for file, p_K in zip(found, predictions.probs_NK, strict=True) if p_K[0] != 0.5]
  assert changed == ['over.tif']
  assert len(loaded.predicted) == 1
  again = Classifier()
  np.testing.assert_array_equal(predict(found, tmp_path, WHOLE, again).probs_NK, predictions.probs_NK)
  assert again.predicted == []
