"""Lines about the rows and the budget of a study, followed as those of `advice_followed_test.py`."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import followed
import pytest
from followed import Case, calls
from ml_collections import config_dict

from bloodcell_jax.config import study as study_config
from bloodcell_jax.study import budget, divided, run_folder
from bloodcell_jax.system import atomic
from configs import study


def of_study(*rows: config_dict.ConfigDict) -> tuple[study_config.Row, ...]:
  c = study.get_config()
  c.rows = rows
  return study_config.resolve(c)


def row(name='a', steps=4, **more) -> config_dict.ConfigDict:
  return study.row('Networks', name, 'title', 'configs/default.py', {'train.steps_per_epoch': steps}, **more)


def trees(source: str) -> config_dict.ConfigDict:
  return study.row('Networks', 'trees', 'title', trees='random_forest', features_of=source)


def a_row_that_trees_need(top: pathlib.Path) -> Case:
  rows = of_study(row('a'), trees('a'))
  share = budget.parse('1')
  return (
    lambda: run_folder.check(run_folder.runs(rows[1:], (0,), top), rows, top, share),
    lambda said: run_folder.check(run_folder.runs(rows, (0,), top), rows, top, share),
  )


def a_run_in_the_place_of_another(top: pathlib.Path) -> Case:
  rows = of_study(row('a'))
  first, second = run_folder.runs(rows, (0, 1), top)
  atomic.write_json(second.folder.config, {**rows[0].flat, 'seed': first.seed, 'format': 2})

  def follow(said):
    second.folder.path.rename(top / 'away')
    run_folder.check_rows(rows, top)

  return lambda: run_folder.check_rows(rows, top), follow


def a_budget(wrong: str, right: str, networks: int, fewer: int) -> Callable[[pathlib.Path], Case]:
  lengths = {'a': budget.Length(200, (30,))}

  def follow(said):
    budget.check(budget.parse(right), lengths, networks)
    budget.check(budget.parse(wrong), lengths, fewer)

  return lambda top: (lambda: budget.check(budget.parse(wrong), lengths, networks), follow)


FOLLOWED: dict[str, Callable[[pathlib.Path], Case]] = {
  'give a row, as configs/study.py does': calls(of_study, lambda: of_study(row())),
  'give the row a number': calls(lambda: of_study(row(steps=0)), lambda: of_study(row(steps=1))),
  'name a row of a single network that stands before it': calls(
    lambda: of_study(trees('a'), row('a')), lambda: of_study(row('a'), trees('a'))),
  'which is not there; add it to --rows': a_row_that_trees_need,
  ' in place of {}, so it is not a run of row {}; move the folder away': a_run_in_the_place_of_another,
  'give more, or fewer --rows': a_budget('2m', '60m', 200, 2),
  'give a share such as --budget=0.05, or leave out --coordinator': calls(
    lambda: divided.check(budget.parse('30m')), lambda: divided.check(budget.parse('0.05'))),
  'there are two of this name; give each its own': calls(
    lambda: of_study(row('a'), row('a')), lambda: of_study(row('a'), row('b'))),
}  # fmt: skip


@pytest.mark.parametrize('words', FOLLOWED)
def test_the_line_is_gone_once_its_advice_is_done(words, tmp_path):
  followed.check(FOLLOWED[words], words, tmp_path)
