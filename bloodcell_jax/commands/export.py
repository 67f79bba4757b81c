"""A run's best checkpoint as a portable model, compared with the run's own network on its own images."""

from __future__ import annotations

import pathlib

from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.base import types
from bloodcell_jax.export import folder as export_folder
from bloodcell_jax.export import formats, parity, program, samples
from bloodcell_jax.inference import classifier
from bloodcell_jax.runs import saved_run
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import lock
from bloodcell_jax.train import progress, signals


def define_flags() -> None:
  """What to write, and where."""
  names = ', '.join(formats.FORMATS)
  flags.DEFINE_list('format', [], f'{names}, or several with commas; all that are installed when empty')
  flags.DEFINE_string('to', '', 'the folder to write; WORKDIR/export when empty')


def run(request: commands.Request, stop: signals.Stop) -> None:
  """Writes the formats and the model card, or nothing."""
  if not request.workdir and request.config is None:
    raise types.UserError('export needs the folder of a run: --workdir=runs/NAME')
  if request.paths:
    raise types.UserError(
      f'{request.paths[0]}: export takes no paths; the formats are --format, the folder is --to'
    )
  shown = progress.Progress()
  chosen, left_out = formats.choose(flags.FLAGS.format)
  folder = workdir.Workdir(request.folder())
  target = pathlib.Path(flags.FLAGS.to or folder.path / 'export')
  export_folder.check(target)
  exp = saved_run.read_experiment(folder, request.config)
  saved_run.refuse_cross_validation(folder, exp, 'export')
  lock.take(target, beside=True)
  loaded = classifier.load(folder, stop)
  shown.line(f'reading images: {exp.data.source}')
  images = samples.read(folder, exp, parity.MOST_IMAGES)
  for line in left_out:
    shown.line(line)
  export_folder.write(
    target, folder, loaded, program.of(loaded), chosen, images, loaded.made.poll, shown.line
  )
  shown.line(f'model card: {target / export_folder.CARD_TEXT}')
  if loaded.note:
    shown.line(loaded.note)
