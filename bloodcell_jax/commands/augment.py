"""Augmented images to look at, to save, or to rebuild a balanced training set from."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset, reading
from bloodcell_jax.data.augmentation import offline, saving, transform
from bloodcell_jax.data.images import decode
from bloodcell_jax.plots import figure
from bloodcell_jax.runs import augmentation_sheet, opening, scoring
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import lock
from bloodcell_jax.train import progress, signals

_BATCH = 32


def define_flags() -> None:
  """What to write beside the contact sheets."""
  flags.DEFINE_string('save_to_dir', '', 'a folder for --num_images augmented training images')
  flags.DEFINE_string('save_prefix', 'aug', 'what the names of saved images begin with')
  flags.DEFINE_string('save_format', 'png', 'of saved images: png or jpeg')
  flags.DEFINE_string(
    'rebuild', '', 'a new folder for a balanced training set made off line from photographs'
  )
  flags.DEFINE_integer('num_images', 0, 'how many images to save (20 when 0) or to rebuild (9957 when 0)')


def run(request: commands.Request, stop: signals.Stop) -> None:
  """Draws contact sheets of the named images or of the first training image; or saves, or rebuilds."""
  if request.config is None:
    raise types.UserError('augment needs a config, such as --config=configs/cnn_b_augmented.py')
  experiment.resolve(request.config)  # a wrong config is told before the folder is looked at
  # The training rows are those of the run that is in the folder, which a later version may divide otherwise.
  config = workdir.Workdir(request.folder()).with_format(experiment.flat(request.config))
  exp, given, shown = experiment.from_flat(config), flags.FLAGS, progress.Progress()
  if given.num_images < 0:
    raise types.UserError(f'num_images is {given.num_images}; it must be 0 or more')
  if given.rebuild:
    lock.take(given.rebuild, beside=True)
    _rebuild(exp, pathlib.Path(given.rebuild), given.num_images or 9957, stop, shown)
  elif given.save_to_dir:
    lock.take(given.save_to_dir)
    _save(request, exp, pathlib.Path(given.save_to_dir), given.num_images or 20, stop, shown)
  else:
    lock.take(request.folder())
    _sheets(request, exp, stop, shown)


def _sheets(
  request: commands.Request, exp: experiment.Experiment, stop: signals.Stop, shown: progress.Progress
) -> None:
  """`figures/augmentation.png` by the config, `augmentation_offline.png` by the ranges of the published copies."""
  folder = workdir.Workdir(request.folder())
  if not exp.transform.is_random:
    shown.line(f'{request.config_name}: its section augment changes nothing; the first sheet shows that')
  as_published = dataclasses.replace(_nothing(exp.transform), augment=offline.SPEC)
  for name, image_HWC, note in _images(request, exp, folder, stop, shown):
    for kind, spec, title in (
      ('augmentation', exp.transform, f'{name}, as {request.config_name} augments it'),
      ('augmentation_offline', as_published, f'{name}, with the ranges of the published copies'),
    ):
      suffix = f'_{pathlib.PurePath(name).stem}' if len(request.paths) > 1 else ''
      path = folder.figures / f'{kind}{suffix}.png'
      figure.write(path, augmentation_sheet.sheet(spec, exp.seed, image_HWC, title), note)
      shown.line(str(path))


def _images(
  request: commands.Request,
  exp: experiment.Experiment,
  folder: workdir.Workdir,
  stop: signals.Stop,
  shown: progress.Progress,
) -> list[tuple[str, np.ndarray, str]]:
  """(name, uint8 image, note) of the images to show."""
  if not request.paths:
    data = _read(exp, folder, stop, shown)
    row = data.rows['train'][0]
    said = scoring.note(data.table.synthetic, data.leaking().counts())
    return [(str(data.table.file[row]), data.image_NHWC[row], said)]
  found = []
  for path in request.paths:
    try:
      found.append((pathlib.Path(path).name, decode.image(path, exp.data.decode)[0], ''))
    except decode.DecodeError as error:
      raise types.UserError(f'{path}: {error}') from None
  return found


def _save(
  request: commands.Request,
  exp: experiment.Experiment,
  target: pathlib.Path,
  num_images: int,
  stop: signals.Stop,
  shown: progress.Progress,
) -> None:
  """The first images of the training stream, as Keras' `save_to_dir` would write them."""
  given = flags.FLAGS
  saving.name(given.save_prefix, 0, 0, given.save_format)  # a wrong format is told before anything is read
  data = _read(exp, workdir.Workdir(request.folder()), stop, shown)
  rows, shape = data.rows['train'], data.image_NHWC.shape[1:]
  draw = transform.make_operands(exp.transform, exp.seed, data.image_NHWC, rows)
  change = transform.make_changes(exp.transform, shape)
  for start in range(0, num_images, _BATCH):
    positions = np.arange(start, min(start + _BATCH, num_images))
    rows_B = rows[positions % len(rows)]
    made_BHWC = change(data.image_NHWC[rows_B], draw(positions, rows_B)).numpy()
    for row, position, made_HWC in zip(rows_B, positions, made_BHWC, strict=True):
      stop.poll()
      name = saving.name(given.save_prefix, int(row), int(position), given.save_format)
      image_HWC = np.clip(made_HWC, 0, 255).astype(np.uint8)
      saving.write(
        target / data.table.class_names[data.table.label[row]] / name, image_HWC, given.save_format
      )
  shown.line(f'{num_images} images in {target}')
  if data.table.synthetic:
    shown.line(scoring.SYNTHETIC)


def _rebuild(
  exp: experiment.Experiment,
  target: pathlib.Path,
  num_images: int,
  stop: signals.Stop,
  shown: progress.Progress,
) -> None:
  """A balanced set of `num_images`, with the photograph of each."""
  photographs = reading.photographs(exp.data)
  shown.line(f'{num_images:,} images from {len(photographs):,} photographs')
  offline.write(target, photographs, num_images, exp.seed, stop.poll, shown.counter('images written'))
  shown.line(
    f'{target}: train on it with --config.data.source=folders --config.data.dir={target} '
    f'--config.data.groups_csv={target / offline.GROUPS}'
  )
  if photographs.synthetic:
    shown.line(scoring.SYNTHETIC)


def _read(
  exp: experiment.Experiment, folder: workdir.Workdir, stop: signals.Stop, shown: progress.Progress
) -> dataset.Dataset:
  """The images with the training rows of the config's run: of its fold, member and bag, where it is of one."""
  shown.line(f'reading images: {exp.data.source}')
  return opening.read_data(opening.reader(exp, folder.cache), stop, shown)


def _nothing(spec: transform.Spec) -> transform.Spec:
  """The same without any random change."""
  return dataclasses.replace(
    spec,
    crop=dataclasses.replace(spec.crop, crop_range=()),
    photometric=dataclasses.replace(
      spec.photometric,
      quarter_turns=False,
      mirrors=False,
      hue_range=0.0,
      saturation_range=(),
      stain_range=0.0,
      blur_range=0.0,
      noise_range=0.0,
      jpeg_quality_range=(),
      erasing_probability=0.0,
    ),
  )
