"""Suggested commands can be typed as they are shown, whatever the names of the folders."""

from __future__ import annotations

import ast
import pathlib
import re
import shlex

import pytest

from bloodcell_jax.base import types
from bloodcell_jax.storage import workdir

PACKAGE = pathlib.Path(workdir.__file__).parent.parent
# What a path follows in a command.
BEFORE_PATH = re.compile(r'--(workdir|to|data_dir|config\.data\.(dir|\w+_csv))=$')
# Starts a command itself, word by word.
STARTS = PACKAGE / 'serving' / 'adaptation.py'


def paths_as_they_are(source: str) -> list[str]:
  """The expressions of paths in suggested commands that are not quoted for the shell."""
  found = []
  for node in ast.walk(ast.parse(source)):
    parts = node.values if isinstance(node, ast.JoinedStr) else []
    for before, value in zip(parts, parts[1:], strict=False):
      is_path = isinstance(before, ast.Constant) and BEFORE_PATH.search(str(before.value))
      if is_path and isinstance(value, ast.FormattedValue):
        text = ast.unparse(value.value)
        found += [] if text.startswith('shell.word(') else [text]
  return found


def test_every_path_in_a_suggested_command_is_quoted_where_it_must_be():
  for path in PACKAGE.rglob('*.py'):
    if path != STARTS:
      assert paths_as_they_are(path.read_text('utf-8')) == [], path
  # Negative control.
  assert paths_as_they_are("f'run `evaluate --workdir={folder.path}`'") == ['folder.path']


@pytest.mark.parametrize('name', ['mine', "my lab's ä", '$(id)'])
def test_a_run_of_any_name_is_found_by_the_words_that_name_it(tmp_path, name):
  run = workdir.Workdir(tmp_path / name)
  (run.path / 'members').mkdir(parents=True)
  run.config.write_text('{}')
  with pytest.raises(types.UserError, match='is a part of a run') as said:
    workdir.Workdir(run.path / 'members').read_config()
  assert shlex.split(str(said.value).partition('; ')[2])[-1] == f'--workdir={run.path}'
