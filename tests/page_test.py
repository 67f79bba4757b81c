"""A page's pieces are well formed, safe, and usable without eyes or mouse."""

import html.parser

from bloodcell_jax import page

VOID = {'meta', 'img', 'link', 'br'}


class Checker(html.parser.HTMLParser):
  """Collects what is wrong with a page: tags that do not match, ids twice, links to nothing, pictures without words."""

  def __init__(self):
    super().__init__()
    self.open, self.problems, self.ids, self.links, self.levels = [], [], [], [], []

  def handle_starttag(self, tag, attrs):
    given = dict(attrs)
    if tag not in VOID:
      self.open.append(tag)
    if tag == 'img' and not given.get('alt'):
      self.problems.append('a picture without words')
    if tag == 'table' and 'tabindex' not in self.parent:
      self.problems.append('a table that no keyboard can scroll')
    if len(tag) == 2 and tag[0] == 'h':
      self.levels.append(int(tag[1]))
    self.ids += [given['id']] if 'id' in given else []
    self.links += [given['href'][1:]] if given.get('href', '').startswith('#') else []
    self.parent = given

  def handle_endtag(self, tag):
    if not self.open or self.open.pop() != tag:
      self.problems.append(f'{tag} closes what is not open')

  def found(self):
    twice = [name for name in set(self.ids) if self.ids.count(name) > 1]
    jumps = [b for a, b in zip([0, *self.levels], self.levels, strict=False) if b > a + 1]
    lost = set(self.links) - set(self.ids)
    return [*self.problems, *self.open, *twice, *jumps, *lost]


def check(text):
  checker = Checker()
  checker.feed(text)
  return checker.found()


BODY = (
  '<h1>a run</h1>',
  page.contents([('x', 'Results')]),
  page.heading('x', 'Results'),
  page.table('figures', ('split', 'accuracy'), [('test', '0.7')]),
  page.image('AAAA', 'png', 'a cell'),
)


def test_a_page_of_these_pieces_has_nothing_wrong_with_it():
  assert check(page.whole('a run', BODY)) == []


def test_the_check_sees_what_is_wrong():
  for wrong, expected in (
    ('<img src="x">', 'a picture without words'),
    ('<div><p></div></p>', 'div closes what is not open'),
    ('<a href="#nowhere">x</a>', 'nowhere'),
    ('<h4>too deep</h4>', 4),
    ('<p id="x"></p>', 'x'),
    ('<div><table></table></div>', 'a table that no keyboard can scroll'),
  ):
    assert expected in check(page.whole('a run', (*BODY, wrong))), wrong


def test_words_of_a_user_cannot_become_html():
  evil = '<script>alert(1)</script>"'
  made = page.whole(
    evil, [page.table(evil, (evil,), [(evil,)]), page.image('AAAA', 'png', evil), page.heading(evil, evil)]
  )
  assert '<script' not in made
  assert '&lt;script&gt;' in made


def test_the_first_column_names_its_row_and_a_missing_picture_is_left_out(tmp_path):
  assert '<th scope="row">test</th><td>0.7</td>' in page.table(
    'figures', ('split', 'accuracy'), [('test', '0.7')]
  )
  assert page.picture(tmp_path / 'none.png', 'nothing') == ''
