"""The classifier of the page: photographs to cells with their pictures, and heat maps."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np

from bloodcell_jax.base import cell, types, wording
from bloodcell_jax.data.images import decode
from bloodcell_jax.data.sources import input_paths
from bloodcell_jax.explain import heat_maps
from bloodcell_jax.inference import (
  cell_finder,
  classifier,
  differential_count,
  field_overlaps,
  file_predictions,
)
from bloodcell_jax.reports import review_images
from bloodcell_jax.serving import photograph_file
from bloodcell_jax.stats import calibration, unlike
from bloodcell_jax.storage import journal as journal_lib

# Cells per batch: small, because a person waits for the first answer.
_BATCH = 16
_CELL_SIDE = 192  # pixels of a cell's picture, at most


@dataclasses.dataclass(frozen=True)
class Found:
  """What was found in a photograph: its cells, or the reason why there is none."""

  cells: tuple[cell.Cell, ...]
  frames: tuple[cell.Box | None, ...]
  reason: str


class Analysis:
  """A run's classifier with the finder of cells. Used by one thread, apart from `decode_upload` and `classify`.

  Args:
    loaded: the classifier.
    name: of the run, for people.
    view: as `data.view`; that of the run if empty.
    cells: one, many or auto, as `cell_finder.finder` takes it.
    trained: `sizes.summary` of the run's training images; empty where it is not known.
    max_pixels: of a photograph, in place of the run's `data.max_pixels`.
  """

  def __init__(
    self,
    loaded: classifier.Classifier,
    name: str,
    view: str,
    cells: str,
    trained: Mapping[str, Sequence[int]],
    max_pixels: int,
  ):
    self.loaded = classifier.in_batches(loaded, _BATCH)
    decoding = loaded.job.experiment.data.decode
    self.spec = dataclasses.replace(decoding, view=view or decoding.view, max_pixels=max_pixels)
    self.name = name
    # As `predict` names the network.
    self.network = file_predictions.fingerprint(self.loaded, self.spec, cell_finder.fingerprint(cells))
    self._cells_of = cell_finder.finder(cells, cell_finder.from_training(self.spec.view, trained))
    self._frames_of = cell_finder.framer(self.spec.view)

  @property
  def model(self) -> str:
    """What exported labels call the network, as the review page does."""
    return f'{self.name} {self.network}'

  @property
  def notes(self) -> list[str]:
    """What must be read before the page's figures."""
    notes = [self.loaded.note, wording.capital(calibration.left_for_review(self.loaded.rule))]
    if self.loaded.measure is None:
      notes.append(
        'This model has no measure of unlike images: cells of another laboratory or stain are named like '
        'its own.'
      )
    if self.loaded.rule is None:
      notes.append('This model has no calibration: every cell is named, and none is marked as doubtful.')
    return [note for note in notes if note]

  @property
  def class_names(self) -> tuple[str, ...]:
    """K names, in the order of the probabilities."""
    return self.loaded.class_names

  def warm_up(self) -> None:
    """Compiles the networks, so that the first photograph does not wait for it."""
    side = self.spec.image_size
    self.loaded.probabilities_and_looks(np.zeros((1, side, side, 3), np.uint8))

  def warm_up_heat_maps(self) -> None:
    """Compiles the heat maps, so that the first click does not wait for it."""
    if self._heat_maps is not None:
      side = self.spec.image_size
      self._heat_maps.draw(np.zeros((1, side, side, 3), np.uint8))

  def decode_upload(self, photograph: photograph_file.PhotographFile) -> photograph_file.PhotographFile:
    """The photograph with its size, once its pictures are written. May be called by several threads.

    Raises:
      DecodeError: the file is no photograph that can be used; TooLarge if it has too many pixels.
    """
    image_HWC = decode.upright(str(photograph.path), self.spec.max_pixels)
    for name, side in photograph_file.SIDES.items():
      photograph.picture(name).write_bytes(review_images.jpeg_file(image_HWC, side))
    height, width = image_HWC.shape[:2]
    return dataclasses.replace(photograph, size=(width, height))

  def find(
    self, photographs: Sequence[photograph_file.PhotographFile], journal: journal_lib.Journal
  ) -> list[Found]:
    """The cells of each photograph, predicted in the journal and with their pictures written.

    Raises:
      Stopped: a stop was requested.
      RunError: the output for a cell is not finite.
    """
    files = [input_paths.Input(str(one.path), one.shown) for one in photographs]
    # The journal says below that each of these cannot be read again.
    with contextlib.suppress(file_predictions.NoneUsable):
      file_predictions.predict_files(
        self.loaded, files, self.spec, journal, lambda done, total: None, self._cells_of, self._frames_of
      )
    return [self._found(one, journal) for one in photographs]

  def _found(self, photograph: photograph_file.PhotographFile, journal: journal_lib.Journal) -> Found:
    if not journal.is_complete(photograph.digest):
      return Found((), (), 'cannot be read again')
    cells = journal.cells(photograph.shown, photograph.digest)
    if not cells:
      return Found((), (), 'no white cell was found')
    images, frames = self._images(photograph, [one.box for one in cells])
    for one, image_HWC in zip(cells, images, strict=True):
      photograph.cell_picture(one.number).write_bytes(review_images.jpeg_file(image_HWC, _CELL_SIDE))
    return Found(tuple(cells), tuple(frames), '')

  def draw_heat(self, photograph: photograph_file.PhotographFile, number: int) -> bytes:
    """The heat map of the cell of this number, a PNG that lies over the cell's picture; empty where there is none."""
    if self._heat_maps is None:
      return b''
    images, _ = self._images(photograph, [photograph.cells[number - 1].box])
    return review_images.heat_png(self._heat_maps.draw(images[0][None])[0])

  @functools.cached_property
  def _heat_maps(self) -> heat_maps.HeatMaps | None:
    try:
      return heat_maps.HeatMaps(self.loaded, 1)
    except types.UserError:
      return None  # a network without a convolution

  def _images(
    self, photograph: photograph_file.PhotographFile, boxes: Sequence[cell.Box | None]
  ) -> tuple[list[np.ndarray], list[cell.Box | None]]:
    """What the network sees of each box, uint8 [S, S, 3], and where that lies in the photograph, if it is known."""
    frames: list[cell.Box | None] = []

    def frames_of(photograph_HWC: np.ndarray, inner: Sequence[cell.Box]) -> Sequence[cell.Box]:
      frames.extend(self._frames_of(photograph_HWC, inner))
      return [frame for frame in frames if frame is not None]

    ((_, content),) = decode.each(
      [str(photograph.path)], self.spec, lambda digest, data: True, lambda i, digest, _: boxes, frames_of
    )
    if not isinstance(content, list):
      raise types.RunError(f'{photograph.shown}: cannot be read again')
    return [image_HWC for _, image_HWC in content], frames or [None] * len(boxes)

  def repeated(
    self, photographs: Sequence[photograph_file.PhotographFile], compared: field_overlaps.Compared
  ) -> dict[str, str]:
    """The cells that overlapping photographs show again: by key, the key of the one that is counted.

    Args:
      photographs: of a session, all with their cells.
      compared: of the session.

    Raises:
      Stopped: a stop was requested.
    """
    cells = [one for photograph in photographs for one in photograph.cells]
    paths = [str(photograph.path) for photograph in photographs for _ in photograph.cells]

    def is_doubtful(row: int) -> bool:
      return differential_count.is_left_out(cells[row])

    rows = field_overlaps.repeated(
      cells, paths, self.spec.max_pixels, is_doubtful, self.loaded.job.poll, compared
    )
    return {one.key: cells[row].key for one, row in zip(cells, rows, strict=True) if row is not None}

  def classify(
    self, cells: Sequence[cell.Cell], journal: journal_lib.Journal, repeats: Mapping[str, str]
  ) -> differential_count.ClassifiedCells:
    """The cells of a session with their classes; each dropped folder is judged as a whole as well.

    Args:
      cells: of the session.
      journal: with their predictions.
      repeats: as from `repeated`.
    """
    keys = [one.key for one in cells]
    judgement = None
    if self.loaded.measure is not None and all(key in journal.looks for key in keys):
      judgement = unlike.judge(
        self.loaded.measure.references,
        np.stack([journal.looks[key] for key in keys]),
        [one.file.rpartition('/')[0] for one in cells],
        self.loaded.job.experiment.unlike,
        False,
      )
    probs_NK = np.stack([journal.known[key] for key in keys])
    classified = differential_count.classify(cells, probs_NK, self.class_names, self.loaded.rule, judgement)
    row_of = {key: row for row, key in reversed(list(enumerate(keys)))}  # the first of each key
    repeat_of = tuple(row_of.get(repeats.get(key, '')) for key in keys)
    return dataclasses.replace(classified, repeat_of=repeat_of)

  @property
  def confidence(self) -> float:
    """Of the intervals of the count."""
    return self.loaded.job.experiment.intervals.confidence
