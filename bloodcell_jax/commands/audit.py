"""Duplicates and leaks of a data set, and groups for its images."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Callable

from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.audit import grouping, messages, near_duplicates, outputs, scan, summary
from bloodcell_jax.base import rng, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import reading
from bloodcell_jax.system import atomic, lock
from bloodcell_jax.train import progress, signals

CONFIG = 'configs/default.py'  # where no --config is given
EXIT_LEAK = 3


def define_flags() -> None:
  """How many images to look at."""
  flags.DEFINE_integer(
    'max_images', 0, 'look at so many, drawn evenly from every class of every split; 0 for all'
  )


def run(request: commands.Request, stop: signals.Stop) -> int:
  """Writes audit.json, groups.csv, pairs.csv and figures; 3 where splits share what they should not, else 0."""
  if request.paths:
    raise types.UserError(
      f'{request.paths[0]}: name the folder with --config.data.source=folders --config.data.dir'
    )
  if flags.FLAGS.max_images < 0:
    raise types.UserError(f'max_images is {flags.FLAGS.max_images}; it must be 0 or more')
  began, shown = time.monotonic(), progress.Progress()
  exp, folder = experiment.resolve(request.config), pathlib.Path(request.workdir or 'runs/audit')
  lock.take(folder, beside=True)

  seen, num_all = _see(exp, stop.poll, shown)
  table = seen.table
  found = near_duplicates.find(
    seen.points,
    seen.pixels_N,
    rng.generator(exp.seed, 'audit'),
    os.cpu_count() or 1,
    stop.poll,
    lambda text: shown.line(f'  {text}'),
  )
  proposed_N = grouping.united(found.group_N, table.group)
  shown.line('  comparing colours and names')
  stop.poll()
  told = {
    'images': len(table),
    'images_in_all': num_all,
    **summary.compute(seen, found, proposed_N, exp.data, exp.seed),
    'seconds': round(time.monotonic() - began, 1),
  }
  outputs.write(folder, seen, found, proposed_N, exp.data.decode.max_pixels, stop.poll)
  # Last, so that where it is, the rest is.
  atomic.write_json(folder / 'audit.json', told)
  for line in messages.lines(told, folder):
    shown.line(line)
  return EXIT_LEAK if told['leak'] else 0


def _see(
  exp: experiment.Experiment, poll: Callable[[], None], shown: progress.Progress
) -> tuple[scan.Survey, int]:
  """What was seen in the images, and how many images the data has."""
  shown.line(f'reading images: {exp.data.source}')
  table, problems = reading.read_table(exp.data)
  num_all, most = len(table), flags.FLAGS.max_images
  if 0 < most < num_all:
    table = table.take(scan.evenly(table, most, rng.generator(exp.seed, 'audit images')))
    shown.line(f'  {len(table):,} of {num_all:,} images, drawn evenly from every class of every split')
  seen = scan.read(table, exp.data.decode.max_pixels, poll, shown.counter('images read'))
  problems = [*problems, *seen.problems]
  if problems and exp.data.on_bad_image == 'fail':
    raise types.UserError(reading.complaint(problems))
  for problem in problems:
    shown.line(f'left out: {problem}')
  if not len(seen.table):
    raise types.UserError(f'{table.name}: no image can be used')
  return seen, num_all
