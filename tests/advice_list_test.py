"""The list of advice: each refusal that says what to do is followed by a test, or stands here with the reason why not.

Followed: a test causes the refusal, does what it says, and it is gone. The table of `advice_followed_test.py` has those
that are decided in one function; `FOLLOWING` names the files of the others. This file sees that no line is forgotten.
"""

from __future__ import annotations

import ast
import pathlib
import re
from collections.abc import Collection

import advice_followed_test

ROOT = pathlib.Path(__file__).parent.parent
ERRORS = ('UserError', 'RunError', 'DecodeError', 'Refused')
VERBS = (
  'set|choose|give|name|pass|lower|raise|remove|train|evaluate|rename|move|keep|put|add|save|run|repair|restore|install|'
  'use|wait|close|unpack|export|label|write|leave|correct|delete|repeat|predict|copy|fetch|bring|adapt|combine|try|type'
)
ADVICE = re.compile(rf'(?:[;:,.] |\bor )(?:or |and |else )?(?:{VERBS})\b', re.IGNORECASE)
# Pieces of a line between its values that are long enough to be known by.
LEAST = 14

# Test files in which what a line says is done, beside the table of `advice_followed_test.py`.
FOLLOWING = (
  'advice_of_data_test.py', 'advice_of_images_test.py', 'advice_of_runs_test.py', 'advice_of_training_test.py',
  'advice_of_places_test.py', 'advice_of_studies_test.py',
  'advice_of_values_test.py', 'advice_test.py', 'moved_run_test.py', 'adaptation/labels_test.py',
  'adaptation/convolutions_test.py', 'commands/adapt_test.py', 'ensemble_runs/combining_test.py',
  'storage/continuation_test.py', 'data/sources/misplaced_splits_test.py', 'data/sources/list_split_test.py',
  'data/images/unit_samples_test.py', 'data/sources/upper_folders_test.py', 'data/sources/csv_rows_test.py',
  'config/experiment_test.py', 'data/sources/predicted_names_test.py',
)  # fmt: skip
# How many lines are followed at least, and how many are not at most.
LEAST_FOLLOWED, MOST_QUOTED = 220, 41

# Words of a line -> why no test does what it says. A test quotes it all the same, or the reason says why it cannot.
QUOTED_ONLY: dict[str, str] = {
  'leave --groups_csv out': 'labels of cells without that flag are adapted to in the tests of adapt',
  'predict needs images: name files': 'a command without paths; each kind of path is read in input_paths_test.py',
  'no study here; run one first': 'a study takes minutes; it is run in study/',
  'has no features image and label; choose an image data set': 'another data set, read in tfds_source_test.py',
  'the first member cannot be boosted':
    'how long is long enough depends on the data; a boosted member is trained in ensemble_runs/',
  'holds at most 2; leave it out with --format': 'weights of 2 GB',
  'leave it out with --format':
    'to choose formats is followed in advice_of_runs_test.py; no network here has such an operation',
  'indexing by computed values': 'as above',
  'does not converge (gap {}); lower svr.cost': 'no features are known on which the solver of this version fails',
  'does not say how its pixels become the input; export it again':
    'an export of now says it, starting_weights_test.py',
  'came without the images that it was trained on; give it others':
    'the model in the box is used so in predict_without_a_run_test.py',
  'combines predictions of other runs and has no network of its own':
    'single runs are predicted with in advice_test.py',
  'set weights.path to empty, or to a run of that network': 'both are trained in starting_weights_test.py',
  'is not a run of this project: set it to False':
    'the same key as for other classes, followed in starting_weights_test.py',
  'an adaptation is running; wait until it ends': 'one after another is adapted in serving/page_requests_test.py',
  'another photograph of this name is here; rename one':
    'photographs of other names are taken in serving/page_requests_test.py',
  'of this host cannot be used ({}); choose another on': 'another port is met at in system/rendezvous_test.py',
  'differ: {}; give all hosts the same command': 'hosts of the same command train together in train/hosts_test.py',
  'images; set it to {}, or use fewer hosts': 'a larger batch is divided in train/hosts_test.py',
  'give more, or choose fewer --rows': 'the budget that suffices depends on the machine; one is planned in study/',
  'so it is not a run of row {}; move the folder away': 'an empty place is an ordinary beginning',
  'is there twice; save the network by itself': 'a single network is read in weights/',
  'save the model as .keras': 'Keras is not installed; such files are read in weights/',
  'fetch it again, or rename it if it is your own':
    'the published file is not part of the tests; other names are read in weights/',
  'not a state dict of tensors; save model.state_dict()':
    'PyTorch is not installed; state dicts as it writes them are read in weights/',
  'use the version that made the run': 'there is no later version yet',
  'compression, or as PNG': 'a PNG and a plain TIFF are read in advice_of_images_test.py',
  'does not hold the images of train; evaluate the member again':
    'another list in its place is a fault of the program; members are evaluated in ensemble_runs/',
  'ensemble.vectorized: {}; set it to 1': 'one after another is the ordinary training of ensemble_runs/',
  'set stages.cache_features=False with it': 'an ordinary fine-tuning; it takes a large network',
  'which fits it anew': 'to evaluate a run with other keys is followed in advice_test.py',
  'install the package again': 'it would change the package that is tested',
  'no checkpoint of a finished epoch; train first': 'to train in place of no run is followed in advice_test.py',
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


def quoted(names: Collection[str] = ()) -> str:
  """The text of these test files, all but this one if none is named, lines that are broken joined, without escapes."""
  tests = ROOT / 'tests'
  every = [path for path in tests.rglob('*.py') if path.name != pathlib.Path(__file__).name]
  files = [tests / name for name in names] if names else every
  joined = ' '.join(path.read_text('utf-8') for path in files)
  return re.sub(r'\\(.)', r'\1', re.sub(r"'\s*\n\s*r?f?'", '', joined))


def matches(words: str, table: Collection[str]) -> set[str]:
  """The entries of a table that the words of a line have."""
  return {part for part in table if part in words}


def test_every_line_of_advice_is_followed_or_says_here_why_not():
  following, missing, used = quoted(FOLLOWING), [], set()
  num_followed = num_quoted = 0
  for path in sorted((ROOT / 'bloodcell_jax').rglob('*.py')):
    for words in refusals(path.read_text('utf-8')):
      excused = matches(words, QUOTED_ONLY)
      used |= excused
      if matches(words, advice_followed_test.FOLLOWED) or (not excused and is_quoted(words, following)):
        num_followed += 1
      elif excused:
        num_quoted += 1
      else:
        missing.append(f'{path.relative_to(ROOT)}: {words}')
  assert missing == [], 'follow it in advice_followed_test.py'
  assert used == set(QUOTED_ONLY), 'no line has these words any more'
  assert num_followed >= LEAST_FOLLOWED
  assert num_quoted <= MOST_QUOTED
  print(f'{num_followed} lines are followed, {num_quoted} are not')


def test_no_line_advises_to_remove_what_was_trained():
  things = r'(?:(?:the|this|its) )?(?:run|folder|checkpoint|weights)\b'
  pattern = re.compile(rf'\b(?:remove|delete) (?:{things}|it, and the run)', re.IGNORECASE)
  lines = [
    f'{path.relative_to(ROOT)}: {words}'
    for path in sorted((ROOT / 'bloodcell_jax').rglob('*.py'))
    for words in refusals(path.read_text('utf-8'))
    if pattern.search(words)
  ]
  assert lines == []
  assert pattern.search('damaged; remove it, and the run continues')
  assert pattern.search('or delete the folder of the run')


def test_a_line_that_no_test_quotes_is_seen():
  source = (
    "raise types.UserError(f'{path}: is odd; choose a rounder one')\nraise types.UserError(f'{path}: is odd')"
  )
  assert refusals(source) == ['{}: is odd; choose a rounder one']
  assert not is_quoted('{}: is odd; choose a rounder one', 'choose among')
  assert is_quoted('{}: is odd; choose a rounder one', "match='choose a rounder one'")
