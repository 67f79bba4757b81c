"""Show what a run's best network sees in images, which pixels its answers rest on, and how far to trust that."""

from __future__ import annotations

import difflib
import io
import json
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.data.images import decode
from bloodcell_jax.data.sources import input_paths
from bloodcell_jax.explain import explainer, page
from bloodcell_jax.inference import classifier
from bloodcell_jax.plots import attribution, feature_maps, figure
from bloodcell_jax.runs import run_data, saved_run
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic, lock
from bloodcell_jax.train import progress, signals

# Images when --max_images is not given: of paths, and of the run's own split.
MOST_GIVEN, MOST_OWN = 20, 4
MOST_NAMED = 20  # problems printed one by one
# (name for people, label or '', what decodes it)
Named = tuple[str, str, str | bytes]


def define_flags() -> None:
  """The class to explain, and how many images."""
  flags.DEFINE_string('target_class', '', 'explain this class and not the predicted one')
  flags.DEFINE_integer(
    'max_images', 0, f'at most so many images; 0 for {MOST_GIVEN} of paths, {MOST_OWN} of the test split'
  )


def run(request: commands.Request, stop: signals.Stop) -> None:
  """Writes `explain/`: a page, its figures as PNG and JSON, and the arrays of each image."""
  if not request.workdir and request.config is None:
    raise types.UserError('explain needs the folder of a run: --workdir=runs/NAME')
  most = flags.FLAGS.max_images
  if most < 0:
    raise types.UserError(f'max_images is {most}; it must be 0 or more')
  folder, shown = workdir.Workdir(request.folder()), progress.Progress()
  exp = saved_run.read_experiment(folder, request.config)
  saved_run.refuse_cross_validation(folder, exp, 'explain')
  if exp.ensemble.method and not exp.ensemble.member:
    raise types.UserError(
      f'{folder.path}: is an ensemble; explain one of its members: --workdir={folder.path / "members" / "1"}'
    )
  # Paths first: a wrong one is told before anything is loaded.
  found, problems = input_paths.find(request.paths) if request.paths else ([], [])
  loaded = classifier.load(folder, stop)
  lock.take(folder.path / 'explain', beside=True)
  label = _label(flags.FLAGS.target_class, loaded.class_names)
  if request.paths:
    images: list[Named] = [(one.shown, '', one.path) for one in found]
    most = most or MOST_GIVEN
  else:
    images = _own(exp, folder)
    most = most or MOST_OWN
  for problem in problems[:MOST_NAMED]:
    shown.line(f'left out: {problem}')
  if len(problems) > MOST_NAMED:
    shown.line(f'left out: {len(problems) - MOST_NAMED} more')
  if request.paths and len(images) > most:
    shown.line(f'the first {most} of {len(images):,} images; --max_images=N takes others')
  made = _Set(folder.path / 'explain', loaded, label, problems, shown)
  made.explain(_readable(images, most, loaded.made.experiment.data.decode, made.leave_out), stop)
  if not made.entries:
    raise types.UserError(f'{problems[-1]}; no image could be read')
  shown.line(f'page: {made.write(folder.path.name)}')
  if loaded.note:
    shown.line(loaded.note)


class _Set:
  """The images of one page, written one after the other."""

  def __init__(
    self,
    folder: pathlib.Path,
    loaded: classifier.Classifier,
    label: int | None,
    problems: list[types.Problem],
    shown: progress.Progress,
  ):
    self.folder, self.loaded, self.label, self.problems, self.shown = folder, loaded, label, problems, shown
    self.explainer = explainer.Explainer(loaded)
    self.entries: list[page.Entry] = []

  def leave_out(self, problem: types.Problem) -> None:
    """Tells of an image that cannot be read."""
    self.problems.append(problem)
    self.shown.line(f'left out: {problem}')

  def explain(self, images: Iterator[tuple[str, str, np.ndarray]], stop: signals.Stop) -> None:
    """Writes the figures and arrays of each image (name, its class or '', uint8 pixels)."""
    names = self.loaded.class_names
    for i, (name, labelled, image_HWC) in enumerate(images, 1):
      stop.poll()
      made = self.explainer.explain(image_HWC, self.label, check_all=i == 1)
      stem = f'{i:03d}_{re.sub(r"[^A-Za-z0-9_-]+", "_", pathlib.PurePath(name).stem)[:60]}'
      predicted, explained = names[made.prob_K.argmax()], names[made.label]
      entry = page.Entry(
        name, stem, labelled, predicted, float(made.prob_K[made.label]), explained, made.numbers()
      )
      self._pictures(entry, made)
      self.entries.append(entry)
      share = entry.numbers['share']['grad_cam'].get('nucleus')
      on = '' if share is None else f', {share:.0%} of Grad-CAM on the nucleus'
      self.shown.line(f'{name}: {explained} {entry.probability:.1%}{on}')

  def write(self, run_name: str) -> pathlib.Path:
    """The page and what belongs to it; files of the page before that this one has not are removed."""
    note = self.loaded.note
    kernel = self.loaded.params[self.explainer.first_convolution]['kernel']
    if kernel.shape[2] == 3:
      function = self.loaded.made.transform.standardize.preprocessing_function
      title = f'{self.explainer.first_convolution}: {kernel.shape[3]} filters, each on a scale of its own'
      drawn = feature_maps.filters(np.asarray(kernel), 'BGR' if function == 'caffe' else 'RGB', title)
      figure.write(self.folder / 'filters.png', drawn, note)
    before = _files(self.folder / 'explain.json')
    layers = self.explainer.geometry()
    last = self.explainer.last_convolution
    made = page.write(self.folder, run_name, note, layers, last, self.entries, self.problems)
    for name in before - _files(self.folder / 'explain.json'):
      (self.folder / name).unlink(missing_ok=True)
    return made

  def _pictures(self, entry: page.Entry, made: explainer.Explanation) -> None:
    note = self.loaded.note
    overlays, maps, arrays = (self.folder / name for name in entry.files())
    shares = entry.numbers['share']
    captions = ['green: nucleus' if 'nucleus' in made.region_HW else 'no nucleus found'] + [
      title + ('' if (s := shares[key].get('nucleus')) is None else f': {s:.0%} on the nucleus')
      for key, title in page.TITLES.items()
    ]
    title = f'{entry.file}: {entry.explained} {entry.probability:.1%}. Orange speaks for it, blue against it'
    drawn = attribution.plot(
      made.image_HWC, made.region_HW.get('nucleus'), list(made.map_HW.values()), captions, title
    )
    figure.write(overlays, drawn, note)
    zeros = entry.numbers['zeros']
    captions = [
      f'{name}: {" x ".join(map(str, values.shape))}, {zeros[name]:.0%} zeros'
      for name, values in made.look.maps.items()
    ]
    drawn = feature_maps.plot(
      list(made.look.maps.values()), captions, f'What each layer makes of {entry.file}'
    )
    atomic.write_bytes(maps, figure.in_few_colours(figure.png(drawn, note)))
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **made.arrays())  # type: ignore[arg-type]
    atomic.write_bytes(arrays, buffer.getvalue())


def _files(path: pathlib.Path) -> set[str]:
  """The files that an explain.json names; none where there is none or it is damaged."""
  try:
    return {name for entry in json.loads(path.read_text())['images'] for name in entry['files']}
  except (OSError, ValueError, KeyError, TypeError):
    return set()


def _label(name: str, class_names: Sequence[str]) -> int | None:
  if not name:
    return None
  if name not in class_names:
    near = difflib.get_close_matches(name.upper(), class_names, 1)
    raise types.UserError(
      f'target_class is {name!r}; '
      + (f'did you mean {near[0]}?' if near else f'choose one of {", ".join(class_names)}')
    )
  return class_names.index(name)


def _readable(
  images: Sequence[Named], most: int, spec: decode.Spec, leave_out: Callable[[types.Problem], None]
) -> Iterator[tuple[str, str, np.ndarray]]:
  """The first `most` images that can be read, as (name, class, pixels); the others are told."""
  num = 0
  for name, labelled, content in images:
    if num == most:
      return
    try:
      image_HWC, _ = decode.image(content, spec)
    except decode.DecodeError as error:
      leave_out(types.Problem(name, str(error)))
      continue
    num += 1
    yield name, labelled, image_HWC


def _own(exp: experiment.Experiment, folder: workdir.Workdir) -> list[Named]:
  """The run's test images, or where it has none those of validation: the first of each class, then the second."""
  # To show four images none of the other thousands is decoded.
  data = run_data.undecoded(folder, exp)
  table = data.table
  rows_N = data.rows.get('test', data.rows['validation'])
  label_N = table.label[rows_N]
  # The place of each image within its class comes first.
  place_N = np.array([np.count_nonzero(label_N[:i] == label) for i, label in enumerate(label_N)])
  chosen = rows_N[np.lexsort((label_N, place_N))]
  return [(str(table.file[i]), table.class_names[table.label[i]], table.content[i]) for i in chosen]
