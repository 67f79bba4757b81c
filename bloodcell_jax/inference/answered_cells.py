"""Image files to answered cells: found, named or withheld, and counted once where photographs overlap."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence

from bloodcell_jax.data.images import decode
from bloodcell_jax.data.sources import input_paths
from bloodcell_jax.inference import (
  cell_finder,
  classifier,
  differential_count,
  field_overlaps,
  file_predictions,
  foreign_cells,
)
from bloodcell_jax.stats import unlike
from bloodcell_jax.storage import journal
from bloodcell_jax.train import progress as progress_lib


@dataclasses.dataclass(frozen=True)
class AnsweredCells:
  """The cells of some image files, with what the network says and what is made of it."""

  predictions: file_predictions.CellPredictions
  classified: differential_count.ClassifiedCells  # the same N cells
  num_aligned: int  # cells of another laboratory that were predicted again by the aligned network


def answer(
  loaded: classifier.Classifier,
  files: Sequence[input_paths.Input],
  spec: decode.Spec,
  cells: str,
  trained_sizes: Mapping[str, Sequence[int]],
  keep_unlike: bool,
  known: journal.Journal,
  progress: progress_lib.Progress,
) -> AnsweredCells:
  """Predicts the cells of the files; those in the journal are taken from there.

  Args:
    loaded: the classifier.
    files: which.
    spec: how each cell becomes the network's input.
    cells: what the photographs show, as `cell_finder.finder` takes it.
    trained_sizes: `sizes.summary` of the training images; empty where the run does not record it.
    keep_unlike: whether cells unlike the training keep their class.
    known: what has been predicted before; the rest is added batch by batch.
    progress: where progress is printed.

  Raises:
    signals.Stopped: a stop was requested; what has been predicted is in the journal.
    UserError: none of the files can be read.
    RunError: the output for a cell is not finite.
  """
  from_training = cell_finder.from_training(spec.view, trained_sizes)
  singles = cell_finder.survey([file.path for file in files], spec.max_pixels, from_training, cells)
  frames_of = cell_finder.framer(spec.view)
  predictions = file_predictions.predict_files(
    loaded,
    files,
    spec,
    known,
    progress.counter('images predicted'),
    cell_finder.finder(cells, singles),
    frames_of,
  )
  judgement = _judgement(loaded, predictions, keep_unlike)
  predictions, num_aligned = foreign_cells.predict_again(loaded, predictions, judgement, spec, frames_of)
  classified = differential_count.classify(
    predictions.cells, predictions.probs_NK, loaded.class_names, loaded.rule, judgement
  )
  classified = field_overlaps.counted_once(classified, predictions.path, spec.max_pixels, loaded.job.poll)
  return AnsweredCells(predictions, classified, num_aligned)


def _judgement(
  loaded: classifier.Classifier, predictions: file_predictions.CellPredictions, keep: bool
) -> unlike.Judgement | None:
  if loaded.measure is None or predictions.look_NL is None:
    return None
  folders = [os.path.dirname(path) for path in predictions.path]
  spec = loaded.job.experiment.unlike
  return unlike.judge(loaded.measure.references, predictions.look_NL, folders, spec, keep)
