"""Letters that Matplotlib's own font lacks are drawn with an installed font that has them."""

from __future__ import annotations

import warnings

import matplotlib
import numpy as np
import pytest

from bloodcell_jax.plots import confusion, figure, fonts

FOLDER = f'{matplotlib.get_data_path()}/fonts/ttf'
OTHER = ('STIXGeneral', f'{FOLDER}/STIXGeneral.ttf')


@pytest.fixture(autouse=True)
def fresh():
  fonts.families.cache_clear()
  yield
  fonts.families.cache_clear()


@pytest.fixture
def letter():
  """A letter that the other font has and Matplotlib's own lacks."""
  lacking = fonts._letters(OTHER[1]) - fonts._letters(f'{FOLDER}/DejaVuSans.ttf')
  return next(chr(code) for code in sorted(lacking) if chr(code).isprintable() and not chr(code).isspace())


def use(monkeypatch, *installed):
  monkeypatch.setattr(fonts, 'installed', lambda: list(installed))


def test_a_font_that_has_the_letter_is_added_and_others_are_not(letter, monkeypatch):
  broken = ('A Broken Font', f'{FOLDER}/LICENSE_STIX')
  without = ('cmr10', f'{FOLDER}/cmr10.ttf')
  use(monkeypatch, broken, without, OTHER)
  assert fonts.families(frozenset(f'A{letter}')) == (fonts.OWN, 'STIXGeneral')
  assert fonts.families(frozenset('EOSINOPHIL Моноцит é')) == (fonts.OWN,)


def test_without_a_font_that_has_it_nothing_is_added(letter, monkeypatch):
  use(monkeypatch, ('cmr10', f'{FOLDER}/cmr10.ttf'))
  assert fonts.families(frozenset(letter)) == (fonts.OWN,)
  fonts.families.cache_clear()
  use(monkeypatch)
  assert fonts.families(frozenset(letter)) == (fonts.OWN,)


def test_the_choice_does_not_depend_on_the_order_of_the_list(letter, monkeypatch):
  twin = ('STIX Twin', OTHER[1])
  use(monkeypatch, OTHER, twin)
  first = fonts.families(frozenset(letter))
  fonts.families.cache_clear()
  use(monkeypatch, twin, OTHER)
  assert fonts.families(frozenset(letter)) == first


def drawn(names):
  return figure.png(confusion.plot(np.array([[3, 1], [0, 4]]), names, 'test'), '')


def test_a_class_name_is_drawn_in_its_letters_and_a_missing_font_is_quiet(letter, monkeypatch):
  names = (letter * 3, 'LYMPHOCYTE')
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    use(monkeypatch)
    boxes = drawn(names)
    fonts.families.cache_clear()
    use(monkeypatch, OTHER)
    letters = drawn(names)
  assert boxes != letters
  # The control: a figure whose letters the own font has is the same with and without others.
  plain = drawn(('EOSINOPHIL', 'LYMPHOCYTE'))
  fonts.families.cache_clear()
  use(monkeypatch)
  assert drawn(('EOSINOPHIL', 'LYMPHOCYTE')) == plain


INSTALLED = {'嗜': 'Chinese', 'خ': 'Arabic', 'न': 'Devanagari', '한': 'Korean', 'あ': 'Japanese'}


@pytest.mark.parametrize('letter', INSTALLED, ids=INSTALLED.values())
def test_what_is_installed_here_is_found(letter):
  has = any(ord(letter) in fonts._letters(path) for _, path in fonts.installed())
  own = ord(letter) in fonts._letters(f'{FOLDER}/DejaVuSans.ttf')
  assert (len(fonts.families(frozenset(letter))) > 1) == (has and not own)
