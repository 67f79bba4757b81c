"""The files of a prediction: predictions, counts, `predict.json`, pictures and the page for review."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import types, wording
from bloodcell_jax.data.images import cell_view, conversions, decode, sizes
from bloodcell_jax.inference import (
  answered_cells,
  cell_finder,
  classifier,
  count_page,
  differential_count,
  file_predictions,
  laboratory_count,
  overlays,
  page_sections,
  review_page,
)
from bloodcell_jax.reports import report, review_images
from bloodcell_jax.stats import calibration, unlike
from bloodcell_jax.storage import journal, label_next_csv, prediction_folder, workdir
from bloodcell_jax.system import atomic

# Each image beside its heat map, or None where either is missing.
Heats = Callable[
  [classifier.Classifier, Iterable[np.ndarray | None]], Iterator[tuple[np.ndarray | None, np.ndarray | None]]
]


@dataclasses.dataclass(frozen=True)
class Wanted:
  """What the user asked for."""

  overlays: bool  # a picture of each photograph that was searched
  heats: Heats | None  # the map of each cell on the review page; None for none
  review_max: int  # at most so many cells on it
  count: laboratory_count.Wanted


@dataclasses.dataclass(frozen=True)
class Origin:
  """Where the cells come from and what answered."""

  folder: workdir.Workdir  # of the run
  network: str  # its fingerprint
  paths: Sequence[str]  # as the user named them
  remarks: Sequence[str]  # how they were read
  left_out: Sequence[types.Problem]  # what was named and is no image


def describe(
  loaded: classifier.Classifier,
  answered: answered_cells.AnsweredCells,
  spec: decode.Spec,
  known: journal.Journal,
  origin: Origin,
) -> dict[str, Any]:
  """What `predict.json` holds, but for the pictures.

  Args:
    loaded: what predicted.
    answered: all cells.
    spec: how each became the network's input.
    known: describes the photographs.
    origin: of the cells.
  """
  photographs = {
    one.file: known.about[one.digest] for one in answered.predictions.cells if one.digest in known.about
  }
  # Cells that were found, or are cut by their own scale, are seen at one scale, whatever the size of their photograph.
  has_scale = answered.classified.has_boxes or spec.view in cell_view.SIDES
  wholes = [] if has_scale else [about.size for about in photographs.values()]
  notes = (types.Problem(file, note) for file, about in photographs.items() for note in about.notes)
  problems = [*origin.left_out, *answered.predictions.problems]
  return {
    'note': loaded.note,
    prediction_folder.RUN: str(origin.folder.path.resolve()),
    prediction_folder.MODEL: origin.network,
    'checkpoint': loaded.origin,
    'calibrated': answered.classified.calibrated,
    prediction_folder.PATHS: prediction_folder.absolute(origin.paths),
    'differential': differential_count.count(answered.classified, loaded.job.experiment.intervals.confidence),
    'photographs': count_page.photographs(answered.predictions, origin.left_out),
    'problems': [str(problem) for problem in problems],
    'reading': list(origin.remarks),
    'conversions': conversions.count(notes),
    'other_size': sizes.warning(wholes, trained_sizes(origin.folder)),
  }


def trained_sizes(folder: workdir.Workdir) -> dict[str, Sequence[int]]:
  """`sizes.summary` of the images that the run was trained on; empty where it does not record it."""
  found: dict[str, Sequence[int]] = folder.read_environment()['data'].get('image_sizes', {})
  return found


def write(
  target: pathlib.Path,
  loaded: classifier.Classifier,
  answered: answered_cells.AnsweredCells,
  spec: decode.Spec,
  about: dict[str, Any],
  folder: workdir.Workdir,
  wanted: Wanted,
) -> laboratory_count.Count:
  """Writes all files; the review page comes last. Returns the count of `count.html`.

  Args:
    target: the folder of the prediction.
    loaded: what predicted.
    answered: all cells.
    spec: how each became the network's input.
    about: as `describe` gives it.
    folder: of the run.
    wanted: what the user asked for.

  Raises:
    signals.Stopped: a stop was requested.
  """
  classified, predictions = answered.classified, answered.predictions
  drawn = (
    overlays.write(target, classified, predictions.path, spec.max_pixels, loaded.job.poll)
    if wanted.overlays
    else {}
  )
  differential_count.write_predictions(target / prediction_folder.PREDICTIONS, classified)
  differential_count.write_count(target / 'differential.csv', about['differential'])
  atomic.write_json(target / prediction_folder.FILE, {**about, 'overlays': drawn})
  counted = count_page.write(target, folder, loaded, classified, about, wanted.count)
  rows, num_next = review_page.in_order(classified, label_next_csv.read(folder), wanted.review_max)
  pictures = _pictures(loaded, predictions, rows, spec, wanted.heats)
  text = _review(target, loaded, classified, rows, num_next, pictures, about, folder)
  atomic.write_text(target / 'review.html', text)
  return counted


def _pictures(
  loaded: classifier.Classifier,
  predictions: file_predictions.CellPredictions,
  rows: Sequence[int],
  spec: decode.Spec,
  heats: Heats | None,
) -> Iterator[tuple[str, str]]:
  images = file_predictions.read_images(predictions, rows, spec, cell_finder.framer(spec.view))
  without = ((image_HWC, None) for image_HWC in images)
  for image_HWC, heat_HW in heats(loaded, images) if heats else without:
    loaded.job.poll()
    yield (
      ('', '')
      if image_HWC is None
      else (review_images.jpeg(image_HWC), '' if heat_HW is None else review_images.heat(heat_HW))
    )


def _review(
  target: pathlib.Path,
  loaded: classifier.Classifier,
  classified: differential_count.ClassifiedCells,
  rows: Sequence[int],
  num_next: int,
  pictures: Iterator[tuple[str, str]],
  about: dict[str, Any],
  folder: workdir.Workdir,
) -> str:
  difference = about['differential']
  first = unlike.line(difference['unlike'])
  notes = [
    *(wording.capital(line) for line in (first, calibration.left_for_review(loaded.rule))),
    loaded.note,
    about['other_size'],
    *differential_count.warnings(difference),
    report.RESEARCH_ONLY,
  ]
  return review_page.render(
    classified,
    rows,
    num_next,
    pictures,
    {'title': f'{target.name}, by {folder.path.name}', 'model': f'{folder.path.name} {about["model"]}'},
    [note for note in notes if note],
    [
      page_sections.sources(about),
      page_sections.differential(difference),
      '' if first else page_sections.performance(folder),
      page_sections.problems(about['problems']),
    ],
  )
