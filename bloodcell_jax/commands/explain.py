"""Explain predictions of a run's best network: feature maps, attribution maps, and sanity checks of those maps."""

from __future__ import annotations

import io
import json
import pathlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import numpy as np
from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.base import groups, shell, types
from bloodcell_jax.config import experiment
from bloodcell_jax.data import dataset
from bloodcell_jax.data.division import bagging, folds
from bloodcell_jax.data.images import decode
from bloodcell_jax.data.sources import input_paths, names
from bloodcell_jax.explain import explainer, page
from bloodcell_jax.inference import classifier
from bloodcell_jax.plots import attribution, feature_maps, figure
from bloodcell_jax.runs import data_place, run_data, saved_run
from bloodcell_jax.storage import groups_csv, prediction_folder, predictions_csv, workdir
from bloodcell_jax.system import atomic, console, lock
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals

# Images without --max_images: of paths and of --missed, and of the run's own split.
MAX_OF_PATHS, MAX_OWN = 20, 4
MAX_PROBLEMS = 20  # printed one by one
# (name, label or '', path or bytes to decode)
Named = tuple[str, str, types.Content]
# What to do where the results cannot be written.
WHERE_ELSE = (
  'the results go into the folder of the run: copy it to a writable place, and name the copy with --workdir'
)


def define_flags() -> None:
  """The class to explain, and the number of images."""
  flags.DEFINE_string('target_class', '', 'the class to explain; if empty, the predicted one')
  flags.DEFINE_integer(
    'max_images', 0, f'largest number of images; 0 for {MAX_OF_PATHS} of paths, {MAX_OWN} of the test split'
  )
  flags.DEFINE_string(
    'missed',
    '',
    'without paths: a split, such as test; explains, of each of its photographs more than half of whose images are '
    'misclassified, the image whose label is least probable',
  )
  flags.DEFINE_string('data_dir', '', "without paths: the folder of the run's images, if it was moved")


def run(request: commands.Request, stop: signals.Stop) -> None:
  """Writes `explain/`: the page, its figures as PNG and JSON, and the arrays of each image."""
  if not request.workdir and request.config is None:
    raise types.UserError('explain needs the folder of a run: --workdir=runs/NAME')
  max_images = flags.FLAGS.max_images
  if max_images < 0:
    raise types.UserError(f'max_images is {max_images}; it must be 0 or more')
  missed = flags.FLAGS.missed
  check_images(request.paths, missed)
  folder, progress = workdir.Workdir(request.folder()), progress_lib.Progress()
  exp = saved_run.read_experiment(folder, request.config)
  console.keep(folder.log)
  saved_run.refuse_cross_validation(folder, exp, 'explain')
  if exp.ensemble.method and not exp.ensemble.member:
    raise types.UserError(
      f'{folder.path}: is an ensemble; explain one of its members: --workdir={shell.word(folder.path / "members/1")}'
    )
  # Paths first, to report a wrong one before anything is loaded.
  inputs, problems = input_paths.find(request.paths) if request.paths else ([], [])
  loaded = classifier.load(folder, stop, is_of_own_images=not request.paths)
  lock.take(folder.path / 'explain', beside=True)
  label = _label(flags.FLAGS.target_class, loaded.class_names)
  if request.paths:
    images: list[Named] = [(one.shown, '', one.path) for one in inputs]
    max_images = max_images or MAX_OF_PATHS
  elif missed:
    images = _missed(exp, folder, missed)
    max_images = max_images or MAX_OF_PATHS
    if not images:
      progress.line(f'{missed}: no photograph has most of its images wrong; there is nothing to explain')
      return
  else:
    images = _own(exp, folder)
    max_images = max_images or MAX_OWN
  for problem in problems[:MAX_PROBLEMS]:
    progress.line(f'left out: {problem}')
  if len(problems) > MAX_PROBLEMS:
    progress.line(f'left out: {len(problems) - MAX_PROBLEMS} more')
  if (request.paths or missed) and len(images) > max_images:
    progress.line(f'the first {max_images} of {len(images):,} images; set another number with --max_images=N')
  paths = prediction_folder.absolute(request.paths)
  explanations = _Explanations(folder.path / 'explain', loaded, label, problems, progress, paths)
  spec = loaded.job.experiment.data.decode
  explanations.explain(_decoded(images, max_images, spec, explanations.leave_out), stop)
  if not explanations.entries:
    raise types.UserError(f'{problems[-1]}; no image could be read')
  progress.line(f'page: {explanations.write(folder.path)}')
  if loaded.note:
    progress.line(loaded.note)


def check_images(paths: Sequence[str], missed: str) -> None:
  """Refuses paths together with `--missed`."""
  if missed and paths:
    raise types.UserError(f"--missed={missed} selects the run's own images; leave out the paths, or --missed")


class _Explanations:
  """The explanations of one page, written image by image."""

  def __init__(
    self,
    folder: pathlib.Path,
    loaded: classifier.Classifier,
    label: int | None,
    problems: list[types.Problem],
    progress: progress_lib.Progress,
    paths: list[str],
  ):
    self.paths = paths
    self.folder, self.loaded, self.label = folder, loaded, label
    self.problems, self.progress = problems, progress
    self.explainer = explainer.Explainer(loaded)
    self.entries: list[page.Entry] = []

  def leave_out(self, problem: types.Problem) -> None:
    """Reports an image that cannot be read."""
    self.problems.append(problem)
    self.progress.line(f'left out: {problem}')

  def explain(self, images: Iterator[tuple[str, str, np.ndarray]], stop: signals.Stop) -> None:
    """Writes the figures and arrays of each image (name, label or '', uint8 pixels)."""
    names = self.loaded.class_names
    for i, (name, labelled, image_HWC) in enumerate(images, 1):
      stop.poll()
      explanation = self.explainer.explain(image_HWC, self.label, check_all=i == 1)
      if i == 1 and (kept := page.set_aside(self.folder, self.paths)):
        self.progress.line(f'the explanations of other images are in {kept} now')
      stem = f'{i:03d}_{re.sub(r"[^A-Za-z0-9_-]+", "_", pathlib.PurePath(name).stem)[:60]}'
      predicted, explained = names[explanation.prob_K.argmax()], names[explanation.label]
      entry = page.Entry(
        name,
        stem,
        labelled,
        predicted,
        float(explanation.prob_K[explanation.label]),
        explained,
        explanation.numbers(),
      )
      self._write_figures(entry, explanation)
      self.entries.append(entry)
      share = entry.numbers['share']['grad_cam'].get('nucleus')
      suffix = '' if share is None else f', {share:.0%} of Grad-CAM on the nucleus'
      self.progress.line(f'{name}: {explained} {entry.probability:.1%}{suffix}')

  def write(self, run: pathlib.Path) -> pathlib.Path:
    """Writes the page and removes files of an earlier page that do not belong to it; returns the path of the page."""
    note = self.loaded.note
    kernel = self.loaded.params[self.explainer.first_convolution]['kernel']
    if kernel.shape[2] == 3:
      function = self.loaded.job.transform.standardize.preprocessing_function
      title = f'{self.explainer.first_convolution}: {kernel.shape[3]} filters, each scaled on its own'
      fig = feature_maps.filters(np.asarray(kernel), 'BGR' if function == 'caffe' else 'RGB', title)
      figure.write(self.folder / 'filters.png', fig, note)
    before = _files(self.folder / 'explain.json')
    layers = self.explainer.geometry()
    last = self.explainer.last_convolution
    origin = page.Origin(run.name, str(run.resolve()), self.paths)
    path = page.write(self.folder, origin, note, layers, last, self.entries, self.problems)
    for name in before - _files(self.folder / 'explain.json'):
      (self.folder / name).unlink(missing_ok=True)
    return path

  def _write_figures(self, entry: page.Entry, explanation: explainer.Explanation) -> None:
    note = self.loaded.note
    overlays, maps, arrays = (self.folder / name for name in entry.files())
    shares = entry.numbers['share']
    captions = ['green: nucleus' if 'nucleus' in explanation.region_HW else 'no nucleus found'] + [
      title + ('' if (s := shares[key].get('nucleus')) is None else f': {s:.0%} on the nucleus')
      for key, title in page.TITLES.items()
    ]
    title = (
      f'{entry.file}: {entry.explained} {entry.probability:.1%}. Orange raises its logit, blue lowers it'
    )
    fig = attribution.plot(
      explanation.image_HWC,
      explanation.region_HW.get('nucleus'),
      list(explanation.map_HW.values()),
      captions,
      title,
    )
    figure.write(overlays, fig, note)
    zeros = entry.numbers['zeros']
    captions = [
      f'{name}: {" x ".join(map(str, values.shape))}, {zeros[name]:.0%} zeros'
      for name, values in explanation.activations.maps.items()
    ]
    fig = feature_maps.plot(
      list(explanation.activations.maps.values()), captions, f'Feature maps of {entry.file}'
    )
    atomic.write_bytes(maps, figure.in_few_colours(figure.png(fig, note)))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **explanation.arrays())  # type: ignore[arg-type]
    atomic.write_bytes(arrays, buffer.getvalue())


def _files(path: pathlib.Path) -> set[str]:
  """The files that an explain.json lists; none if it is missing or damaged."""
  try:
    return {name for entry in json.loads(path.read_text())['images'] for name in entry['files']}
  except (OSError, ValueError, KeyError, TypeError):
    return set()


def _label(name: str, class_names: Sequence[str]) -> int | None:
  if not name:
    return None
  if name not in class_names:
    near = names.nearest(name, class_names)
    raise types.UserError(
      f'target_class is {name!r}; '
      + (f'did you mean {near}?' if near else f'choose one of {", ".join(class_names)}')
    )
  return class_names.index(name)


def _decoded(
  images: Sequence[Named], max_images: int, spec: decode.Spec, leave_out: Callable[[types.Problem], None]
) -> Iterator[tuple[str, str, np.ndarray]]:
  """The first `max_images` images that can be read, as (name, label, pixels); the others go to `leave_out`."""
  num = 0
  for name, labelled, content in images:
    if num == max_images:
      return
    try:
      image_HWC, _ = decode.image(content, spec)
    except decode.DecodeError as error:
      leave_out(types.Problem(name, str(error)))
      continue
    num += 1
    yield name, labelled, image_HWC


def _own(exp: experiment.Experiment, folder: workdir.Workdir) -> list[Named]:
  """The images of the run's test split, or validation if there is none: the first of each class, then the second."""
  data = _undecoded(exp, folder)
  table = data.table
  rows_N = data.rows.get('test', data.rows['validation'])
  label_N = table.label[rows_N]
  # Sort by position within the class, then by class.
  return _named(table, rows_N[np.lexsort((label_N, groups.ranks(label_N)))])


def _missed(exp: experiment.Experiment, folder: workdir.Workdir, split: str) -> list[Named]:
  """Of each photograph with most images wrong the image whose label is least probable, the worst photograph first."""
  data = _undecoded(exp, folder)
  check_missed(split, {*data.rows, folds.OUT_OF_FOLD, bagging.OUT_OF_BAG}, folder)
  predictions = predictions_csv.read(folder.predictions(split))
  probability_N = predictions.probs_NK[np.arange(len(predictions)), predictions.label_N]
  at = {str(file): i for i, file in enumerate(data.table.file)}
  rows_of = groups.rows(predictions.group_N.tolist())
  chosen: list[int] = []
  for row in groups_csv.table(predictions):
    if 2 * row.num_right >= row.num_images:
      continue
    own = rows_of[row.group]
    chosen.append(at[str(predictions.file_N[own[probability_N[own].argmin()]])])
  return _named(data.table, chosen)


def check_missed(split: str, own: Collection[str], folder: workdir.Workdir) -> None:
  """Raises UserError where the run has no predictions of a split, or where that is none of its `own` data."""
  if split not in own and folder.predictions(split).exists():
    raise types.UserError(
      f'--missed is {split!r}, whose images are not in the data of the run; name their files after the flags instead'
    )
  if not folder.predictions(split).exists():
    scored = ', '.join(name for name in folder.read_splits() if name in own) or 'none'
    raise types.UserError(
      f'--missed is {split!r}, of which the run has no predictions; the scored splits are {scored}; run `evaluate '
      f'--workdir={shell.word(folder.path)}` for those of evaluate.splits'
    )


def _named(table: types.Table, rows: Iterable[int]) -> list[Named]:
  return [(str(table.file[i]), table.class_names[table.label[i]], table.content[i]) for i in rows]


def _undecoded(exp: experiment.Experiment, folder: workdir.Workdir) -> dataset.Dataset:
  """The run's images, undecoded, because only a few of thousands are needed."""
  exp = data_place.find(folder, exp, commands.data_dir(), progress_lib.Progress().line)
  data = run_data.undecoded(folder, exp)
  data_place.remember(folder, exp)
  return data
