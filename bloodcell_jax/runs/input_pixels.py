"""The standardization of a run, which turns grey levels into the network's input."""

from __future__ import annotations

import dataclasses

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.data.augmentation import standardize
from bloodcell_jax.runs import saved_run
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import checkpoint
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.weights import own, pretrained

# Pixel convention -> its `preprocessing_function` in Keras, and the rescale factor before it.
_PIXELS = {'caffe': ('caffe', 0.0), 'torchvision': ('torch', 0.0)}


def choose(exp: experiment.Experiment, read: pretrained.Pretrained | None) -> standardize.Spec:
  """The standardization that the initial weights were trained with; that of the config without such weights.

  Raises:
    UserError: the weights were trained with statistics of their own training images.
  """
  if read is None:
    return exp.transform.standardize
  if read.about:
    return _own_pixels(read.about, read.origin)
  assert read.convention is not None, 'weights of others have a convention'
  function, rescale = _PIXELS[read.convention.name]
  return dataclasses.replace(exp.transform.standardize, preprocessing_function=function, rescale=rescale)


def _own_pixels(about: own.About, origin: str) -> standardize.Spec:
  try:
    spec = standardize.Spec(**about.pixels)
  except TypeError:
    raise types.UserError(
      f'{origin}: does not say how its pixels become the input; export it again'
    ) from None
  if spec.centers:
    raise types.UserError(
      f'{origin}: its pixels were standardized by statistics of its own training images, which do not go with weights; '
      'begin with a run without augment.featurewise_* and zca_whitening'
    )
  return spec


def saved(folder: workdir.Workdir, exp: experiment.Experiment) -> standardize.Spec:
  """The standardization of a saved run, from its newest checkpoint.

  Raises:
    UserError: the run has no checkpoint.
  """
  with saved_run.checkpoints(folder, exp) as store:
    return saved_in(folder, store)


def saved_in(folder: workdir.Workdir, store: checkpoint.Store) -> standardize.Spec:
  """As `saved`, from open checkpoints."""
  stage_info = store.stage_info()
  if stage_info is None:
    raise types.UserError(f'{folder.checkpoints}: no checkpoint yet; train the run first')
  return standardize.Spec(**stage_info.pixels)


def statistics(
  folder: workdir.Workdir, spec: standardize.Spec, data: dataset.Dataset, progress: progress_lib.Progress
) -> standardize.Statistics | None:
  """The statistics of the training images: read from the run's folder, or fitted and saved there.

  None where the standardization needs none.

  Raises:
    UserError: the file is damaged, or missing and this data has no training images to fit them on.
  """
  if not spec.centers:
    return None
  if not folder.statistics.exists():
    if 'train' not in data.rows:
      raise types.UserError(
        f'{folder.statistics}: missing; repeat the command that trained the run, which writes it'
      )
    rows = data.rows['train']
    progress.line(f'fitting statistics on {len(rows):,} training images')
    fitted = standardize.fit(spec, lambda chosen: data.image_NHWC[rows[chosen]], len(rows))
    standardize.write(folder.statistics, fitted)
  return standardize.read(folder.statistics)
