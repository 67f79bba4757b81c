"""What the page shows of a cell."""

from __future__ import annotations

from typing import Any

from bloodcell_jax.base import cell
from bloodcell_jax.inference import differential_count
from bloodcell_jax.serving import label as label_lib


def describe(
  identity: str,
  frame: cell.Box | None,
  classified: differential_count.ClassifiedCells,
  row: int,
  label: label_lib.Label | None,
) -> dict[str, Any]:
  """The cell as JSON values.

  Args:
    identity: of the cell, for the page.
    frame: what the network saw of the photograph; None where that is not a part of known place.
    classified: all cells.
    row: of one with this cell's key.
    label: that a person gave it.
  """
  one = classified.cells[row]
  return {
    'id': identity,
    'number': one.number,
    'box': one.box and one.box.as_tuple(),
    'frame': frame and frame.as_tuple(),
    'predicted': classified.predicted[row],
    'likeliest': classified.likeliest[row],
    'confidence': float(classified.probs_NK[row].max()),
    'set': classified.sets[row],
    'unlike': classified.judgement.reason_N[row] if classified.judgement else '',
    'marks': one.marks,
    'counted_in': _counted_in(classified, row),
    'label': label and label.name,
  }


def changed(
  before: differential_count.ClassifiedCells | None, after: differential_count.ClassifiedCells
) -> set[str]:
  """The files of which the page shows something else than before, apart from those that are new.

  Another photograph can change what is withheld of a folder, and where a cell is counted.
  """
  old = {} if before is None else _by_cell(before)
  return {file for (file, key), shown in _by_cell(after).items() if old.get((file, key)) not in (None, shown)}


def _by_cell(classified: differential_count.ClassifiedCells) -> dict[tuple[str, str], tuple[str, str]]:
  """By file and key of a cell: what of it other photographs can change."""
  return {
    (one.file, one.key): (classified.predicted[row], _counted_in(classified, row))
    for row, one in enumerate(classified.cells)
  }


def _counted_in(classified: differential_count.ClassifiedCells, row: int) -> str:
  """The photograph in which a cell that is shown again is counted; '' for any other."""
  repeated = classified.repeat_of[row]
  return '' if repeated is None else classified.cells[repeated].file
