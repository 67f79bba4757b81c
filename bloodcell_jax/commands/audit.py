"""Find duplicates and leaks in a data set, and propose groups for its images."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import time
from collections.abc import Callable

from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.audit import grouping, messages, near_duplicates, outputs, scan
from bloodcell_jax.audit import summary as summary_lib
from bloodcell_jax.base import rng, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import reading
from bloodcell_jax.data.images import conversions, copies, decode, image_files
from bloodcell_jax.system import atomic, console, lock
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals

CONFIG = 'configs/default.py'  # without --config
EXIT_LEAK = 3
EXIT_NOT_COMPARED = 4
# What to do where the results cannot be written.
WHERE_ELSE = 'name a writable folder with --workdir'


def define_flags() -> None:
  """The number of images to compare."""
  flags.DEFINE_integer(
    'max_images', 0, 'compare a sample of this size, spread evenly over all classes of all splits; 0 for all'
  )


def run(request: commands.Request, stop: signals.Stop) -> int:
  """Writes audit.json, groups.csv, pairs.csv and figures.

  Returns:
    3 if images leak between splits; else 4 if images were not compared, such as those outside a sample; else 0.
  """
  if request.paths:
    raise types.UserError(
      f'{request.paths[0]}: name the folder with --config.data.source=folders --config.data.dir'
    )
  if flags.FLAGS.max_images < 0:
    raise types.UserError(f'max_images is {flags.FLAGS.max_images}; it must be 0 or more')
  start, progress = time.monotonic(), progress_lib.Progress()
  exp, folder = experiment.resolve(request.config), pathlib.Path(request.workdir or 'runs/audit')
  lock.take(folder, beside=True)

  scanned, num_all, num_outside = _scan(exp, stop.poll, progress)
  table = scanned.table
  progress.line('  comparing reduced images')
  copies_P2 = copies.pairs(scanned.signature_ND, stop.poll)
  with decode.quiet():
    duplicates = near_duplicates.find(
      scanned.points,
      grouping.with_pairs(scanned.pixels_N, copies_P2),
      lambda row: decode.upright(table.content[row], exp.data.decode.max_pixels),
      rng.generator(exp.seed, 'audit'),
      os.cpu_count() or 1,
      stop.poll,
      lambda text: progress.line(f'  {text}'),
    )
  proposed_N = grouping.united(duplicates.group_N, table.group)
  progress.line('  comparing colours and names')
  stop.poll()
  summary = {
    'images': len(table),
    'images_in_all': num_all,
    'conversions': conversions.count(scanned.notes),
    **summary_lib.compute(scanned, duplicates, proposed_N, exp.data, exp.seed, num_outside),
    'seconds': round(time.monotonic() - start, 1),
  }
  outputs.write(folder, scanned, duplicates, copies_P2, proposed_N, exp.data.decode.max_pixels, stop.poll)
  # Written last: where it exists, everything else does.
  atomic.write_json(folder / 'audit.json', summary)
  console.keep(folder / 'log.txt')
  for line in messages.lines(summary, folder):
    progress.line(line)
  if summary['leak']:
    return EXIT_LEAK
  return EXIT_NOT_COMPARED if summary['not_compared']['images'] else 0


def _scan(
  exp: experiment.Experiment, poll: Callable[[], None], progress: progress_lib.Progress
) -> tuple[scan.Scan, int, int]:
  """The scanned images, the number of images of the data, and how many of these lie outside the sample."""
  progress.line(f'reading images: {exp.data.source}')
  found = reading.read_source(exp.data)
  for line in found.remarks:
    progress.line(line)
  table, problems = found.table, found.problems
  num_all, most = len(table), flags.FLAGS.max_images
  if 0 < most < num_all:
    table = table.take(scan.stratified_sample(table, most, rng.generator(exp.seed, 'audit images')))
    progress.line(f'  {len(table):,} of {num_all:,} images, spread evenly over all classes of all splits')
  scanned = scan.read(table, exp.data.decode.max_pixels, poll, progress.counter('images read'))
  problems = [*problems, *scanned.problems]
  if problems and exp.data.on_bad_image == 'fail':
    raise types.UserError(reading.complaint(problems))
  for problem in problems:
    progress.line(f'left out: {problem}')
  if converted := conversions.line(conversions.count(scanned.notes)):
    progress.line(converted)
  if not len(scanned.table):
    raise types.UserError(f'{table.name}: no image can be used')
  # Other files than images are left out too, and need no comparison.
  images = [
    problem for problem in problems if image_files.is_image(problem.file) or problem in scanned.problems
  ]
  return dataclasses.replace(scanned, problems=images), num_all, num_all - len(table)
