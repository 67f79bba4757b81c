"""All that is exported of a run, in one folder that is whole or not there."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence

from bloodcell_jax.base import types
from bloodcell_jax.export import card, contract, formats, parity, program, samples
from bloodcell_jax.inference import classifier
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic

CONTRACT, CARD, CARD_TEXT = 'model.json', 'model_card.json', 'model_card.md'


def write(
  target: pathlib.Path,
  run: workdir.Workdir,
  loaded: classifier.Classifier,
  exported: program.Program,
  chosen: Sequence[formats.Format],
  images: samples.Samples,
  poll: Callable[[], None],
  tell: Callable[[str], None],
) -> None:
  """Writes each format, reads it back, compares it with the project's own network, and writes the card.

  What an earlier export left in `target` is replaced, once everything is there.

  Args:
    target: the folder.
    run: the run's.
    loaded: its classifier.
    exported: the program of it.
    chosen: the formats.
    images: what they are compared on.
    poll: called between the formats; may raise to end early.
    tell: gets a line for each format.

  Raises:
    UserError: the folder holds something else.
    RunError: a format says something else than the network.
  """
  check(target)
  reference_NK = parity.reference(loaded, images.image_NHWC)
  agreed, sizes = {}, {}
  with atomic.folder(target) as beside:
    for known in chosen:
      poll()
      path = beside / known.file
      known.write(path, exported)
      found = parity.check(
        known.name,
        known.read(path, exported),
        images,
        reference_NK,
        loaded.made.experiment.evaluate_batch_size,
      )
      agreed[known.name], sizes[known.name] = found, _size(path)
      tell(f'{known.name}: {sizes[known.name] / 1e6:,.1f} MB, {found.line()}')
    poll()
    told = card.values(run, loaded, exported, agreed, sizes)
    atomic.write_json(beside / CONTRACT, contract.of(loaded, exported))
    atomic.write_json(beside / CARD, told)
    atomic.write_text(beside / CARD_TEXT, card.text(told, loaded, chosen))


def check(target: pathlib.Path) -> None:
  """Raises UserError where `target` is something else than an earlier export."""
  if target.is_file() or (target.is_dir() and any(target.iterdir()) and not (target / CARD).exists()):
    raise types.UserError(f'{target}: is no export of this package; choose another folder with --to')


def _size(path: pathlib.Path) -> int:
  files = [path] if path.is_file() else [each for each in path.rglob('*') if each.is_file()]
  return sum(each.stat().st_size for each in files)
