"""What is wrong with a page: its tags, ids, links, headings and pictures."""

import html.parser

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
