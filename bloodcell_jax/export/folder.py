"""Writes the exported folder atomically: the formats, the contract, the model card, and digests of images seen."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Sequence

from bloodcell_jax.base import types
from bloodcell_jax.export import card, contract, formats, parity, program, samples, unlike_json
from bloodcell_jax.inference import classifier
from bloodcell_jax.reports import selection
from bloodcell_jax.runs import seen_images
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic
from bloodcell_jax.weights import own

CONTRACT, CARD, CARD_TEXT = 'model.json', 'model_card.json', 'model_card.md'


def write(
  target: pathlib.Path,
  run: workdir.Workdir,
  loaded: classifier.Classifier,
  exported: program.Program,
  chosen: Sequence[formats.Format],
  images: samples.Samples,
  poll: Callable[[], None],
  log: Callable[[str], None],
) -> None:
  """Writes each format, reads it back, compares it with the run's own network, and writes the model card.

  Beside `model.safetensors`, with which a run can begin, are the digests and thumbnails of the images it has seen.

  An earlier export in `target` is replaced once the new one is complete.

  Args:
    target: the folder.
    run: the run's folder.
    loaded: its classifier.
    exported: the program to export.
    chosen: the formats to write.
    images: on which each format is compared with the network.
    poll: called between formats; may raise to stop.
    log: called with a line for each format.

  Raises:
    UserError: `target` holds something other than an export.
    RunError: the probabilities of a format differ from the network's.
  """
  check(target, run)
  reference_NK = parity.reference(loaded, images.image_NHWC)
  parities, sizes = {}, {}
  with atomic.folder(target) as temporary:
    for fmt in chosen:
      poll()
      path = temporary / fmt.file
      fmt.write(path, exported)
      result = parity.check(
        fmt.name,
        fmt.read(path, exported),
        images,
        reference_NK,
        loaded.job.experiment.evaluate_batch_size,
      )
      parities[fmt.name], sizes[fmt.name] = result, _size(path)
      log(f'{fmt.name}: {sizes[fmt.name] / 1e6:,.1f} MB, {result.line()}')
    poll()
    built = contract.build(loaded, exported, selection.calibrated_on(selection.choices(run)))
    values = card.values(run, loaded, built, parities, sizes)
    atomic.write_json(temporary / CONTRACT, built)
    atomic.write_json(temporary / CARD, values)
    if (known := unlike_json.values(loaded)) is not None:
      atomic.write_json(temporary / unlike_json.FILE, known)
    if any(fmt.file == own.FILE for fmt in chosen):
      # For runs that begin with these weights.
      seen_images.export(run, workdir.Workdir(temporary))
    atomic.write_text(temporary / CARD_TEXT, card.text(values, loaded, chosen))


def check(target: pathlib.Path, run: workdir.Workdir) -> None:
  """Raises UserError if `target` exists and is not an earlier export of this run.

  Args:
    target: the folder to write.
    run: the run's folder; an export inside it is its own, wherever the run lay when it was exported.
  """
  if target.is_file() or (target.is_dir() and any(target.iterdir()) and not (target / CARD).exists()):
    raise types.UserError(f'{target}: is not an export of this package; choose another folder with --to')
  before, place = _run(target)
  if place not in ('', card.place(run.path)) and run.path.resolve() not in target.resolve().parents:
    raise types.UserError(
      f'{target}: holds the export of another run ({before}); choose another folder with --to'
    )


def _run(target: pathlib.Path) -> tuple[str, str]:
  """The name and `card.place` of the folder of the run that was exported; '' where the card does not say."""
  try:
    written = json.loads((target / CARD).read_text('utf-8'))
    # Earlier versions wrote the whole path in place of the name.
    path = pathlib.Path(written['run'])
    return path.name, written.get('run_place') or card.place(path)
  except (OSError, ValueError, KeyError, TypeError, AttributeError):
    return '', ''


def _size(path: pathlib.Path) -> int:
  files = [path] if path.is_file() else [each for each in path.rglob('*') if each.is_file()]
  return sum(each.stat().st_size for each in files)
