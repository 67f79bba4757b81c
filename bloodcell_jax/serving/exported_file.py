"""What a person takes away from the page: labels, labelled cells, predictions, the count."""

from __future__ import annotations

import pathlib
import tempfile
import zipfile

from bloodcell_jax.data.images import image_files
from bloodcell_jax.inference import differential_count
from bloodcell_jax.serving import analysis as analysis_lib
from bloodcell_jax.serving import label_list, labelled_folder
from bloodcell_jax.serving import session as session_lib

LABELS, CELLS, PREDICTIONS, COUNT = 'labels.csv', 'labelled-cells.zip', 'predictions.csv', 'differential.csv'
TYPES = {LABELS: 'text/csv', CELLS: 'application/zip', PREDICTIONS: 'text/csv', COUNT: 'text/csv'}


def content(name: str, session: session_lib.Session, analysis: analysis_lib.Analysis) -> bytes:
  """The bytes of a file of one of the names in TYPES.

  Raises:
    Refused: there is no cell or no label yet, the session has ended meanwhile, or the disk takes no file.
  """
  classified, counted = session.classified(), session.count()
  if classified is None or counted is None:
    raise session_lib.Refused('there is no cell yet')
  if name == LABELS:
    return label_list.write(classified, session.labels(), analysis.model).encode()
  try:
    with tempfile.TemporaryDirectory(dir=session.folder) as folder:
      path = pathlib.Path(folder, name)
      if name == PREDICTIONS:
        differential_count.write_predictions(path, classified)
      elif name == COUNT:
        differential_count.write_count(path, counted)
      else:
        place = pathlib.Path(folder, pathlib.Path(CELLS).stem)
        labelled_folder.write(session, place, analysis.spec.max_pixels)
        _pack(place, path)
      return path.read_bytes()
  except OSError as error:
    raise labelled_folder.refusal(error, session, session.folder / name) from None


def _pack(folder: pathlib.Path, path: pathlib.Path) -> None:
  """Writes the folder with its files as an archive."""
  with zipfile.ZipFile(path, 'w') as archive:
    for file in sorted(folder.rglob('*'), key=lambda one: image_files.natural_key(str(one))):
      if file.is_file() and not file.name.startswith('.'):
        archive.write(file, file.relative_to(folder.parent).as_posix())
