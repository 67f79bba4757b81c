"""`adapt`: makes a run for another laboratory from a few labels, and proposes which images to label next.

Without the folder of a run it adapts the model in the box.
"""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
from typing import Any

from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.adaptation import adapted_run, laboratory
from bloodcell_jax.base import shell, types
from bloodcell_jax.inference import boxed_labels, cell_folder
from bloodcell_jax.runs import saved_run
from bloodcell_jax.storage import box, prediction_folder, workdir
from bloodcell_jax.system import lock
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals

CONFIG = 'configs/default.py'  # without --config, so that the keys below can be given
# The keys that are taken from the config; everything else is the run's.
_KEYS = {'data.dir': 'data_dir', 'data.labels_csv': 'labels_csv', 'data.groups_csv': 'groups_csv'}
# The values of --trainable, and the updates of a training where --updates is empty.
OUTPUT_LAYER, CONVOLUTIONS = 'output_layer', 'convolutions'
UPDATES = 300
# What to do where the results cannot be written.
WHERE_ELSE = (
  'name a writable folder with --to; where images are proposed, copy the run to a writable folder and name that with '
  '--workdir'
)


def define_flags() -> None:
  """The new laboratory's images and labels, and where the new run goes."""
  flags.DEFINE_string('data_dir', '', "the folder of the new laboratory's images; also --config.data.dir")
  flags.DEFINE_string(
    'labels_csv',
    '',
    'labels of some of them, as the review page of `predict` exports; also --config.data.labels_csv. If empty, images '
    'to label are proposed',
  )
  flags.DEFINE_string('groups_csv', '', 'CSV of file,group: which labelled images show the same field')
  flags.DEFINE_string(
    'to', '', "the new run's folder; if empty, WORKDIR-NAME, with the name of the images' folder"
  )
  flags.DEFINE_list(
    'new_classes', [], 'classes of the labels that the run does not know, separated by commas'
  )
  flags.DEFINE_integer('propose', 50, 'largest number of images to propose for labelling, in label_next.csv')
  flags.DEFINE_enum(
    'trainable', OUTPUT_LAYER, [OUTPUT_LAYER, CONVOLUTIONS],
    'fit the output layer alone, or then also train all convolutions but the first, which needs the images that the '
    'run was trained on and trains four networks',
  )  # fmt: skip
  flags.DEFINE_integer(
    'updates', None, f'updates in each training with --trainable={CONVOLUTIONS}; if empty, {UPDATES}'
  )
  flags.DEFINE_string('home_dir', '', "the folder of the run's own images, if they have been moved")


def run(request: commands.Request, stop: signals.Stop) -> None:
  """Adapts the run; without labels, only proposes which images to label."""
  if request.paths:
    raise types.UserError(
      f'{request.paths[0]}: adapt takes no paths; name the folder of images with --data_dir'
    )
  values = _values()
  if not values['data_dir']:
    raise types.UserError('adapt needs the images of the new laboratory: --data_dir=FOLDER')
  if flags.FLAGS.propose < 0:
    raise types.UserError(f'propose is {flags.FLAGS.propose}; it must be 0 or more')
  updates = _updates()
  progress = progress_lib.Progress()
  if not request.workdir:
    progress.line(box.line())
    request = dataclasses.replace(request, workdir=box.NAME)
  folder = workdir.Workdir(request.folder())
  if not values['labels_csv']:
    network = adapted_run.load(folder, stop, progress)
    lock.take(folder.path)
    laboratory.propose(folder, network, values['data_dir'], flags.FLAGS.propose, progress)
    progress.line(
      f'label them: `predict --workdir={shell.word(folder.path)} {shell.word(values["data_dir"])}` shows them first '
      'on its review page'
    )
    return
  name = prediction_folder.folder_name([values['data_dir']])
  new = pathlib.Path(flags.FLAGS.to or f'{str(folder.path).rstrip("/")}-{name}')
  if new.resolve() == folder.path.resolve():
    raise types.UserError(f'{new}: is the run itself; choose another folder with --to')
  if new.resolve() == pathlib.Path(values['data_dir']).resolve():
    raise types.UserError(f'{new}: is the folder of the images; choose another folder with --to')
  there = workdir.Workdir(new)
  prediction_folder.refuse_others(new, (there.config.name, there.adaptation.name))
  list_shown, made = values['labels_csv'], None
  if boxed_labels.are_in(list_shown):
    max_pixels = saved_run.read_experiment(folder, None).data.decode.max_pixels
    values, made = _cut_out(values, new, max_pixels, progress)
  wanted = adapted_run.Request(
    run=folder,
    **values,
    list_shown=list_shown,
    home_dir=flags.FLAGS.home_dir,
    new_classes=tuple(flags.FLAGS.new_classes),
    num_proposed=flags.FLAGS.propose,
    updates=updates,
  )
  try:
    adapted_run.adapt(wanted, workdir.Workdir(new), stop, progress)
  except types.UserError:
    # Or the corrected labels would find the cells of these in their place.
    if made is not None:
      shutil.rmtree(made)
    raise


def _updates() -> int:
  """Updates of a training of the convolutions; 0 where the output layer alone is fitted.

  Raises:
    UserError: there are none, or they are given although the convolutions stay.
  """
  given = flags.FLAGS.updates
  if flags.FLAGS.trainable == OUTPUT_LAYER:
    if given is not None:
      raise types.UserError(
        f'--updates={given}: the output layer is fitted without updates; leave it out, or add '
        f'--trainable={CONVOLUTIONS}'
      )
    return 0
  if given is not None and given < 1:
    raise types.UserError(f'updates is {given}; it must be 1 or more')
  return UPDATES if given is None else given


def _cut_out(
  values: dict[str, str], new: pathlib.Path, max_pixels: int, progress: progress_lib.Progress
) -> tuple[dict[str, str], pathlib.Path | None]:
  """The same for labels of cells within photographs, which are cut out into a folder beside the new run.

  Also that folder, unless it was there already, with the same cells.
  """
  if values['groups_csv']:
    raise types.UserError(
      f'{values["groups_csv"]}: the labels are of cells within photographs, and those of one photograph are one group; '
      'leave --groups_csv out'
    )
  place = pathlib.Path(f'{str(new).rstrip("/")}-labelled')
  lock.take(place, beside=True)
  is_there = place.exists()
  try:
    num = boxed_labels.write(values['labels_csv'], values['data_dir'], place, max_pixels)
  except FileExistsError:
    raise types.UserError(
      f'{place}: exists and holds something other than these labelled cells; name another run with --to'
    ) from None
  progress.line(f'{place}: {num:,} labelled cells, cut out of their photographs')
  lists = {'labels_csv': cell_folder.LABELS, 'groups_csv': cell_folder.GROUPS}
  cut_out = {'data_dir': str(place), **{key: str(place / name) for key, name in lists.items()}}
  return cut_out, None if is_there else place


def _values() -> dict[str, str]:
  """By name of a flag the value of it, or of the key that says the same.

  Raises:
    UserError: another key is given, or both and they differ.
  """
  config: Any = flags.FLAGS['config']
  given = dict(config.override_values)
  if others := sorted(set(given) - set(_KEYS)):
    raise types.UserError(
      f'--config.{others[0]}: adapt keeps the settings of the run; leave it out (the keys that it reads are '
      f'{", ".join(_KEYS)})'
    )
  values = {}
  for key, name in _KEYS.items():
    flag, keyed = str(flags.FLAGS[name].value), str(given.get(key, ''))
    if flag and keyed and flag != keyed:
      raise types.UserError(f'--{name} and --config.{key} differ; give one of them')
    values[name] = flag or keyed
  return values
