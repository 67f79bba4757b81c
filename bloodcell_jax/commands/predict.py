"""`predict`: classifies images; writes predictions, a differential count and a page for review.

Without the folder of a run it uses the model in the box.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.base import types, wording
from bloodcell_jax.data.images import conversions
from bloodcell_jax.data.sources import input_paths
from bloodcell_jax.explain import heat_maps
from bloodcell_jax.inference import (
  answered_cells,
  cell_finder,
  classifier,
  file_predictions,
  foreign_cells,
  laboratory_count,
  megapixels,
  prediction_outputs,
  prediction_summary,
  reviewers,
)
from bloodcell_jax.storage import box, journal, prediction_folder, workdir
from bloodcell_jax.system import console
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
  flags.DEFINE_integer(
    'most_megapixels', 0, 'largest size of a photograph, in megapixels; 0 for data.max_pixels of the training'
  )


def run(request: commands.Request, stop: signals.Stop) -> None:
  """Predicts every image that the paths name; the same command continues an interrupted prediction."""
  values, progress = flags.FLAGS, progress_lib.Progress()
  wanted = _wanted(request.paths)
  is_box = not request.workdir or box.is_meant(request.workdir)
  if is_box:
    progress.line(box.line())
  folder = workdir.Workdir(box.FOLDER if is_box else request.folder())
  found = input_paths.read(request.paths)
  for line in found.remarks():
    progress.line(line)
  loaded = classifier.load(folder, stop)
  if not is_box:
    console.keep(folder.log)
  spec = loaded.job.experiment.data.decode
  most = values.most_megapixels * megapixels.MEGAPIXEL or spec.max_pixels
  spec = dataclasses.replace(spec, view=values.view or spec.view, max_pixels=most)
  cells = values.cells or cell_finder.default(spec.view)
  network = file_predictions.fingerprint(loaded, spec, cell_finder.fingerprint(cells))
  target = _target(folder, request.paths, network, box.PREDICTIONS if is_box else folder.path / 'predict')
  console.keep(target / folder.log.name)
  known = journal.Journal(target / 'journal.jsonl', network, loaded.class_names)
  before = wording.counted(len(known.known), 'cell')
  progress.line(f'{wording.counted(len(found.inputs), "file")}; {before} predicted already')
  keep_unlike, trained = values.unlike == 'keep', prediction_outputs.trained_sizes(folder)
  answered = answered_cells.answer(loaded, found.inputs, spec, cells, trained, keep_unlike, known, progress)
  origin = prediction_outputs.Origin(folder, network, request.paths, found.remarks(), found.problems)
  about = prediction_outputs.describe(loaded, answered, spec, known, origin)
  aligned = foreign_cells.line(answered.num_aligned) if answered.num_aligned else ''
  for line in filter(None, (conversions.line(about['conversions']), about['other_size'], aligned)):
    progress.line(line)
  counted = prediction_outputs.write(target, loaded, answered, spec, about, folder, wanted)
  if counted.reviewers is not None:
    progress.line(laboratory_count.agreed(counted.reviewers, counted.confidence))
  for line in prediction_summary.lines(target, folder, loaded, about):
    progress.line(line)


def _wanted(paths: Sequence[str]) -> prediction_outputs.Wanted:
  """What the flags ask for.

  Raises:
    UserError: no image is named, a flag has a value that it cannot have, or the reviewers' lists cannot be compared.
  """
  values = flags.FLAGS
  if not paths:
    raise types.UserError('predict needs images: name files, folders, patterns or a .csv with a column file')
  if values.review_max < 0:
    raise types.UserError(f'review_max is {values.review_max}; it must be 0 or more')
  if values.most_megapixels < 0:
    raise types.UserError(f'most_megapixels is {values.most_megapixels}; it must be 0 or more')
  cell_finder.check(values.cells)
  laboratory_count.check(values.count)
  count = laboratory_count.Wanted(values.count, reviewers.read(values.reviewers))
  heats = heat_maps.heats if values.heat_maps else None
  return prediction_outputs.Wanted(values.overlays, heats, values.review_max, count)


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
