"""A run opened: its data read and told of, its best checkpoint found. What `train` and `evaluate` begin with."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from bloodcell_jax.base import run_format, tree, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset, reading
from bloodcell_jax.data.augmentation import standardize
from bloodcell_jax.data.division import bagging, folds, leaks
from bloodcell_jax.ensembles import method
from bloodcell_jax.optim import staged
from bloodcell_jax.plots import distribution, figure
from bloodcell_jax.runs import augmentation_sheet, job, scoring
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import lock
from bloodcell_jax.train import checkpoint, progress, signals, state
from bloodcell_jax.weights import own, pretrained


def reader(
  exp: experiment.Experiment, cache: pathlib.Path
) -> Callable[[Callable[[int, int], None]], dataset.Dataset]:
  """The `build(on_progress)` of the experiment's data, divided as it wants: into splits, or for a fold of them."""

  def build(on_progress: Callable[[int, int], None]) -> dataset.Dataset:
    return divide(reading.build(exp.data, exp.division_seed, cache, on_progress), exp)

  return build


def divide(data: dataset.Dataset, exp: experiment.Experiment) -> dataset.Dataset:
  """The data with the rows that the experiment trains on: of its fold, or its bag, where it is of one."""
  rows = folds.divide(
    data.table, data.rows, exp.cross_validation, exp.data.validation_fraction, exp.division_seed
  )
  if not (exp.ensemble.member and exp.ensemble.method == method.BAGGING):
    return data.with_rows(rows)
  return data.with_rows(bagging.divide(data.table, rows, exp.seed, run_format.bag_stream(exp.format, 'bag')))


def refuse_cross_validation(folder: workdir.Workdir, exp: experiment.Experiment, verb: str) -> None:
  """Raises UserError where the folder holds a cross-validation: `verb` is what can be done with one of its folds."""
  if exp.cross_validation.folds and not exp.cross_validation.fold:
    raise types.UserError(
      f'{folder.path}: is a cross-validation; {verb} one of its folds: --workdir={folder.path / "folds" / "1"}'
    )


def undecoded(folder: workdir.Workdir, exp: experiment.Experiment) -> dataset.Dataset:
  """The run's data with its rows, no image decoded.

  Raises:
    UserError: the data is not there, or is other than the run's.
  """
  skipped = folder.read_environment()['data']['skipped']
  names = [workdir.problem(entry).file for entry in skipped]
  data = divide(reading.undecoded(exp.data, exp.division_seed, names), exp)
  folder.check_data(data.fingerprint())
  return data


def read_data(
  build: Callable[[Callable[[int, int], None]], dataset.Dataset], stop: signals.Stop, shown: progress.Progress
) -> dataset.Dataset:
  """The data set that `build(on_progress)` reads, with a line for each file left out and each split.

  Raises:
    signals.Stopped: a stop was asked for.
  """
  count = shown.counter('images decoded')

  def on_progress(done: int, total: int) -> None:
    stop.poll()
    count(done, total)

  data = build(on_progress)
  stop.poll()
  for problem in data.skipped:
    shown.line(f'left out: {problem}')
  if data.notes:
    shown.line(f'{len(data.notes)} images were converted, the first: {data.notes[0]}')
  for split, classes in data.counts().items():
    parts = ', '.join(
      f'{name} {images:,} ({photographs:,})' for name, (images, photographs) in classes.items()
    )
    shown.line(f'  {split}, images (photographs): {parts}')
  return data


def check_leaks(exp: experiment.Experiment, data: dataset.Dataset, shown: progress.Progress) -> None:
  """Tells of the groups that test shares with training; refuses what leaks, unless the experiment allows it.

  Raises:
    UserError: images of train are of a group of validation, or images of a test are images of training.
  """
  if not exp.data.allow_leak:
    leaks.check(data.table, data.leaking())
  if 'test_clean' in data.rows:
    num, num_clean = len(data.rows['test']), len(data.rows['test_clean'])
    shown.line(
      f'{num - num_clean:,} of {num:,} test images are of groups that training shows too; test_clean is without them'
    )


def describe(folder: workdir.Workdir, made: job.Job, leak: Mapping[str, int]) -> None:
  """Writes environment.json, the class distribution and, where there is augmentation, a preview of it.

  Args:
    folder: the run's.
    made: the job.
    leak: how many images leak, as `leaks.Leaks.counts`.

  Raises:
    UserError: the folder's run saw other data.
  """
  data = made.data
  folder.write_environment(
    made.devices,
    {
      'name': data.table.name,
      'synthetic': data.table.synthetic,
      'fingerprint': data.fingerprint(),
      'class_names': list(data.table.class_names),
      'counts': {split: {k: list(v) for k, v in classes.items()} for split, classes in data.counts().items()},
      'skipped': [dataclasses.asdict(problem) for problem in data.skipped],
      'num_converted': len(data.notes),
      'leaks': dict(leak),
    },
    _network(made),
  )
  said = scoring.note(data.table.synthetic, leak)
  exp, rows = made.experiment, data.rows.get('train', np.zeros(0, np.int64))
  if exp.transform.is_random and len(rows):
    title = f'{data.table.file[rows[0]]}, as training sees it'
    sheet = augmentation_sheet.sheet(exp.transform, exp.seed, data.image_NHWC[rows[0]], title)
    figure.write(folder.figures / 'augmentation.png', sheet, said)
  figure.write(folder.figures / 'distribution.png', distribution.plot(data.counts()), said)


def _network(made: job.Job) -> dict[str, Any]:
  """The network and how many of its parameters each stage trains."""
  sizes = {name: int(np.size(leaf)) for name, leaf in tree.names(made.params).items()}
  stages = []
  for stage in made.experiment.stages:
    is_trained = tree.names(staged.trainable(stage.weights, made.params))
    trained = sum(size for name, size in sizes.items() if is_trained[name])
    stages.append({'name': stage.fit.name, 'trained': trained, 'frozen': sum(sizes.values()) - trained})
  return {
    'name': made.experiment.model.name,
    'image_size': made.experiment.data.decode.image_size,
    'num_parameters': sum(sizes.values()),
    'weights': made.experiment.weights.path,
    'stages': stages,
  }


# What a convention is called in Keras, and what grey levels are multiplied by before it.
_PIXELS = {'caffe': ('caffe', 0.0), 'torchvision': ('torch', 0.0)}


def pixels(exp: experiment.Experiment, read: pretrained.Pretrained | None) -> standardize.Spec:
  """How grey levels become the network's input: as the weights that were read want it, else as the config says.

  Raises:
    UserError: the weights are of a run whose pixels no other run can repeat.
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


def read_weights(path: str, network: str) -> pretrained.Pretrained:
  """The weights that a run begins with.

  Args:
    path: what `pretrained.read` takes; or the folder of a run, whose best checkpoint is taken, or that of its export
      where there are no checkpoints; or an exported folder.
    network: the name of the network that the weights are for.

  Raises:
    UserError: there is nothing to begin with, by one line.
  """
  if not os.path.isdir(path) or pathlib.Path(path).suffix in pretrained.READERS:
    return pretrained.read(path, network)
  folder = workdir.Workdir(path)
  if folder.checkpoints.is_dir():
    source = of(folder, None)
    class_names = tuple(folder.read_environment()['data']['class_names'])
    pixels = kept_pixels(folder, source)
    # Only the shapes of its weights are asked for: neither images nor devices.
    made = job.Job(
      dataclasses.replace(source, num_devices=1), dataset.empty(class_names), pixels, None, signals.Stop()
    )
    params, origin = best(folder, made)
    arrays = {name: np.asarray(leaf, np.float32) for name, leaf in tree.names(params).items()}
    shown = f'{path}, epoch {origin["best_epoch"]}'
    return pretrained.Pretrained(arrays, None, shown, own.About(dataclasses.asdict(pixels), class_names))
  for file in (folder.path / own.FILE, folder.path / 'export' / own.FILE):
    if file.exists():
      return pretrained.read(str(file), network)
  raise types.UserError(
    f'{path}: no checkpoints of a network and no {own.FILE} here; name the folder of a trained run (of an ensemble one '
    'of its members, of a cross-validation one of its folds), or a file'
  )


@contextlib.contextmanager
def checkpoints(folder: workdir.Workdir, exp: experiment.Experiment) -> Iterator[checkpoint.Store]:
  """The checkpoints of a run that is trained; each is hashed once, however much is read.

  Raises:
    UserError: the run has no checkpoint.
  """
  if not folder.checkpoints.is_dir():
    raise types.UserError(f'{folder.checkpoints}: no checkpoints; train the run first')
  with contextlib.closing(checkpoint.Store(folder.checkpoints, exp.monitor)) as store:
    yield store


def kept_pixels(folder: workdir.Workdir, exp: experiment.Experiment) -> standardize.Spec:
  """How the run turns grey levels into the network's input, from its newest checkpoint.

  Raises:
    UserError: the run has no checkpoint.
  """
  with checkpoints(folder, exp) as store:
    return pixels_of(folder, store)


def pixels_of(folder: workdir.Workdir, store: checkpoint.Store) -> standardize.Spec:
  """As `kept_pixels`, from checkpoints that are open."""
  stamp = store.stamp()
  if stamp is None:
    raise types.UserError(f'{folder.checkpoints}: no checkpoint yet; train the run first')
  return standardize.Spec(**stamp.pixels)


def prepare(
  config: Mapping[str, Any],
  exp: experiment.Experiment,
  folder: workdir.Workdir,
  data: dataset.Dataset,
  stop: signals.Stop,
  shown: progress.Progress,
) -> tuple[job.Job, Any]:
  """The job of a run that is to be trained, and the parameters that it begins with; its config is written down.

  Raises:
    UserError: the folder holds a run of another config, or weights that are read do not fit.
    signals.Stopped: a stop was asked for.
  """
  lock.take(folder.path)
  folder.write_config(config)
  read = read_weights(exp.weights.path, exp.model.name) if exp.weights.path else None
  spec = pixels(exp, read)
  made = job.Job(exp, data, spec, statistics(folder, spec, data, shown), stop)
  # Before what is compiled, which takes longer than all so far.
  stop.poll()
  if read:
    taken = 'all weights' if exp.weights.include_top else 'features'
    pixels_as = read.convention.name if read.convention else 'there'
    shown.line(f'{taken} from {read.origin}, pixels as {pixels_as}')
  return made, made.initial(read)


def statistics(
  folder: workdir.Workdir, spec: standardize.Spec, data: dataset.Dataset, shown: progress.Progress
) -> standardize.Statistics | None:
  """What the standardization learns from the training images: read from the run's folder, or fitted and put there.

  None where it learns nothing.

  Raises:
    UserError: they are damaged, or not there and this data has no training images to fit them on.
  """
  if not spec.centers:
    return None
  if not folder.statistics.exists():
    if 'train' not in data.rows:
      raise types.UserError(f'{folder.statistics}: missing; train the run, which writes it')
    rows = data.rows['train']
    shown.line(f'fitting statistics on {len(rows):,} training images')
    found = standardize.fit(spec, lambda chosen: data.image_NHWC[rows[chosen]], len(rows))
    standardize.write(folder.statistics, found)
  return standardize.read(folder.statistics)


def best(folder: workdir.Workdir, made: job.Job) -> tuple[Any, dict[str, int]]:
  """The parameters of the run's best checkpoint, and which checkpoint of how many epochs that is.

  Raises:
    UserError: the run has no finished epoch.
  """
  with checkpoints(folder, made.experiment) as store:
    return best_of(store, made)


def best_of(store: checkpoint.Store, made: job.Job) -> tuple[Any, dict[str, int]]:
  """As `best`, from checkpoints that are open."""
  found = store.best(lambda stamp: made.template(stamp.stage))
  origin = {'best_epoch': found.records[-1].epoch, 'epochs': store.num_epochs()}
  return state.inference_params(found.state), origin


def last(folder: workdir.Workdir, made: job.Job) -> Any:
  """The parameters of the run's newest checkpoint. Raises UserError where the run has none."""
  store = checkpoint.Store(folder.checkpoints, made.experiment.monitor)
  try:
    found = store.latest(lambda stamp: made.template(stamp.stage))
  finally:
    store.close()
  if found is None:
    raise types.UserError(f'{folder.checkpoints}: no checkpoint yet; train the run first')
  return found.state.params


def of(folder: workdir.Workdir, config: Any) -> experiment.Experiment:
  """The experiment of the folder's run; `config`, where given, may differ from it in free keys only.

  Raises:
    UserError: there is no run here, or another one.
  """
  saved = folder.read_config()
  if workdir.COMBINED in saved:
    raise types.UserError(
      f'{folder.path}: combines predictions of other runs and has no network of its own; name one of '
      + ', '.join(saved[workdir.COMBINED])
    )
  if config is None:
    return experiment.from_flat(saved)
  experiment.resolve(config)
  folder.check_config(experiment.flat(config))
  return experiment.from_flat(folder.with_format(experiment.flat(config)))
