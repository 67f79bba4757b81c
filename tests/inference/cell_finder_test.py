"""Fields and pictures of single cells told apart, by themselves and by what most of a folder show."""

import drawn_field
import numpy as np
import pytest
from PIL import Image

from bloodcell_jax.base import types
from bloodcell_jax.inference import cell_finder

TRAINED = {'smallest': [320, 240], 'median': [320, 240], 'largest': [320, 240]}
OF_TWO = {'smallest': [180, 180], 'median': [180, 180], 'largest': [640, 480]}


def single(side=300):
  """A square picture of one cell in its middle, of red cells 60 pixels wide at 300."""
  image = drawn_field.draw(((150, 150),), platelets=(), size=(300, 300))
  return np.asarray(Image.fromarray(image).resize((side, side)))


def save(folder, images):
  folder.mkdir()
  for i, image_HWC in enumerate(images):
    Image.fromarray(image_HWC).save(folder / f'{i}.png')
  return [str(path) for path in sorted(folder.iterdir())]


def is_whole(regions):
  return list(regions) == [None]


def test_a_thumbnail_is_one_cell_and_a_field_has_boxes():
  regions_of = cell_finder.finder('auto')
  assert is_whole(regions_of(np.zeros((64, 64, 3), np.uint8)))
  assert len(regions_of(drawn_field.draw())) == 2
  assert None not in regions_of(drawn_field.draw())
  assert is_whole(regions_of(single()))
  assert is_whole(cell_finder.finder('one')(drawn_field.draw()))
  assert not is_whole(cell_finder.finder('many')(single()))


def test_a_photograph_of_the_size_of_the_training_images_is_one_cell_and_a_larger_one_is_searched():
  small = np.asarray(Image.fromarray(drawn_field.draw()).resize((320, 240)))
  singles = cell_finder.survey([], 10**9, cell_finder.from_training('nucleus', TRAINED), 'auto')
  assert is_whole(cell_finder.finder('auto', singles)(small))
  assert not is_whole(cell_finder.finder('auto', singles)(drawn_field.draw()))
  # Negative control: nothing is known of the training.
  assert not is_whole(cell_finder.finder('auto')(small))


def test_the_size_of_training_images_says_nothing_where_they_had_several_or_the_cell_has_its_own_scale():
  field = drawn_field.draw(size=(640, 480))
  for view, trained in (('nucleus', OF_TWO), ('cell', TRAINED), ('cell', OF_TWO), ('nucleus', {})):
    assert cell_finder.from_training(view, trained) == cell_finder.UNKNOWN
    assert not is_whole(cell_finder.finder('auto', cell_finder.from_training(view, trained))(field))
  # Negative control: a network of photographs of this size alone.
  alike = {name: [640, 480] for name in TRAINED}
  assert is_whole(cell_finder.finder('auto', cell_finder.from_training('nucleus', alike))(field))


def test_most_of_a_folder_decide_for_an_unclear_picture_of_their_size_and_not_for_fields(tmp_path):
  unclear = drawn_field.draw(((70, 70),), platelets=(), size=(300, 300))
  fields = [drawn_field.draw(size=(640, 600)), drawn_field.draw(size=(640, 480))]
  singles = cell_finder.survey(
    save(tmp_path / 'mixed', [single(), single(), single(), unclear, *fields]),
    10**9,
    cell_finder.UNKNOWN,
    'auto',
  )
  regions_of = cell_finder.finder('auto', singles)
  assert is_whole(regions_of(unclear))
  assert not any(is_whole(regions_of(one)) for one in fields)
  # Negative control: by itself it is searched.
  assert not is_whole(cell_finder.finder('auto')(unclear))


def test_a_network_of_whole_pictures_gets_whole_pictures_unless_told_otherwise():
  assert [cell_finder.default(view) for view in ('full', 'nucleus')] == ['one', 'auto']
  with pytest.raises(types.UserError, match='choose one of auto, one, many'):
    cell_finder.check('several')
  cell_finder.check('')


@pytest.mark.parametrize('level', [0, 128, 255])
def test_an_image_of_one_tone_is_searched_in_vain(level):
  assert cell_finder.finder('auto')(np.full((300, 300, 3), level, np.uint8)) == ()
