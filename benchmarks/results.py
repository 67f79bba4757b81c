"""Generates docs/results.md from the folders of runs, so that no figure is typed by hand.

python -m benchmarks.results configs/cnn_b.py:rmsprop=runs/cnn_b-rmsprop > docs/results.md
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from bloodcell_jax.base import run_format, types
from bloodcell_jax.config import experiment
from bloodcell_jax.reports import split_section
from bloodcell_jax.stats import metrics as merits
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import history

HEAD = """# Results

Written by `python -m benchmarks.results`; each figure is read from the folder of a run. A figure is followed by its
interval in brackets, which comes from resampling groups: all images of one field of a smear are copies of each
other and count as one. `validation` is a part of TRAIN by groups and chose the epoch, so that its figures are
optimistic and no evidence. Within a run no test split chose anything. Between runs TEST was seen: that CNN A and B
choose the epoch by validation accuracy was decided after a first run had scored 0.607 on TEST, and the rate of the
hybrid network's regression was lowered after a run whose TEST figures had been printed (docs/hybrid.md). Figures of
these configs on TEST are optimistic for that reason. `test_clean` leaves out the images of `test` whose photograph
TRAIN shows too; it is the split to quote, `test` is for comparison with the study. Research use only, never a
diagnosis.
"""
# Local paths, replaced by a placeholder.
PLACES = {'data.dir': 'FOLDER'}


def main(arguments: Sequence[str]) -> None:
  """Prints the page for runs given as CONFIG=FOLDER."""
  if not arguments or not all('=' in argument for argument in arguments):
    sys.exit('usage: python -m benchmarks.results configs/NAME.py[:VARIANT]=FOLDER ...')
  print(HEAD)
  for argument in arguments:
    config, _, folder = argument.partition('=')
    print(section(config, workdir.Workdir(folder)))


def section(config: str, folder: workdir.Workdir) -> str:
  """The section of one run: its command, time and figures."""
  if not folder.history.exists():
    raise types.UserError(
      f'{folder.path}: has no history.jsonl; of a cross-validation name the folders of its folds'
    )
  environment = folder.read_environment()
  metrics = json.loads(folder.metrics.read_text())
  records = history.read(folder.history)
  best = next(iter(metrics.values()))['checkpoint']['best_epoch']
  chosen = records[best - 1]
  data = environment['data']
  versions = ', '.join(f'{k} {environment["packages"][k]}' for k in ('jax', 'flax', 'optax'))
  devices = ', '.join(f'{len(environment["devices"])} x {d["kind"]}' for d in environment['devices'][:1])
  train, validation = (
    sum(photos for _, photos in data['counts'][s].values()) for s in ('train', 'validation')
  )
  notes = dict.fromkeys(entry['note'] for entry in metrics.values() if entry['note'])
  return '\n'.join(
    [
      f'## {config}',
      '',
      *(f'**{note}**\n' for note in notes),
      f'`{command(config, folder.read_config())}`',
      '',
      f'{environment["date"]}, {environment["platform"]}, {environment["num_cores"]} cores, {devices}, {versions}. '
      f'Trained on {data["name"]}: {train} photographs, validated on {validation}.',
      '',
      f'{len(records)} epochs, {records[-1].step} updates; an epoch took '
      f'{statistics.median(r.seconds for r in records):.0f} s (median; fastest {min(r.seconds for r in records):.0f}, '
      f'slowest {max(r.seconds for r in records):.0f}). Epoch {best} had the best validation figure and is the one '
      f'that is scored: training accuracy {chosen.accuracy:.3f}, validation {chosen.val_accuracy:.3f}, a gap of '
      f'{chosen.accuracy - chosen.val_accuracy:+.3f}. Other work on the machine makes epochs slower; '
      'the fastest is nearest to what it can do.',
      '',
      *_scores(metrics),
      '',
      *_epochs(records),
      '',
    ]
  )


def command(config: str, flat: Mapping[str, Any]) -> str:
  """The command of the run: the config and every key in which the run differs from it."""
  path, _, variant = config.partition(':')
  module = importlib.import_module(path.removesuffix('.py').replace('/', '.'))
  defaults = experiment.flat(module.get_config(variant) if variant else module.get_config())
  words = [f'python main.py --config={config}']
  for key, value in flat.items():
    if defaults.get(key) != value and key != run_format.KEY:
      words.append(f'--config.{key}={PLACES.get(key, value)}')
  return ' '.join(words)


def _scores(metrics: Mapping[str, Any]) -> list[str]:
  titles = [figure.title for figure in merits.FIGURES]
  lines = [f'| split | images | groups | {" | ".join(titles)} |', '|---|' + '---:|' * (2 + len(titles))]
  for split, entry in metrics.items():
    cells = [split_section.figure(entry.get(figure.name)) for figure in merits.FIGURES]
    lines.append(f'| {split} | {entry["num_images"]:,} | {entry["num_groups"]} | {" | ".join(cells)} |')
  return lines


def _epochs(records: Sequence[history.Record]) -> list[str]:
  names = ('loss', 'accuracy', 'val_loss', 'val_accuracy')
  lines = [f'| epoch | stage | {" | ".join(names)} | seconds |', '|---:|---|' + '---:|' * (len(names) + 1)]
  for r in records:
    lines.append(
      f'| {r.epoch} | {r.stage} | {" | ".join(f"{getattr(r, name):.3f}" for name in names)} | {r.seconds:.0f} |'
    )
  return lines


if __name__ == '__main__':
  try:
    main(sys.argv[1:])
  except types.UserError as error:
    sys.exit(str(error))
