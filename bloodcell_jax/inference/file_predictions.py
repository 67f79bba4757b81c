"""The cells of image files through a classifier: each predicted once, however often the work is interrupted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from bloodcell_jax.base import cell, tree, types
from bloodcell_jax.data.images import decode, feature_cache, redefined, rgb
from bloodcell_jax.data.sources import input_paths
from bloodcell_jax.inference import classifier, megapixels
from bloodcell_jax.runs import forward
from bloodcell_jax.storage import journal as journal_lib

# What is said of a photograph without one.
NO_CELL = 'no white cell was found in it'
# Bytes of images of cells that wait for those before them.
_MOST_HELD = 2**29
FramesOf = Callable[[np.ndarray, Sequence[cell.Box]], Sequence[cell.Box]]
# From a photograph, uint8 [H, W, 3], upright and at its own size, to each cell in it; [None] for the whole photograph,
# empty if there is no cell.
CellsOf = Callable[[np.ndarray], Sequence[cell.Region | None]]


class NoneUsable(types.UserError):
  """None of the files can be used."""


@dataclasses.dataclass(frozen=True)
class CellPredictions:
  """What the network predicts for the cells of some image files."""

  cells: tuple[cell.Cell, ...]  # N, file by file; none where no photograph shows one
  path: tuple[str, ...]  # N: of the photograph
  probs_NK: np.ndarray  # as the network gives them
  look_NL: np.ndarray | None  # what each looks like; None without a measure of unlike images
  problems: list[types.Problem]  # files that could not be used, or in which there is no cell


def cells_of(photograph_HWC: np.ndarray) -> Sequence[cell.Region | None]:
  """The whole photograph as one cell."""
  del photograph_HWC
  return (None,)


def fingerprint(loaded: classifier.Classifier, spec: decode.Spec, cells: str = '') -> str:
  """16 hex digits that change with whatever decides what is predicted for given bytes; `cells`: of the detector."""
  own = loaded.job.experiment.data.decode
  networks, rule = loaded.models.networks, loaded.models.combination
  learned = [network.job.statistics for network in networks]
  return feature_cache.key(
    weights=' '.join(tree.fingerprint(network.params) for network in networks),
    combination=f'{rule.kind} {tree.fingerprint(dict(rule.arrays))}',
    views=loaded.job.experiment.tta,
    # How large a photograph may be decides whether it is read, not what is predicted.
    decoding=repr(dataclasses.replace(spec, cache='memory', max_pixels=own.max_pixels)),
    standardize=repr(loaded.job.transform.standardize),
    statistics=repr([each and [each.mean_C, each.std_C] for each in learned]),
    class_names=' '.join(loaded.class_names),
    **({'cells': cells} if cells else {}),
    **_measure_key(loaded),
  )


def _measure_key(loaded: classifier.Classifier) -> dict[str, str]:
  """What decides the looks in the journal; nothing without a measure, so that earlier journals stay valid."""
  if loaded.measure is None:
    return {}
  classes = loaded.measure.classes
  learned = {} if classes is None else {key: x for key, x in vars(classes).items() if x is not None}
  return {
    'appearance': str(loaded.measure.version),
    'content': '' if classes is None else tree.fingerprint(learned),
  }


def predict_files(
  loaded: classifier.Classifier,
  files: Sequence[input_paths.Input],
  spec: decode.Spec,
  journal: journal_lib.Journal,
  on_progress: Callable[[int, int], None],
  cells_of: CellsOf,
  frames_of: FramesOf | None = None,
) -> CellPredictions:
  """The predictions for the cells of the files; those in the journal are taken from there.

  **Guarantees**: interrupted at any moment and called again, it predicts no cell of the journal again and gives the
  same cells in the same order. Two files with the same bytes are predicted once. Memory grows by a few numbers a cell,
  not by images.

  Args:
    loaded: the classifier.
    files: which.
    spec: how each cell becomes the network's input.
    journal: what has been predicted before; the rest is added batch by batch.
    on_progress: called with (files done, files in all).
    cells_of: where the cells of a photograph are; called in several threads.
    frames_of: what the network sees for each box; None is the box.

  Raises:
    signals.Stopped: a stop was requested; what has been predicted is in the journal.
    NoneUsable: none of the files can be read.
    RunError: the output for a cell is not finite.
  """

  def is_current(digest: str) -> bool:
    """Whether the journal was written by a version that decodes the photograph to the same pixels."""
    return digest in journal.about and not redefined.may_have_changed(journal.about[digest].notes)

  def is_read_otherwise(digest: str) -> bool:
    if digest in journal.about:
      return journal.about[digest].notes != about[digest].notes
    return redefined.is_redefined(about[digest].notes)

  def boxes_of(_: int, digest: str, photograph_HWC: np.ndarray) -> Sequence[cell.Box | None]:
    # An earlier version that did not describe a photograph may have found its cells in other pixels.
    known = journal.regions.get(digest) if is_current(digest) else None
    regions = known or cells_of(photograph_HWC)
    searched[digest] = tuple(one for one in regions if one is not None)
    return [None if one is None else one.box for one in regions]

  size = loaded.job.experiment.evaluate_batch_size
  photographs: list[tuple[input_paths.Input, str]] = []
  problems: list[types.Problem] = []
  waiting: dict[str, tuple[str, np.ndarray]] = {}  # key -> file, image
  # Filled by several threads.
  about: dict[str, journal_lib.Photograph] = {}
  searched: dict[str, tuple[cell.Region, ...]] = {}

  def is_wanted(digest: str, data: bytes) -> bool:
    # Earlier versions did not describe photographs, and decoded some of them otherwise.
    return not journal.is_complete(digest) or (not is_current(digest) and redefined.may_be(data))

  def on_read(digest: str, size: tuple[int, int], notes: tuple[str, ...]) -> None:
    about[digest] = journal_lib.Photograph(size, notes)

  def predict(num: int) -> None:
    keys = list(waiting)[:num]
    batch = [waiting.pop(key) for key in keys]
    probs_BK, look_BL = loaded.probabilities_and_looks(np.stack([image for _, image in batch]))
    forward.check(probs_BK, [file for file, _ in batch])
    journal.add(keys, probs_BK, look_BL)

  contents = decode.each(
    (file.path for file in files),
    spec,
    is_wanted,
    boxes_of,
    frames_of,
    on_read,
  )
  for i, (file, (digest, content)) in enumerate(zip(files, contents, strict=True)):
    loaded.job.poll()
    if isinstance(content, rgb.TooLarge):
      problems.append(types.Problem(file.shown, megapixels.refusal(content, spec.max_pixels, 'predict')))
    elif isinstance(content, decode.DecodeError):
      problems.append(types.Problem(file.shown, str(content)))
    else:
      photographs.append((file, digest))
      if digest in about:
        if not is_current(digest) and is_read_otherwise(digest):
          journal.forget(digest)
        journal.describe(digest, about.pop(digest))
      regions = searched.pop(digest, ()) or journal.regions.get(digest, ())
      for key, image in [] if content is None else _missing(journal, digest, content, regions):
        waiting.setdefault(key, (file.shown, image))
    while len(waiting) >= size:
      predict(size)
      loaded.job.poll()
    on_progress(i + 1, len(files))
  if waiting:
    predict(size)
  journal.flush()
  return _gather(photographs, journal, problems, len(loaded.class_names))


def read_images(
  predictions: CellPredictions, rows: Sequence[int], spec: decode.Spec, frames_of: FramesOf | None = None
) -> Iterator[np.ndarray | None]:
  """The images of these cells again, in order; None where the file has changed or gone meanwhile.

  **Guarantees**: a photograph is decoded once for all its cells among these, or once per block of so many cells that
  their images take _MOST_HELD bytes; images that wait for their turn take no more.
  """
  num = max(1, _MOST_HELD // (3 * spec.image_size**2))
  for start in range(0, len(rows), num):
    yield from _read_block(predictions, rows[start : start + num], spec, frames_of)


def _read_block(
  predictions: CellPredictions, rows: Sequence[int], spec: decode.Spec, frames_of: FramesOf | None
) -> Iterator[np.ndarray | None]:
  """As `read_images`, each photograph decoded once."""
  cells = [predictions.cells[row] for row in rows]
  places_of: dict[str, list[int]] = {}
  for place, row in enumerate(rows):
    places_of.setdefault(predictions.path[row], []).append(place)
  places = tuple(places_of.values())

  def inside(i: int, digest: str) -> list[int]:
    # Two files may have changed places.
    return [place for place in places[i] if cells[place].digest == digest]

  digests = {one.digest for one in cells}
  contents = decode.each(
    places_of,
    spec,
    lambda digest, _: digest in digests,
    lambda i, digest, _: [cells[place].box for place in inside(i, digest)],
    frames_of,
  )
  waiting: dict[int, np.ndarray | None] = {}  # place -> image
  turn = 0
  for i, (digest, content) in enumerate(contents):
    waiting.update(dict.fromkeys(places[i]))
    if isinstance(content, list):
      images = (image_HWC for _, image_HWC in content)
      waiting.update(zip(inside(i, digest), images, strict=True))
    while turn in waiting:
      yield waiting.pop(turn)
      turn += 1


def _missing(
  journal: journal_lib.Journal,
  digest: str,
  content: Sequence[tuple[cell.Box | None, np.ndarray]],
  regions: Sequence[cell.Region],
) -> Iterator[tuple[str, np.ndarray]]:
  """The cells of a photograph that the journal lacks: (key, image). Records the boxes first."""
  is_whole = len(content) == 1 and content[0][0] is None
  if not is_whole and len(regions) < len(content):
    raise ValueError('a photograph is one cell as a whole, or has a box for each cell')
  if not is_whole and digest not in journal.regions:
    journal.add_regions(digest, regions)
  for one, (_, image) in zip(journal.cells('', digest), content, strict=True):
    if one.key not in journal.known:
      yield one.key, image


def _gather(
  photographs: Sequence[tuple[input_paths.Input, str]],
  journal: journal_lib.Journal,
  problems: list[types.Problem],
  num_classes: int,
) -> CellPredictions:
  cells: list[cell.Cell] = []
  paths: list[str] = []
  for file, digest in photographs:
    inside = journal.cells(file.shown, digest)
    if not inside:
      problems.append(types.Problem(file.shown, NO_CELL))
    cells += inside
    paths += [file.path] * len(inside)
  if not photographs:
    raise NoneUsable(f'none of the {len(problems)} files can be used; the first: {problems[0]}')
  looks = [journal.looks[one.key] for one in cells if one.key in journal.looks]
  return CellPredictions(
    tuple(cells),
    tuple(paths),
    np.array([journal.known[one.key] for one in cells], np.float64).reshape(-1, num_classes),
    np.stack(looks) if cells and len(looks) == len(cells) else None,
    problems,
  )
