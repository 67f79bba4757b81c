"""Show or save augmented images, or rebuild a balanced training set offline."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib

import numpy as np
from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.base import shell, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset, reading
from bloodcell_jax.data.augmentation import offline, saving, transform
from bloodcell_jax.data.images import decode
from bloodcell_jax.plots import figure
from bloodcell_jax.runs import augmentation_sheet, run_data, scoring
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic, lock
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals

_BATCH = 32
# What to do where the results cannot be written.
WHERE_ELSE = 'name a writable folder with --workdir, --save_to_dir or --rebuild'


def define_flags() -> None:
  """What to write instead of contact sheets."""
  flags.DEFINE_string('save_to_dir', '', 'a folder to save --num_images augmented training images in')
  flags.DEFINE_string('save_prefix', 'aug', 'prefix of the names of saved images')
  flags.DEFINE_string('save_format', 'png', 'format of saved images: png or jpeg')
  flags.DEFINE_string(
    'rebuild', '', 'a new folder for a balanced training set, augmented offline from photographs'
  )
  flags.DEFINE_integer('num_images', 0, 'number of images to save (0 for 20) or to rebuild (0 for 9957)')


def run(request: commands.Request, stop: signals.Stop) -> None:
  """Draws contact sheets of the named images or of the first training image; or saves images, or rebuilds a set."""
  if request.config is None:
    raise types.UserError('augment needs a config, such as --config=configs/cnn_b_augmented.py')
  experiment.resolve(request.config)  # refuses a wrong config before the folder is read
  # The training rows of a run in the folder are those of its own format, which may divide the data differently.
  config = workdir.Workdir(request.folder()).with_format(experiment.flat(request.config))
  exp, values, progress = experiment.from_flat(config), flags.FLAGS, progress_lib.Progress()
  if values.num_images < 0:
    raise types.UserError(f'num_images is {values.num_images}; it must be 0 or more')
  if values.rebuild:
    lock.take(values.rebuild, beside=True)
    _rebuild(request, exp, pathlib.Path(values.rebuild), values.num_images or 9957, stop, progress)
  elif values.save_to_dir:
    lock.take(values.save_to_dir)
    _save(request, exp, pathlib.Path(values.save_to_dir), values.num_images or 20, stop, progress)
  else:
    lock.take(request.folder())
    _sheets(request, exp, stop, progress)


def _sheets(
  request: commands.Request, exp: experiment.Experiment, stop: signals.Stop, progress: progress_lib.Progress
) -> None:
  """`figures/augmentation.png` by the config, `augmentation_offline.png` by the ranges of the published copies."""
  folder = workdir.Workdir(request.folder())
  if not exp.transform.is_random:
    progress.line(
      f'{request.config_name}: augmentation is switched off; the first sheet shows unchanged images'
    )
  as_published = dataclasses.replace(_without_changes(exp.transform), augment=offline.SPEC)
  record = _Record(folder.path, request, exp)
  for place, name, image_HWC, note in _images(request, exp, folder, stop, progress):
    for kind, spec, title in (
      ('augmentation', exp.transform, f'{name}, as {request.config_name} augments it'),
      ('augmentation_offline', as_published, f'{name}, with the ranges of the published copies'),
    ):
      stem = f'{kind}_{pathlib.PurePath(name).stem}' if place else kind
      path = folder.figures / record.name(stem, place)
      figure.write(path, augmentation_sheet.sheet(spec, exp.seed, image_HWC, title), note)
      progress.line(str(path))
  record.write()


def _images(
  request: commands.Request,
  exp: experiment.Experiment,
  folder: workdir.Workdir,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> list[tuple[str, str, np.ndarray, str]]:
  """(absolute path or '' for a training image, name, uint8 image, note) of the images of the contact sheets."""
  if not request.paths:
    data = _read(exp, folder, stop, progress)
    row = data.rows['train'][0]
    note = scoring.note(data.table.synthetic, data.leaking().counts())
    return [('', str(data.table.file[row]), data.image_NHWC[row], note)]
  images = []
  for path in request.paths:
    try:
      images.append(
        (
          str(pathlib.Path(path).resolve()),
          pathlib.Path(path).name,
          decode.image(path, exp.data.decode)[0],
          '',
        )
      )
    except decode.DecodeError as error:
      raise types.UserError(f'{path}: {error}') from None
  return images


def _save(
  request: commands.Request,
  exp: experiment.Experiment,
  target: pathlib.Path,
  num_images: int,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> None:
  """The first images of the training stream, as Keras' `save_to_dir` would write them."""
  values = flags.FLAGS
  saving.name(values.save_prefix, 0, 0, values.save_format)  # refuses a wrong format before anything is read
  data = _read(exp, workdir.Workdir(request.folder()), stop, progress)
  rows, shape = data.rows['train'], data.image_NHWC.shape[1:]
  draw = transform.make_operands(exp.transform, exp.seed, data.nuclei, rows)
  change = transform.make_changes(exp.transform, shape)
  for start in range(0, num_images, _BATCH):
    positions = np.arange(start, min(start + _BATCH, num_images))
    rows_B = rows[positions % len(rows)]
    augmented_BHWC = change(data.image_NHWC[rows_B], draw(positions, rows_B)).numpy()
    for row, position, augmented_HWC in zip(rows_B, positions, augmented_BHWC, strict=True):
      stop.poll()
      name = saving.name(values.save_prefix, int(row), int(position), values.save_format)
      image_HWC = np.clip(augmented_HWC, 0, 255).astype(np.uint8)
      saving.write(
        target / data.table.class_names[data.table.label[row]] / name, image_HWC, values.save_format
      )
  _Record(target, request, exp).write()
  progress.line(f'{num_images} images saved in {target}')
  if data.table.synthetic:
    progress.line(scoring.SYNTHETIC)


def _rebuild(
  request: commands.Request,
  exp: experiment.Experiment,
  target: pathlib.Path,
  num_images: int,
  stop: signals.Stop,
  progress: progress_lib.Progress,
) -> None:
  """Writes a balanced set of `num_images`, with the photograph of each."""
  photographs = reading.photographs(exp.data)
  progress.line(f'{num_images:,} images from {len(photographs):,} photographs')
  offline.write(
    target,
    photographs,
    num_images,
    exp.seed,
    exp.data.decode.max_pixels,
    stop.poll,
    progress.counter('images written'),
  )
  _Record(target, request, exp).write()
  progress.line(
    f'{target}: train on it with --config.data.source=folders --config.data.dir={shell.word(target)} '
    f'--config.data.groups_csv={shell.word(target / offline.GROUPS)}'
  )
  if photographs.synthetic:
    progress.line(scoring.SYNTHETIC)


class _Record:
  """`augment.json` of a folder: the config, the run and the data of what was written there, and of each contact sheet
  the image that it shows."""

  def __init__(self, folder: pathlib.Path, request: commands.Request, exp: experiment.Experiment):
    self._path = folder / 'augment.json'
    try:
      before = json.loads(atomic.read_text(self._path))
    except (OSError, ValueError):
      before = {}
    self._sheets: dict[str, str] = dict(before.get('sheets', {})) if isinstance(before, dict) else {}
    self._about = {
      'config': request.config_name,
      'run': str(request.folder().resolve()),
      'data': {'source': exp.data.source, 'dir': exp.data.dir and str(pathlib.Path(exp.data.dir).resolve())},
    }

  def name(self, stem: str, image: str) -> str:
    """The file name of the sheet of an image, `STEM.png`, or `STEM-2.png`, ... where that shows another one."""
    names = itertools.chain([f'{stem}.png'], (f'{stem}-{number}.png' for number in itertools.count(2)))
    chosen = next(name for name in names if self._sheets.get(name, image) == image)
    self._sheets[chosen] = image
    return chosen

  def write(self) -> None:
    """Writes the file."""
    atomic.write_json(self._path, {**self._about, 'sheets': self._sheets})


def _read(
  exp: experiment.Experiment, folder: workdir.Workdir, stop: signals.Stop, progress: progress_lib.Progress
) -> dataset.Dataset:
  """The images with the training rows of the run: those of its fold, member or bag, if it has one."""
  return run_data.read_images(exp, folder, stop, progress)


def _without_changes(spec: transform.Spec) -> transform.Spec:
  """The spec with all random changes of `crop` and `photometric` switched off."""
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
