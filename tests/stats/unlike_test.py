"""Images and folders that are unlike the training are known, and those that are like it are left alone."""

from __future__ import annotations

import numpy as np
import pytest

from bloodcell_jax.base import types
from bloodcell_jax.stats import content, look_reference, unlike

ASPECTS = ('stain', 'stain', 'scale', 'sharpness')
SPEC = unlike.Spec(0.03)


def looks(num, seed, shift=(0, 0, 0, 0)):
  return np.random.default_rng(seed).normal(size=(num, 4)) + np.array(shift)


@pytest.fixture(scope='module')
def reference():
  look_ND = looks(300, 0)
  return look_reference.fit(
    look_ND, np.arange(300) % 3, np.arange(300).astype(str), ASPECTS, np.full(4, 0.01), 0
  )


def judge(reference, look_ND, folders=None, keep=False):
  references = reference if isinstance(reference, tuple) else (reference,)
  return unlike.judge(references, look_ND, folders or ['x'] * len(look_ND), SPEC, keep)


def test_about_the_wanted_share_of_images_like_the_trainings_is_withheld(reference):
  judged = judge(reference, looks(2000, 1))
  assert not judged.foreign
  assert judged.withheld_N.mean() < 0.06
  assert judged.unlike_N.min() >= 0
  assert judged.unlike_N.max() < 1


def test_a_wild_image_is_unlike_and_its_aspect_is_the_reason(reference):
  look_ND = looks(50, 2)
  look_ND[7] = (0, 0, 9, 0)
  judged = judge(reference, look_ND)
  assert judged.withheld_N[7]
  assert judged.reason_N[7] == 'scale'
  # Negative control: the others of the folder stay.
  assert not judged.foreign
  assert judged.withheld_N.sum() < 6


def test_a_folder_shifted_as_a_whole_is_withheld_even_where_most_of_its_images_are_usual():
  rng, aspects = np.random.default_rng(3), ('stain',) * 14 + ('scale',)
  look_ND = rng.normal(size=(300, 15))
  groups = np.arange(300).astype(str)
  reference = look_reference.fit(look_ND, np.arange(300) % 3, groups, aspects, np.full(15, 0.01), 0)
  home = rng.normal(size=(60, 15))
  judged = judge(reference, home + np.array([0.9] * 14 + [0.0]))
  assert (judged.unlike_N > 0.97).mean() < 0.25, 'most are usual by themselves'
  assert judged.withheld_N.all()
  assert judged.foreign[0].foreign == ('stain',)
  assert 'unlike the training images: stain' in unlike.line(unlike.summary(judged))
  # Negative control: its twin of the same laboratory is named.
  twin = judge(reference, home)
  assert not twin.foreign
  assert 'another laboratory' not in unlike.line(unlike.summary(twin))


def test_a_folder_of_few_images_is_withheld_where_most_of_them_are_unlike(reference):
  look_ND = looks(9, 8)
  look_ND[[0, 1, 4], 0] = 9
  folders = ['abroad'] * 3 + ['home'] * 3 + ['other'] * 3
  judged = judge(reference, look_ND, folders)
  assert [folder.name for folder in judged.foreign] == ['abroad']
  assert judged.withheld_N[:3].all()
  assert judged.reason_N[2] == 'stain'
  # Negative control: one unlike image of three leaves the others of its folder as they are.
  assert judged.withheld_N[3:].tolist() == [False, True, False, False, False, False]
  # A single image is judged by itself.
  assert judge(reference, look_ND[:1]).withheld_N.all()
  assert not judge(reference, look_ND[:1]).foreign


def test_each_folder_is_judged_by_itself(reference):
  look_ND = np.concatenate([looks(30, 4), looks(30, 5, (5, 0, 0, 0))])
  judged = judge(reference, look_ND, ['home'] * 30 + ['abroad'] * 30)
  assert [folder.name for folder in judged.foreign] == ['abroad']
  assert judged.withheld_N[30:].all()
  assert judged.withheld_N[:30].mean() < 0.2


def test_a_folder_is_known_by_images_that_are_wild_each_in_its_own_direction(reference):
  look_ND = looks(40, 6)
  look_ND[:20, 0], look_ND[20:, 0] = 7, -7
  judged = judge(reference, look_ND)
  assert judged.foreign
  assert judged.foreign[0].distance < reference.folder_limit, 'their mean is usual'


def test_unlike_images_are_named_where_that_is_wanted_and_the_line_says_so(reference):
  judged = judge(reference, looks(20, 7, (6, 0, 0, 0)), keep=True)
  assert judged.is_unlike_N.all()
  assert not judged.withheld_N.any()
  assert 'expect many errors' in unlike.line(unlike.summary(judged))
  assert '20 of 20 images are' in unlike.line(unlike.summary(judged))
  assert '20 of 20 cells are' in unlike.line({**unlike.summary(judged), unlike.COUNTED: 'cells'})


# Two laboratories, eight standard deviations apart in stain.
ONE, OTHER, BETWEEN = (-4, 0, 0, 0), (4, 0, 0, 0), (0, 0, 0, 0)


def fitted(look_ND, kinds=3):
  num = len(look_ND)
  return look_reference.fit(
    look_ND, np.arange(num) % kinds, np.arange(num).astype(str), ASPECTS, np.full(4, 0.01), 0
  )


@pytest.fixture(scope='module')
def two_laboratories():
  return fitted(looks(300, 0, ONE)), fitted(looks(300, 1, OTHER))


def test_what_lies_between_two_laboratories_is_like_neither_of_them(two_laboratories):
  judged = judge(two_laboratories, looks(40, 2, BETWEEN))
  assert judged.withheld_N.all()
  assert judged.foreign[0].foreign == ('stain',)
  assert (judged.unlike_N > 0.97).mean() > 0.5, 'most are unlike by themselves'
  # The control: one reference of both together takes it for its own.
  together = fitted(np.concatenate([looks(300, 0, ONE), looks(300, 1, OTHER)]))
  pooled = judge(together, looks(40, 2, BETWEEN))
  assert not pooled.foreign
  assert pooled.withheld_N.mean() < 0.2


def test_images_of_each_laboratory_and_of_both_in_one_folder_are_like_the_training(two_laboratories):
  one, other = looks(40, 3, ONE), looks(40, 4, OTHER)
  for look_ND in (one, other, np.concatenate([one, other]), np.concatenate([one[:9], other])):
    judged = judge(two_laboratories, look_ND)
    assert not judged.foreign
    assert judged.withheld_N.mean() < 0.1
  # The control: both in one folder, of which one is stained otherwise.
  shifted = np.concatenate([one, other + np.array((0, 3, 0, 0))])
  assert judge(two_laboratories, shifted).foreign
  assert judge(two_laboratories, looks(2, 5, BETWEEN) + np.array((0, 4, 0, 0))).foreign, 'two images'


def test_few_groups_and_a_share_out_of_range_are_refused():
  with pytest.raises(ValueError, match='9 groups'):
    look_reference.fit(looks(90, 0), np.zeros(90, int), np.arange(90) % 9, ASPECTS, np.full(4, 0.01), 0)
  with pytest.raises(types.UserError, match='unlike_share'):
    unlike.Spec(0.6)


def test_content_far_from_every_class_is_farther_than_content_of_a_class():
  rng = np.random.default_rng(0)
  centre_KD = 6 * rng.normal(size=(3, 40))
  label_N = np.arange(150) % 3
  classes = content.fit(centre_KD[label_N] + rng.normal(size=(150, 40)), label_N)
  home_N = content.distances(classes, centre_KD[label_N] + rng.normal(size=(150, 40)))
  new_N = content.distances(classes, -centre_KD[label_N] + rng.normal(size=(150, 40)))
  assert np.quantile(home_N, 0.95) < np.quantile(new_N, 0.05)


def test_held_out_distances_of_content_are_those_of_new_images_and_not_of_fitted_ones():
  rng = np.random.default_rng(0)
  embedding_ND, label_N = rng.normal(size=(80, 40)), np.arange(80) % 2
  classes = content.fit(embedding_ND, label_N)
  held_out_N = content.held_out_distances(embedding_ND, label_N, np.arange(80) % 5)
  new = np.median(content.distances(classes, rng.normal(size=(400, 40))))
  assert abs(np.median(held_out_N) - new) < 0.5 * abs(
    np.median(content.distances(classes, embedding_ND)) - new
  )
  # A class that the other folds lack has no distance.
  label_N[:2] = 2
  alone = content.held_out_distances(embedding_ND, label_N, np.where(label_N == 2, 0, 1 + np.arange(80) % 4))
  np.testing.assert_array_equal(np.isnan(alone), label_N == 2)


def test_images_of_foreign_folders_are_known_by_their_folder(reference):
  look_ND = np.concatenate([looks(20, 1), looks(20, 2, (6, 6, 0, 0)), looks(3, 4)])
  folders = ['home'] * 20 + ['abroad'] * 20 + ['few'] * 3
  judged = judge(reference, look_ND, folders)
  np.testing.assert_array_equal(unlike.in_foreign(judged, folders), np.array(folders) == 'abroad')


def test_files_without_a_folder_are_no_small_folder(reference):
  look_ND = np.concatenate([looks(8, 2, (6, 6, 0, 0)), looks(3, 4)])
  for name in ('', 'f'):
    folders = [name] * 8 + ['x'] * 3
    judged = judge(reference, look_ND, folders)
    assert {folder.name: bool(folder.foreign) for folder in judged.folders} == {name: True, None: False}
    np.testing.assert_array_equal(unlike.in_foreign(judged, folders), np.arange(11) < 8)
    assert judged.is_unlike_N[:8].all()
  assert 'in files without a folder' in unlike.line(
    unlike.summary(judge(reference, look_ND, [''] * 8 + ['x'] * 3))
  )
