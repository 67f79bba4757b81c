"""A page's pieces are well formed, safe, and usable without eyes or mouse."""

import html_checker

from bloodcell_jax.reports import page

BODY = (
  '<h1>a run</h1>',
  page.contents([('x', 'Results')]),
  page.heading('x', 'Results'),
  page.table('figures', ('split', 'accuracy'), [('test', '0.7')]),
  page.image('AAAA', 'png', 'a cell'),
)


def test_a_page_of_these_pieces_has_nothing_wrong_with_it():
  assert html_checker.check(page.whole('a run', BODY)) == []


def test_the_check_sees_what_is_wrong():
  for wrong, expected in (
    ('<img src="x">', 'a picture without words'),
    ('<div><p></div></p>', 'div closes what is not open'),
    ('<a href="#nowhere">x</a>', 'nowhere'),
    ('<h4>too deep</h4>', 4),
    ('<p id="x"></p>', 'x'),
    ('<div><table></table></div>', 'a table that no keyboard can scroll'),
  ):
    assert expected in html_checker.check(page.whole('a run', (*BODY, wrong))), wrong


def test_words_of_a_user_cannot_become_html():
  evil = '<script>alert(1)</script>"'
  html = page.whole(
    evil, [page.table(evil, (evil,), [(evil,)]), page.image('AAAA', 'png', evil), page.heading(evil, evil)]
  )
  assert '<script' not in html
  assert '&lt;script&gt;' in html


def test_the_first_column_names_its_row_and_a_missing_picture_is_left_out(tmp_path):
  assert '<th scope="row">test</th><td>0.7</td>' in page.table(
    'figures', ('split', 'accuracy'), [('test', '0.7')]
  )
  assert page.picture(tmp_path / 'none.png', 'nothing') == ''
