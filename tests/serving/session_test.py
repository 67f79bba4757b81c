"""A session whose analysis fails: one sentence on the page, and in the log what the fault needs to be found."""

from __future__ import annotations

import types as builtin_types
from typing import Any

import numpy as np
import pytest

from bloodcell_jax.base import cell, types
from bloodcell_jax.inference import differential_count, file_predictions
from bloodcell_jax.serving import analysis, limits, photograph_file, session
from bloodcell_jax.stats import unlike
from bloodcell_jax.storage import journal

LIMITS = limits.Limits(5, 10**6, 2 * 10**6, 10**6, 10.0, 3)
NAME = 'ward 3/secret name.png'


def waiting(place) -> photograph_file.PhotographFile:
  return photograph_file.PhotographFile('1', NAME, place / '1', 'ab', (9, 9), 9)


def failed(place, error: Exception) -> photograph_file.PhotographFile:
  """A photograph whose analysis raised this."""

  def find(*_: Any) -> None:
    raise error

  analysing: Any = builtin_types.SimpleNamespace(network='n', class_names=('a', 'b'), find=find)
  own, photograph = session.Session(place, 'token', analysing, LIMITS), waiting(place)
  own.add(photograph)
  own.analyse([photograph])
  assert photograph.state == photograph_file.FAILED
  return photograph


def test_a_fault_of_the_program_is_a_sentence_on_the_page_and_a_traceback_in_the_log(tmp_path, capsys):
  photograph = failed(tmp_path, KeyError('no such layer'))
  assert photograph.reason == "could not be analysed ('no such layer')"
  printed = capsys.readouterr().err
  assert printed.startswith('Traceback')
  assert printed.endswith("KeyError: 'no such layer'\n")
  assert 'in find' in printed


@pytest.mark.parametrize('kind', [types.UserError, types.RunError])
def test_a_known_failure_names_no_uploaded_file_in_the_log(kind, tmp_path, capsys):
  assert NAME in failed(tmp_path, kind(f'{NAME}: the output is not finite')).reason
  assert capsys.readouterr().err == ''


def test_cells_that_cannot_be_classified_fail_alone_and_what_comes_later_is_counted(tmp_path, capsys):
  """A fault after the cells were found left them in every later classification, which then failed as well."""

  def find(photographs, _: Any) -> list[analysis.Found]:
    return [analysis.Found((cell.Cell(one.shown, one.digest, 1, None),), (None,), '') for one in photographs]

  def classify(cells, *_: Any) -> Any:
    if any(one.file == 'bad.png' for one in cells):
      raise FloatingPointError('not finite')
    return differential_count.classify(cells, np.array([[0.9, 0.1]] * len(cells)), ('a', 'b'), None, None)

  analysing: Any = builtin_types.SimpleNamespace(
    network='n', class_names=('a', 'b'), find=find, classify=classify, repeated=lambda *_: {}
  )
  own = session.Session(tmp_path, 'token', analysing, LIMITS)
  photographs = [
    photograph_file.PhotographFile(name, f'{name}.png', tmp_path / name, name, (9, 9), 9)
    for name in ('first', 'bad', 'last')
  ]
  for photograph in photographs:
    own.add(photograph)
    own.analyse([photograph])
  states = [photograph.state for photograph in photographs]
  assert states == [photograph_file.DONE, photograph_file.FAILED, photograph_file.DONE]
  assert photographs[1].reason == 'could not be analysed (not finite)'
  assert capsys.readouterr().err.endswith('FloatingPointError: not finite\n')
  assert [one.file for one in own.classified().cells] == ['first.png', 'last.png']


def test_only_that_no_file_can_be_read_is_said_of_each_photograph(tmp_path, monkeypatch):
  analysing: Any = object.__new__(analysis.Analysis)
  vars(analysing).update(loaded=None, spec=None, _cells_of=None, _frames_of=None)
  kept = journal.Journal(tmp_path / 'journal.jsonl', 'n', ('a', 'b'))

  def find(error: Exception) -> list[analysis.Found]:
    def predict_files(*_: Any) -> None:
      raise error

    monkeypatch.setattr(file_predictions, 'predict_files', predict_files)
    return analysing.find([waiting(tmp_path)], kept)

  assert find(file_predictions.NoneUsable('none can be used'))[0].reason == 'cannot be read again'
  with pytest.raises(types.UserError, match='no space'):
    find(types.UserError('the disk has no space'))


def test_the_note_counts_the_unlike_cells_that_are_still_without_a_label(tmp_path):
  num = 10
  judged = unlike.Judgement(
    np.ones(num), np.ones(num, bool), ('stain',) * num, (unlike.Folder('', num, ('stain',), 9.0, 3.0),), False,
    np.zeros(num, int), 1,
  )  # fmt: skip

  def find(photographs, _: Any) -> list[analysis.Found]:
    cells = [cell.Cell(one.shown, one.digest, 1, None) for one in photographs]
    return [analysis.Found((each,), (None,), '') for each in cells]

  def classify(cells, *_: Any) -> Any:
    probs_NK = np.array([[0.9, 0.1]] * len(cells))
    return differential_count.classify(cells, probs_NK, ('a', 'b'), None, judged.take(range(len(cells))))

  analysing: Any = builtin_types.SimpleNamespace(
    network='n', class_names=('a', 'b'), find=find, classify=classify, repeated=lambda *_: {}, confidence=0.95
  )
  own = session.Session(tmp_path, 'token', analysing, limits.Limits(num, 10**6, 10**6, 10**6, 10.0, 3))
  photographs = [
    photograph_file.PhotographFile(str(i), f'{i}.png', tmp_path / str(i), str(i), (9, 9), 9)
    for i in range(num)
  ]
  for photograph in photographs:
    own.add(photograph)
  own.analyse(photographs)
  for num_labelled, note in ((0, '10 of 10 cells are'), (7, '3 of 10 cells are'), (10, '')):
    own.label([f'{i}/1' for i in range(num_labelled)], 'a')
    counted = own.count()
    assert counted['num_unlike'] == num - num_labelled
    said = [line for line in counted['warnings'] if unlike.WITHHELD in line]
    assert [note in line for line in said] == [True] * bool(note)
