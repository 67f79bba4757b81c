"""Export a run's best checkpoint as a portable model, checked against the run's own network on its own images."""

from __future__ import annotations

import pathlib

from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.base import types
from bloodcell_jax.export import folder as export_folder
from bloodcell_jax.export import formats, parity, program, samples
from bloodcell_jax.inference import classifier
from bloodcell_jax.runs import compact_run, data_place, saved_run
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import console, lock
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals

# What to do where the results cannot be written.
WHERE_ELSE = 'name a writable folder with --to'


def define_flags() -> None:
  """The formats, and the folder to write."""
  names = ', '.join(formats.FORMATS)
  flags.DEFINE_list(
    'format', [], f'one or more of {names}, separated by commas; if empty, all whose libraries are installed'
  )
  flags.DEFINE_string('to', '', 'the folder to write; if empty, WORKDIR/export')
  flags.DEFINE_string('data_dir', '', "the folder of the run's images, if they have been moved")


def run(request: commands.Request, stop: signals.Stop) -> None:
  """Writes the formats, the contract and the model card, or nothing."""
  if not request.workdir and request.config is None:
    raise types.UserError('export needs the folder of a run: --workdir=runs/NAME')
  if request.paths:
    raise types.UserError(
      f'{request.paths[0]}: export takes no paths; the formats are --format, the folder is --to'
    )
  progress = progress_lib.Progress()
  chosen, left_out = formats.choose(flags.FLAGS.format)
  folder = workdir.Workdir(request.folder())
  target = pathlib.Path(flags.FLAGS.to or folder.path / 'export')
  export_folder.check(target, folder)
  exp = saved_run.read_experiment(folder, request.config)
  console.keep(folder.log)
  saved_run.refuse_cross_validation(folder, exp, 'export')
  has_images = bool(commands.data_dir()) or not compact_run.is_here(folder)
  if has_images:
    exp = data_place.find(folder, exp, commands.data_dir(), progress.line)
  lock.take(target, beside=True)
  loaded = classifier.load(folder, stop)
  progress.line(
    f'reading images: {exp.data.source if has_images else "drawn smears, as the run came without its own"}'
  )
  images = samples.read(folder, exp, parity.MAX_IMAGES) if has_images else samples.draw(folder, exp)
  if has_images:
    data_place.remember(folder, exp)
  for line in left_out:
    progress.line(line)
  export_folder.write(
    target, folder, loaded, program.build(loaded), chosen, images, loaded.job.poll, progress.line
  )
  progress.line(f'model card: {target / export_folder.CARD_TEXT}')
  if loaded.note:
    progress.line(loaded.note)
