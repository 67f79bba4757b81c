"""What is drawn: the classes' morphology, and that neither colour nor place gives them away."""

import numpy as np
import pytest
from PIL import Image
from skimage import measure, morphology
from sklearn import linear_model, pipeline, preprocessing

from bloodcell_jax.data.sources import smear

NUM_TRAIN, NUM_TEST = 50, 25  # photographs a class
LEAST_HARD = 0.55  # accuracy that pixels or colours alone stay below; a guess has 0.25


@pytest.fixture(scope='module')
def photographs():
  """[4 (NUM_TRAIN + NUM_TEST), 72, 96, 3] photographs, their labels, and which are to train on."""
  number = NUM_TRAIN + NUM_TEST
  image_NHWC = np.stack(
    [
      smear.draw(name, np.random.default_rng([label, i]), 72, 96)
      for label, name in enumerate(smear.CLASS_NAMES)
      for i in range(number)
    ]
  )
  label_N = np.repeat(np.arange(4), number)
  return image_NHWC, label_N, np.tile(np.arange(number) < NUM_TRAIN, 4)


def _pixels(image_NHWC):
  small = [np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BOX)) for image in image_NHWC]
  return np.stack(small).reshape(len(small), -1) / 255


def _colours(image_NHWC):
  """Roots of the shares of 512 colours."""
  bins = (image_NHWC.astype(int) // 32).reshape(len(image_NHWC), -1, 3) @ [64, 8, 1]
  return np.sqrt([np.bincount(row, minlength=512) / len(row) for row in bins])


def _linear_accuracy(feature_ND, label_N, to_train_N):
  """Of the best of two strengths of regularisation on held-out photographs, which favours the classifier."""
  scores = []
  for c in (1e-4, 1e-2):
    model = pipeline.make_pipeline(
      preprocessing.StandardScaler(), linear_model.LogisticRegression(C=c, max_iter=1000)
    )
    model.fit(feature_ND[to_train_N], label_N[to_train_N])
    scores.append(model.score(feature_ND[~to_train_N], label_N[~to_train_N]))
  return max(scores)


@pytest.mark.parametrize('feature', [_pixels, _colours])
def test_a_linear_classifier_fails_on_pixels_and_on_colours(photographs, feature):
  image_NHWC, label_N, to_train_N = photographs
  assert _linear_accuracy(feature(image_NHWC), label_N, to_train_N) < LEAST_HARD
  # The check can fail: with a tint for each class both features know it.
  tint = np.array([[0, 0, 0], [60, 0, 0], [0, 60, 0], [0, 0, 60]])
  painted = image_NHWC // 2 + tint[label_N][:, None, None].astype(np.uint8)
  assert _linear_accuracy(feature(painted), label_N, to_train_N) > 0.9


def test_a_drawing_is_a_function_of_its_generator():
  first, again, other = (smear.draw('MONOCYTE', np.random.default_rng(s), 48, 64) for s in (1, 1, 2))
  assert (first == again).all()
  assert (first != other).any()


@pytest.mark.parametrize(('height', 'width'), [(32, 32), (120, 160), (240, 320)])
@pytest.mark.parametrize('class_name', smear.CLASS_NAMES)
def test_any_size_can_be_drawn(class_name, height, width):
  image = smear.draw(class_name, np.random.default_rng(0), height, width)
  assert image.shape == (height, width, 3)
  assert image.dtype == np.uint8
  assert image.std() > 5


def test_the_white_cell_is_whole_in_the_frame(monkeypatch):
  cells = []
  draw_cell = smear._white_cell

  def record(photograph, class_name, rng, stain, scale, centre, radius):
    cells.append((*centre, radius))
    draw_cell(photograph, class_name, rng, stain, scale, centre, radius)

  monkeypatch.setattr(smear, '_white_cell', record)
  for i in range(100):
    smear.draw(smear.CLASS_NAMES[i % 4], np.random.default_rng(i), 48, 64)
  x_N, y_N, radius_N = np.array(cells).T

  def whole(x_N):
    across = (x_N >= radius_N) & (x_N + radius_N <= 64)
    return (across & (y_N >= radius_N) & (y_N + radius_N <= 48)).all()

  assert len(cells) == 100
  assert whole(x_N)
  assert not whole(x_N + 0.2 * 64)
  # Somewhere else each time, and of another size.
  assert min(np.ptp(x_N) / 64, np.ptp(y_N) / 48) > 0.25
  assert radius_N.max() / radius_N.min() > 1.5


def _nuclei(class_name, number=40):
  """Masks [number, 101, 101] of nuclei; 40 pixels are a cell's radius."""
  v, u = np.mgrid[-1.25:1.25:101j, -1.25:1.25:101j]
  return [smear._nucleus(class_name, np.random.default_rng(i), u, v) < 0 for i in range(number)]


def _num_lobes(mask):
  """Parts that are left when the strands are cut; the strands are up to 6 pixels wide."""
  return measure.label(morphology.opening(mask, morphology.disk(5))).max()


def _solidity(mask):
  return measure.regionprops(mask.astype(int))[0].solidity


def test_a_nucleus_is_one_piece_and_the_class_sets_its_lobes():
  nuclei = {name: _nuclei(name) for name in smear.CLASS_NAMES}
  assert all(measure.label(mask).max() == 1 for masks in nuclei.values() for mask in masks)
  lobes = {name: np.array([_num_lobes(mask) for mask in masks]) for name, masks in nuclei.items()}
  assert (lobes['LYMPHOCYTE'] == 1).all()
  assert (lobes['MONOCYTE'] == 1).all()
  assert (lobes['EOSINOPHIL'] == 2).mean() > 0.7
  assert lobes['NEUTROPHIL'].min() >= 2
  assert lobes['NEUTROPHIL'].max() <= 5
  assert (lobes['NEUTROPHIL'] >= 3).mean() > 0.8


def test_lobes_too_large_for_their_arc_are_counted_as_merged():
  v, u = np.mgrid[-1.25:1.25:101j, -1.25:1.25:101j]
  points = smear._arc(np.random.default_rng(0), 4, 0.54, 2.0)
  parts = [_num_lobes(smear._chain(points, np.full(4, size), 0.06, u, v) < 0) for size in (0.22, 0.45)]
  assert parts == [4, 1]


def test_a_lymphocyte_is_round_and_full_and_a_monocyte_is_folded():
  round_, folded = (_nuclei(name) for name in ('LYMPHOCYTE', 'MONOCYTE'))
  assert min(_solidity(mask) for mask in round_) > max(_solidity(mask) for mask in folded)
  cell = np.pi * 40**2
  assert min(mask.sum() for mask in round_) / cell > 0.4
  neutrophil = _nuclei('NEUTROPHIL')
  assert max(mask.sum() for mask in neutrophil) / cell < min(mask.sum() for mask in round_) / cell + 0.2
