"""Classify images of one's own: predictions, a differential count, and a page on which to look through them."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.base import types
from bloodcell_jax.data.images import decode
from bloodcell_jax.data.sources import input_paths
from bloodcell_jax.explain import heat_maps
from bloodcell_jax.inference import classifier, differential_count, file_predictions, review_page
from bloodcell_jax.reports import page, report, review_images
from bloodcell_jax.storage import journal, workdir
from bloodcell_jax.system import atomic, lock
from bloodcell_jax.train import progress, signals


def define_flags() -> None:
  """Where the files go, how images are cut, how many are shown."""
  flags.DEFINE_string('to', '', 'the folder for the files; WORKDIR/predict/<name of the path> when empty')
  flags.DEFINE_string(
    'view', '', 'full or nucleus; that of the run when empty. For pictures of single cells: full'
  )
  flags.DEFINE_bool('heat_maps', True, 'a Grad-CAM map of each image on the review page')
  flags.DEFINE_integer('review_max', 2000, 'images on the review page at most, the least certain ones')


def run(request: commands.Request, stop: signals.Stop) -> None:
  """Predicts every image that the paths name; typed again, it continues."""
  if not request.workdir:
    raise types.UserError('predict needs the folder of a run: --workdir=runs/NAME')
  if not request.paths:
    raise types.UserError('predict needs images: name files, folders, patterns or a .csv with a column file')
  given, shown = flags.FLAGS, progress.Progress()
  if given.review_max < 0:
    raise types.UserError(f'review_max is {given.review_max}; it must be 0 or more')
  folder = workdir.Workdir(request.folder())
  found, left_out = input_paths.find(request.paths)
  loaded = classifier.load(folder, stop)
  spec = loaded.made.experiment.data.decode
  spec = dataclasses.replace(spec, view=given.view or spec.view)
  target = pathlib.Path(given.to) if given.to else folder.path / 'predict' / _name(request.paths)
  network = file_predictions.fingerprint(loaded, spec)
  lock.take(target)
  known = journal.Journal(target / 'journal.jsonl', network, loaded.class_names)
  shown.line(f'{len(found):,} files; {len(known.known):,} images are predicted already')
  identified = file_predictions.run(loaded, found, spec, known, shown.counter('images predicted'))
  counted = differential_count.of(
    identified.file, identified.digest, identified.probs_NK, loaded.class_names, loaded.rule
  )
  problems = [*left_out, *identified.problems]
  difference = differential_count.count(counted, loaded.made.experiment.intervals.confidence)
  _write(target, folder, loaded, spec, network, identified, counted, difference, problems, given.review_max)
  _tell(target, difference, problems, loaded, shown)


def _write(
  target: pathlib.Path,
  folder: workdir.Workdir,
  loaded: classifier.Classifier,
  spec: decode.Spec,
  network: str,
  identified: file_predictions.Identified,
  counted: differential_count.Census,
  difference: dict[str, Any],
  problems: Sequence[types.Problem],
  most: int,
) -> None:
  differential_count.write(target / 'predictions.csv', counted)
  differential_count.write_count(target / 'differential.csv', difference)
  about = {
    'note': loaded.note,
    'model': network,
    'checkpoint': loaded.origin,
    'calibrated': counted.calibrated,
  }
  listed = [str(problem) for problem in problems]
  atomic.write_json(target / 'predict.json', {**about, 'differential': difference, 'problems': listed})
  rows = review_page.order(counted, most)
  said = review_page.make(
    counted,
    rows,
    _pictures(loaded, identified, rows, spec),
    {'title': f'{target.name}, by {folder.path.name}', 'model': f'{folder.path.name} {network}'},
    [note for note in (loaded.note, *differential_count.warnings(difference), report.RESEARCH_ONLY) if note],
    [_differential(difference), _worth(folder), _problems(listed)],
  )
  atomic.write_text(target / 'review.html', said)


def _pictures(
  loaded: classifier.Classifier,
  identified: file_predictions.Identified,
  rows: Sequence[int],
  spec: decode.Spec,
) -> Iterator[tuple[str, str]]:
  decoded = file_predictions.images(identified, rows, spec)
  without = ((image_HWC, None) for image_HWC in decoded)
  for image_HWC, heat_HW in heat_maps.heats(loaded, decoded) if flags.FLAGS.heat_maps else without:
    loaded.made.poll()
    yield (
      ('', '')
      if image_HWC is None
      else (review_images.jpeg(image_HWC), '' if heat_HW is None else review_images.heat(heat_HW))
    )


def _tell(
  target: pathlib.Path,
  difference: dict[str, Any],
  problems: Sequence[types.Problem],
  loaded: classifier.Classifier,
  shown: progress.Progress,
) -> None:
  for problem in problems[:20]:
    shown.line(f'left out: {problem}')
  if len(problems) > 20:
    shown.line(f'and {len(problems) - 20:,} more, in {target / "predict.json"}')
  for name, entry in difference['classes'].items():
    share = (
      '' if entry['share'] is None else f' {entry["share"]:.1%} [{entry["low"]:.1%}, {entry["high"]:.1%}]'
    )
    shown.line(f'  {name}: {entry["count"]:,}{share}')
  shown.line(
    f'  {differential_count.UNCLASSIFIED}, for review: {difference["num_unclassified"]:,} of '
    f'{difference["num_images"]:,}'
  )
  if loaded.rule is None:
    shown.line('the run has no calibration.json: evaluate it, and doubt is marked')
  for said in (*differential_count.warnings(difference), loaded.note):
    if said:
      shown.line(said)
  shown.line(f'{target / "predictions.csv"}, differential.csv, review.html')
  shown.line(report.RESEARCH_ONLY)


def _differential(difference: dict[str, Any]) -> str:
  rows = [
    (
      name,
      f'{entry["count"]:,}',
      'n/a' if entry['share'] is None else f'{entry["share"]:.1%}',
      f'{entry["low"]:.1%} to {entry["high"]:.1%}',
      f'{entry["likeliest"]:,}',
    )
    for name, entry in difference['classes'].items()
  ]
  rows.append((differential_count.UNCLASSIFIED, f'{difference["num_unclassified"]:,}', '', '', ''))
  confidence = f'{100 * difference["confidence"]:g} %'
  return (
    '<h2>Differential count</h2>'
    + page.table(
      'cells by class',
      ('class', 'named', 'share of the named', f'{confidence} interval', 'likeliest of all'),
      rows,
    )
    + '<p class="small">The intervals (Goodman 1965) hold together and tell the chance of having met these cells. They '
    'do not tell how often the network errs, and they take each image for another cell.</p>'
  )


def _worth(folder: workdir.Workdir) -> str:
  """What the network was worth where the truth is known."""
  if not folder.metrics.exists():
    return ''
  line = report.performance(folder)
  return f'<p>{page.text(line)}</p>' if line else ''


def _problems(listed: Sequence[str]) -> str:
  if not listed:
    return ''
  items = ''.join(f'<li>{page.text(line)}</li>' for line in listed[:100])
  more = f'<p>and {len(listed) - 100:,} more, in predict.json</p>' if len(listed) > 100 else ''
  return f'<h2>Files left out: {len(listed):,}</h2><ul class="small">{items}</ul>{more}'


def _name(paths: Sequence[str]) -> str:
  """What the folder of these paths' predictions is called: the first one's own name, made fit for a file."""
  name = re.sub(r'[^A-Za-z0-9_.-]+', '_', pathlib.Path(paths[0]).resolve().name).strip('.') or 'images'
  return name if len(paths) == 1 else f'{name}_and_{len(paths) - 1}'
