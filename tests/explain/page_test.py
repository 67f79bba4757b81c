"""The explanations of other images are kept beside the new ones."""

import json

import browser

from bloodcell_jax.base import types
from bloodcell_jax.explain import page


def explained(folder, content, **keys):
  folder.mkdir()
  (folder / 'explain.json').write_text(json.dumps({'images': [], **keys}))
  (folder / 'explain.html').write_text(content)


def test_the_explanations_of_other_images_are_set_aside_under_their_name(tmp_path):
  folder = tmp_path / 'explain'
  monday, other_monday = ['/a/monday'], ['/b/monday']
  assert page.set_aside(folder, monday) is None
  explained(folder, 'a', paths=monday)
  assert page.set_aside(folder, monday) is None, 'the same images again: replaced as before'
  assert page.set_aside(folder, other_monday) == tmp_path / 'explain_monday'
  assert not folder.exists()
  explained(folder, 'b', paths=other_monday)
  assert page.set_aside(folder, []) == tmp_path / 'explain_monday-2'
  explained(folder, 'own', paths=[])
  assert page.set_aside(folder, monday) == tmp_path / 'explain_own'
  # The same images again take the place of what was set aside of them before.
  explained(folder, 'a again', paths=monday)
  assert page.set_aside(folder, []) == tmp_path / 'explain_monday'
  read = {path.name: (path / 'explain.html').read_text() for path in tmp_path.iterdir()}
  assert read == {'explain_monday': 'a again', 'explain_monday-2': 'b', 'explain_own': 'own'}


def test_explanations_that_name_no_images_are_kept_too(tmp_path):
  explained(tmp_path / 'explain', 'before')
  assert page.set_aside(tmp_path / 'explain', ['/a']) == tmp_path / 'explain_before'


def test_a_long_path_does_not_make_the_page_wider_than_a_small_screen(tmp_path):
  name = 'BloodImage_' * 12 + '.png'
  origin = page.Origin('base', f'/somewhere/{name}', [])
  left_out = [types.Problem(name, 'is not an image')]
  written = page.write(tmp_path, origin, f'Of {name}.', [], 'conv', [], left_out)
  with browser.opened(written, 320) as driver:
    assert name in driver.find_element('css selector', 'main').text
    assert browser.problems(driver, 320) == []
