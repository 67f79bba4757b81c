"""The images of cells read again, for the review page and the alignment: each photograph is decoded once."""

import collections
import dataclasses
import pathlib

import drawn_field
import numpy as np
import pytest
from PIL import Image

from bloodcell_jax.base import cell
from bloodcell_jax.data.images import decode, image_files, photograph
from bloodcell_jax.fields import red_cells
from bloodcell_jax.inference import cell_finder, file_predictions, foreign_cells
from bloodcell_jax.runs import aligned_network

NUM_PHOTOGRAPHS, NUM_CELLS = 4, 12  # cells of each photograph
# As for a review page: cells of every photograph among those of every other.
ROWS = np.random.default_rng(0).permutation(NUM_PHOTOGRAPHS * NUM_CELLS).tolist()


def spec_of(view):
  return decode.Spec(16, view, 'bilinear', True, 10**6, 'memory')


@pytest.fixture
def predictions(tmp_path):
  """The cells of drawn fields, photograph by photograph."""
  cells, paths = [], []
  for i in range(NUM_PHOTOGRAPHS):
    path = tmp_path / f'{i}.png'
    Image.fromarray(drawn_field.draw(seed=i)).save(path)
    digest = image_files.sha256_16(path.read_bytes())
    for k in range(NUM_CELLS):
      left, top = 40 * k, 25 * k
      cells.append(cell.Cell(path.name, digest, k + 1, cell.Box(left, top, left + 90, top + 100)))
      paths.append(str(path))
  probs_NK = np.full((len(cells), 2), 0.5)
  return file_predictions.CellPredictions(tuple(cells), tuple(paths), probs_NK, None, [])


@pytest.fixture
def counted(monkeypatch):
  """How often photographs are decoded and their scale is measured."""
  times = collections.Counter()

  def count(module, name):
    function = getattr(module, name)

    def counting(*args):
      times[name] += 1
      return function(*args)

    monkeypatch.setattr(module, name, counting)

  count(photograph, 'upright')
  count(red_cells, 'diameter')
  return times


def one_by_one(predictions, rows, spec, frames_of):
  """What each cell looks like, its photograph decoded for it alone."""
  for row in rows:
    ((_, content),) = decode.each(
      [predictions.path[row]],
      spec,
      lambda *_: True,
      lambda *_, box=predictions.cells[row].box: (box,),
      frames_of,
    )
    yield content[0][1]


@pytest.mark.parametrize('view', ['nucleus', 'full', 'cell'])
def test_a_photograph_is_decoded_and_its_scale_measured_once_for_all_its_cells(predictions, counted, view):
  spec, frames_of = spec_of(view), cell_finder.framer(view)
  images = list(file_predictions.read_images(predictions, ROWS, spec, frames_of))
  assert counted['upright'] == NUM_PHOTOGRAPHS
  assert counted['diameter'] == (0 if view == 'cell' else NUM_PHOTOGRAPHS)
  expected = list(one_by_one(predictions, ROWS, spec, frames_of))
  np.testing.assert_array_equal(images, expected)
  # Negative control: in that way each is decoded for each cell; and the order matters.
  assert counted['upright'] == NUM_PHOTOGRAPHS + len(ROWS)
  assert not np.array_equal(images[::-1], expected)


def test_images_that_wait_for_their_turn_take_bounded_memory(predictions, counted, monkeypatch):
  spec = spec_of('full')
  undivided = list(file_predictions.read_images(predictions, ROWS, spec))
  counted.clear()
  most = 20
  monkeypatch.setattr(file_predictions, '_MOST_HELD', most * 3 * spec.image_size**2)
  blocks = [ROWS[start : start + most] for start in range(0, len(ROWS), most)]
  np.testing.assert_array_equal(list(file_predictions.read_images(predictions, ROWS, spec)), undivided)
  assert counted['upright'] == sum(len({predictions.path[row] for row in block}) for block in blocks)
  assert counted['upright'] > NUM_PHOTOGRAPHS  # otherwise nothing was divided


def test_the_first_image_is_there_before_all_photographs_are_decoded(predictions, counted, monkeypatch):
  monkeypatch.setattr(decode, '_AHEAD', 1)
  images = file_predictions.read_images(predictions, range(len(ROWS)), spec_of('full'))
  next(images)
  assert counted['upright'] == 1
  images.close()


def test_of_a_photograph_that_has_changed_no_cell_is_shown(predictions):
  pathlib.Path(predictions.path[0]).unlink()
  changed = pathlib.Path(predictions.path[NUM_CELLS])
  changed.write_bytes(pathlib.Path(predictions.path[-1]).read_bytes())
  images = list(file_predictions.read_images(predictions, ROWS, spec_of('full')))
  assert [image is None for image in images] == [row < 2 * NUM_CELLS for row in ROWS]


@dataclasses.dataclass
class Classifier:
  """Stands for a run that can be aligned: the probability of the first class is the brightness; batches of 5."""

  batches: list
  models: object = None
  measure: object = True
  evaluate_batch_size = 5

  @property
  def job(self):
    return self

  experiment = job

  def poll(self):
    pass

  def probabilities(self, image_BHWC):
    self.batches.append(image_BHWC)
    light_B = image_BHWC.mean((1, 2, 3)) / 255
    return np.stack([light_B, 1 - light_B], 1)


def test_cells_predicted_again_are_the_same_batches_from_photographs_decoded_once(
  predictions, counted, monkeypatch
):
  loaded, spec, frames_of = Classifier([]), spec_of('nucleus'), cell_finder.framer('nucleus')
  samples = []
  monkeypatch.setattr(aligned_network, 'can_align', lambda *_: True)
  monkeypatch.setattr(aligned_network, 'align', lambda models, measure, images: samples.append(images))
  monkeypatch.setattr(foreign_cells.unlike, 'in_foreign', lambda _, folders: np.ones(len(folders), bool))
  again, num = foreign_cells.predict_again(loaded, predictions, object(), spec, frames_of)
  # Once for the sample that the network is aligned with, and once for all cells.
  assert (num, counted['upright']) == (len(ROWS), 2 * NUM_PHOTOGRAPHS)
  expected = np.stack(list(one_by_one(predictions, sorted(ROWS), spec, frames_of)))
  np.testing.assert_array_equal(samples[0], expected)
  assert [len(batch) for batch in loaded.batches] == [5] * 9 + [3]
  np.testing.assert_array_equal(np.concatenate(loaded.batches), expected)
  np.testing.assert_array_equal(again.probs_NK[:, 0], expected.mean((1, 2, 3)) / 255)
