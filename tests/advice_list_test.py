"""The list of advice: each refusal that says what to do is quoted by a test, or stands here with the reason why not.

The tests that do what the lines say are `advice_*_test.py` and those beside the code; this one sees that no line is
forgotten.
"""

from __future__ import annotations

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).parent.parent
ERRORS = ('UserError', 'RunError', 'DecodeError', 'Refused')
VERBS = (
  'set|choose|give|name|pass|lower|raise|remove|train|evaluate|rename|move|keep|put|add|save|run|repair|restore|install|'
  'use|wait|close|unpack|export|label|write|leave|correct|delete|repeat|predict|copy|fetch|bring|adapt|combine|try|type'
)
ADVICE = re.compile(rf'(?:[;:,.] |\bor )(?:or |and |else )?(?:{VERBS})\b', re.IGNORECASE)
# Pieces of a line between its values that are long enough to be known by.
LEAST = 14

# Words of a line -> why no test does what it says.
NOT_FOLLOWED: dict[str, str] = {
  'leave --groups_csv out': 'labels of cells without that flag are adapted to in the tests of adapt',
  'the labelled cells go there; name another run with --to': 'the ordinary beginning of an adaptation',
  'lacks a label; give it one': 'lists with a label in each line are read beside it',
  'give it others: a folder of labelled ones': 'the model in the box is used so in predict_without_a_run_test.py',
  'two images of the data set have this name; rename one':
    'only TFDS can name two images alike, and a set built so cannot be renamed here',
  'have no split in common; evaluate them first': 'to evaluate a run is followed in advice_test.py',
  'predict needs images: name files': 'a command without paths; each kind of path is read in input_paths_test.py',
  'no study here; run one first': 'a study takes minutes; it is run in study/',
  'train.steps_per_epoch is 0; give the row a number':
    'every row of configs/study.py has one, and they are run in study/',
  'rows is empty; give a row, as': 'the rows of that config are run in study/',
  'there are two of this name; give each its own': 'every row of configs/study.py has its own',
  'cannot be read ({}); repair or remove it':
    'a damaged photograph without it is an ordinary set, written in offline_test.py',
  'has no features image and label; choose an image data set': 'another data set, read in tfds_source_test.py',
  'the first member cannot be boosted':
    'how long is long enough depends on the data; a boosted member is trained in ensemble_runs/',
  'holds at most 2; leave it out with --format': 'weights of 2 GB',
  'leave it out with --format':
    'to choose formats is followed in advice_of_runs_test.py; no network here has such an operation',
  'indexing by what is computed': 'as above',
  'does not converge (gap {}); lower svr.cost': 'no features are known on which the solver of this version fails',
  'name how many cells to count': 'counts of 100 and all are made in laboratory_count_test.py',
  'put it back there, or copy it to {}': 'the copy in lists/ is read in moved_run_test.py',
  'does not say how its pixels become the input; export it again':
    'an export of now says it, starting_weights_test.py',
  'with the evaluate.* keys that you want, which fits it anew': 'to evaluate again is followed in advice_test.py',
  'combines predictions of other runs and has no network of its own':
    'single runs are predicted with in advice_test.py',
  'set weights.path to empty, or to a run of that network': 'both are trained in starting_weights_test.py',
  'is no run of this project: set it to False':
    'the same key as for other classes, followed in starting_weights_test.py',
  'an adaptation is running; wait until it ends': 'one after another is adapted in serving/page_requests_test.py',
  'another photograph of this name is here; rename one':
    'photographs of other names are taken in serving/page_requests_test.py',
  'are not all in [0, 1]; predict again': 'only a fault of the program or of a file, whose digest tells it before',
  'differs between the two; predict both from the same data':
    'two runs on the same data are compared in runs/comparison_test.py',
  'give more, or fewer --rows': 'budgets that suffice are planned in study/',
  'give more, or choose fewer --rows': 'as above',
  'which is not there; add it to --rows': 'as above',
  'so it is no run of row {}; move the folder away': 'an empty place is an ordinary beginning',
  'is there twice; save the one network alone': 'a single network is read in weights/',
  'fetch it again, or rename it if it is your own':
    'the published file is not part of the tests; other names are read in weights/',
  'no state dict of tensors; save model.state_dict()':
    'PyTorch is not installed; state dicts as it writes them are read in weights/',
}  # fmt: skip


def text(node: ast.AST) -> str:
  """The words of an expression, `{}` for each value."""
  if isinstance(node, ast.Constant):
    return node.value if isinstance(node.value, str) else ''
  if isinstance(node, ast.JoinedStr):
    return ''.join(text(part) if isinstance(part, ast.Constant) else '{}' for part in node.values)
  if isinstance(node, ast.BinOp):
    return text(node.left) + text(node.right)
  return '{}'


def refusals(source: str) -> list[str]:
  """The words of every error for the user that says what to do."""
  found = []
  for node in ast.walk(ast.parse(source)):
    call = node.exc if isinstance(node, ast.Raise) else None
    if isinstance(call, ast.Call) and call.args and ast.unparse(call.func).split('.')[-1] in ERRORS:
      words = text(call.args[0])
      if ADVICE.search(words):
        found.append(words)
  return found


def is_quoted(words: str, tests: str) -> bool:
  """Whether a test has some of the words in which the line says what to do."""
  advice = words[ADVICE.search(words).start() :]
  pieces = [piece.strip(' ;:,.') for piece in advice.split('{}')]
  longest = max(pieces, key=len)
  size = min(LEAST, len(longest))
  return any(longest[i : i + size] in tests for i in range(len(longest) - size + 1))


def quoted() -> str:
  """The text of all tests but this one, with lines that are broken joined and without escapes of patterns."""
  files = [path for path in (ROOT / 'tests').rglob('*.py') if path.name != pathlib.Path(__file__).name]
  joined = ' '.join(path.read_text('utf-8') for path in files)
  return re.sub(r'\\(.)', r'\1', re.sub(r"'\s*\n\s*r?f?'", '', joined))


def test_every_line_of_advice_is_quoted_by_a_test_or_says_here_why_not():
  tests, missing, excused = quoted(), [], set()
  for path in sorted((ROOT / 'bloodcell_jax').rglob('*.py')):
    for words in refusals(path.read_text('utf-8')):
      reasons = {part for part in NOT_FOLLOWED if part in words}
      excused |= reasons
      if not reasons and not is_quoted(words, tests):
        missing.append(f'{path.relative_to(ROOT)}: {words}')
  assert missing == []
  assert excused == set(NOT_FOLLOWED), 'no line has these words any more'


def test_a_line_that_no_test_quotes_is_seen():
  source = (
    "raise types.UserError(f'{path}: is odd; choose a rounder one')\nraise types.UserError(f'{path}: is odd')"
  )
  assert refusals(source) == ['{}: is odd; choose a rounder one']
  assert not is_quoted('{}: is odd; choose a rounder one', 'choose among')
  assert is_quoted('{}: is odd; choose a rounder one', "match='choose a rounder one'")
