"""`predict`: classifies images; writes predictions, a differential count and a page for review.

Without the folder of a run it uses the model in the box.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.base import types, wording
from bloodcell_jax.data.images import cell_view, conversions, decode, sizes
from bloodcell_jax.data.sources import input_paths
from bloodcell_jax.explain import heat_maps
from bloodcell_jax.inference import (
  cell_finder,
  classifier,
  count_page,
  differential_count,
  field_overlaps,
  file_predictions,
  foreign_cells,
  laboratory_count,
  overlays,
  page_sections,
  review_page,
  reviewers,
)
from bloodcell_jax.reports import report, review_images
from bloodcell_jax.runs import unlike_measure
from bloodcell_jax.stats import calibration, unlike
from bloodcell_jax.storage import box, journal, label_next_csv, prediction_folder, workdir
from bloodcell_jax.system import atomic, console
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals

# What to do where the results cannot be written.
WHERE_ELSE = 'name a writable folder with --to'


def define_flags() -> None:
  """Where the files go, how images are cropped, how many are on the review page."""
  flags.DEFINE_string(
    'to',
    '',
    'folder for the results; if empty, WORKDIR/predict/NAME, with the name of the path; without --workdir, '
    'runs/predict/NAME',
  )
  flags.DEFINE_string(
    'view',
    '',
    'what the network sees of an image: full, nucleus, cell or cell_close; if empty, as in training. For pictures of '
    'single cells: full',
  )
  flags.DEFINE_string(
    'cells',
    '',
    'one: each photograph shows one cell; many: find every white cell of each; auto: tell the two kinds apart; if '
    'empty, one for a network of whole pictures (data.view full), else auto, as with the model in the box',
  )
  flags.DEFINE_bool(
    'overlays', True, 'save a picture of each photograph that was searched, with its cells boxed'
  )
  flags.DEFINE_integer(
    'count', 0, 'number of cells to count in count.html and count.csv, such as 100 or 200; 0 for all'
  )
  flags.DEFINE_list('reviewers', [], 'two lists exported by the review page, A.csv,B.csv, to be compared')
  flags.DEFINE_bool('heat_maps', True, 'show a Grad-CAM map of each cell on the review page')
  flags.DEFINE_enum(
    'unlike', 'withhold', ['withhold', 'keep'],
    'cells that do not look like the training images: withhold their class, or keep it, without intervals',
  )  # fmt: skip
  flags.DEFINE_integer('review_max', 2000, 'how many of the least certain cells to review')


def run(request: commands.Request, stop: signals.Stop) -> None:
  """Predicts every image that the paths name; the same command continues an interrupted prediction."""
  if not request.paths:
    raise types.UserError('predict needs images: name files, folders, patterns or a .csv with a column file')
  values, progress = flags.FLAGS, progress_lib.Progress()
  if values.review_max < 0:
    raise types.UserError(f'review_max is {values.review_max}; it must be 0 or more')
  cell_finder.check(values.cells)
  laboratory_count.check(values.count)
  reviewers.check(values.reviewers)
  is_box = not request.workdir or box.is_meant(request.workdir)
  if is_box:
    progress.line(box.line())
  folder = workdir.Workdir(box.FOLDER if is_box else request.folder())
  found = input_paths.read(request.paths)
  files, left_out = found.inputs, found.problems
  for line in found.remarks():
    progress.line(line)
  loaded = classifier.load(folder, stop)
  if not is_box:
    console.keep(folder.log)
  spec = loaded.job.experiment.data.decode
  spec = dataclasses.replace(spec, view=values.view or spec.view)
  cells = values.cells or cell_finder.default(spec.view)
  network = file_predictions.fingerprint(loaded, spec, cell_finder.fingerprint(cells))
  target = _target(folder, request.paths, network, box.PREDICTIONS if is_box else folder.path / 'predict')
  console.keep(target / folder.log.name)
  known = journal.Journal(target / 'journal.jsonl', network, loaded.class_names)
  before = wording.counted(len(known.known), 'cell')
  progress.line(f'{wording.counted(len(files), "file")}; {before} predicted already')
  trained = folder.read_environment()['data'].get('image_sizes', {})
  from_training = cell_finder.from_training(spec.view, trained)
  singles = cell_finder.survey([file.path for file in files], spec.max_pixels, from_training, cells)
  predictions = file_predictions.predict_files(
    loaded,
    files,
    spec,
    known,
    progress.counter('images predicted'),
    cell_finder.finder(cells, singles),
    cell_finder.framer(spec.view),
  )
  judgement = _judgement(loaded, predictions)
  predictions, num_aligned = foreign_cells.predict_again(
    loaded, predictions, judgement, spec, cell_finder.framer(spec.view)
  )
  classified = differential_count.classify(
    predictions.cells,
    predictions.probs_NK,
    loaded.class_names,
    loaded.rule,
    judgement,
  )
  classified = field_overlaps.counted_once(classified, predictions.path, spec, loaded.job.poll)
  difference = differential_count.count(classified, loaded.job.experiment.intervals.confidence)
  problems = [*left_out, *predictions.problems]
  photographs = {one.file: known.about[one.digest] for one in predictions.cells if one.digest in known.about}
  converted = conversions.count(
    types.Problem(file, note) for file, about in photographs.items() for note in about.notes
  )
  # Cells that were found, or are cut by their own scale, are seen at one scale, whatever the size of their photograph.
  has_scale = classified.has_boxes or spec.view in cell_view.SIDES
  wholes = [] if has_scale else [about.size for about in photographs.values()]
  other_size = sizes.warning(wholes, trained)
  aligned = foreign_cells.line(num_aligned) if num_aligned else ''
  for line in filter(None, (conversions.line(converted), other_size, aligned)):
    progress.line(line)
  about = {
    'note': loaded.note,
    prediction_folder.RUN: str(folder.path.resolve()),
    prediction_folder.MODEL: network,
    'checkpoint': loaded.origin,
    'calibrated': classified.calibrated,
    prediction_folder.PATHS: prediction_folder.absolute(request.paths),
    'differential': difference,
    'problems': [str(problem) for problem in problems],
    'reading': found.remarks(),
    'conversions': converted,
    'other_size': other_size,
    'overlays': overlays.write(target, classified, predictions.path, spec, loaded.job.poll)
    if values.overlays
    else {},
  }
  differential_count.write_predictions(target / prediction_folder.PREDICTIONS, classified)
  differential_count.write_count(target / 'differential.csv', difference)
  atomic.write_json(target / prediction_folder.FILE, about)
  count_page.write(
    target, folder, loaded, classified, about, laboratory_count.Wanted(values.count, tuple(values.reviewers))
  )
  rows, num_next = review_page.in_order(classified, label_next_csv.read(folder), values.review_max)
  pictures = _pictures(loaded, predictions, rows, spec)
  atomic.write_text(
    target / 'review.html', _review(target, folder, loaded, classified, rows, num_next, pictures, about)
  )
  _print_summary(target, folder, difference, problems, loaded, progress)


def _target(
  folder: workdir.Workdir, paths: Sequence[str], network: str, parent: pathlib.Path
) -> pathlib.Path:
  """The folder for the results, locked; in `parent` unless the user names one."""
  if not flags.FLAGS.to:
    return prediction_folder.take(parent, paths)
  target = pathlib.Path(flags.FLAGS.to)
  prediction_folder.refuse_others(target, (prediction_folder.FILE, prediction_folder.PREDICTIONS))
  prediction_folder.claim(target, paths, folder.path, network)
  return target


def _judgement(
  loaded: classifier.Classifier, predictions: file_predictions.CellPredictions
) -> unlike.Judgement | None:
  if loaded.measure is None or predictions.look_NL is None:
    return None
  folders = [os.path.dirname(path) for path in predictions.path]
  spec = loaded.job.experiment.unlike
  keep = flags.FLAGS.unlike == 'keep'
  return unlike.judge(loaded.measure.references, predictions.look_NL, folders, spec, keep)


def _review(
  target: pathlib.Path,
  folder: workdir.Workdir,
  loaded: classifier.Classifier,
  classified: differential_count.ClassifiedCells,
  rows: Sequence[int],
  num_next: int,
  pictures: Iterator[tuple[str, str]],
  about: dict[str, Any],
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


def _pictures(
  loaded: classifier.Classifier,
  predictions: file_predictions.CellPredictions,
  rows: Sequence[int],
  spec: decode.Spec,
) -> Iterator[tuple[str, str]]:
  images = file_predictions.read_images(predictions, rows, spec, cell_finder.framer(spec.view))
  without = ((image_HWC, None) for image_HWC in images)
  for image_HWC, heat_HW in heat_maps.heats(loaded, images) if flags.FLAGS.heat_maps else without:
    loaded.job.poll()
    yield (
      ('', '')
      if image_HWC is None
      else (review_images.jpeg(image_HWC), '' if heat_HW is None else review_images.heat(heat_HW))
    )


def _print_summary(
  target: pathlib.Path,
  folder: workdir.Workdir,
  difference: dict[str, Any],
  problems: Sequence[types.Problem],
  loaded: classifier.Classifier,
  progress: progress_lib.Progress,
) -> None:
  for problem in problems[:20]:
    progress.line(f'left out: {problem}')
  if len(problems) > 20:
    progress.line(f'and {len(problems) - 20:,} more, in {target / prediction_folder.FILE}')
  if first := unlike.line(difference['unlike']):
    progress.line(first)
  for name, entry in difference['classes'].items():
    share = '' if entry['share'] is None else f' {entry["share"]:.1%}'
    if share and entry['low'] is not None:
      share += f' [{entry["low"]:.1%}, {entry["high"]:.1%}]'
    progress.line(f'  {name}: {entry["count"]:,}{share}')
  for line in differential_count.left_for_review(difference):
    progress.line(f'  {line}')
  if loaded.measure is None:
    progress.line(unlike_measure.missing(folder))
  if loaded.rule is None:
    progress.line(
      'the run has no calibration.json, so every cell is accepted; evaluate the run to calibrate it'
    )
  notes = (
    differential_count.duplicates(difference),
    differential_count.not_counted(difference),
    *differential_count.warnings(difference),
    calibration.left_for_review(loaded.rule),
    loaded.note,
  )
  for note in notes:
    if note:
      progress.line(note)
  more = ', overlays/' if (target / overlays.FOLDER).is_dir() else ''
  progress.line(f'{target / "predictions.csv"}, differential.csv, review.html, count.html, count.csv{more}')
  progress.line(report.RESEARCH_ONLY)
