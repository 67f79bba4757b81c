"""The labels of a session as the list that the review page exports, which `data.labels_csv` takes."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from bloodcell_jax.data.images import image_files
from bloodcell_jax.inference import differential_count
from bloodcell_jax.serving import label as label_lib
from bloodcell_jax.serving import uploaded_name


def write(
  classified: differential_count.ClassifiedCells, labels: Mapping[str, label_lib.Label], model: str
) -> str:
  """The CSV text; files are named relative to the dropped folder where all lie in one.

  Args:
    classified: all cells.
    labels: by key of the cell; only labelled cells are listed.
    model: names what predicted.
  """
  top = uploaded_name.common_folder([one.file for one in classified.cells])
  header = ['file', 'sha256_16', 'machine_label', 'human_label', 'confidence', 'model', 'time']
  if classified.has_boxes:
    header[1:1] = ['cell', 'left', 'top', 'right', 'bottom']
  rows: list[list[Any]] = [header]
  for row, one in enumerate(classified.cells):
    label = labels.get(one.key)
    if label is None:
      continue
    place = [one.number, *(one.box.as_tuple() if one.box else ('',) * 4)] if classified.has_boxes else []
    rows.append(
      [
        one.file.removeprefix(top),
        *place,
        image_files.marked(one.digest),
        classified.predicted[row],
        label.name,
        f'{classified.probs_NK[row].max():.6f}',
        model,
        label.time,
      ]
    )
  text = io.StringIO()
  csv.writer(text, lineterminator='\n').writerows(rows)
  # Without the mark Excel takes UTF-8 for another encoding; plain text needs none.
  return ('' if text.getvalue().isascii() else '\ufeff') + text.getvalue()
