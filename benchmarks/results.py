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

Runs on the Kaggle images, read from the runs' folders by `python -m benchmarks.results` and
`python -m benchmarks.ensembles`. Brackets hold 95 % confidence intervals from resampling groups: all images
of one field of a smear are copies of each other and count as one. The fields of each split are in
[dataset.md](dataset.md); figures of merit and intervals are explained in [evaluation.md](evaluation.md). Loss
and accuracy of each epoch are in the [log](log/epochs_2026-11.md). Research use only, never a diagnosis.

## What was chosen, and on what

`validation` is a part of TRAIN, divided by groups. It chose the scored epoch of each run, and temperature and
threshold were fitted on it, so its own figures are optimistic. No epoch, threshold or ensemble member was
chosen on a test split. But three decisions about the method were made after TEST figures had been seen, and
the runs below profit from them in a way that cannot be measured on TEST itself:

- The study's configs choose the epoch by validation accuracy. That was decided after a first run of CNN B,
  chosen by validation loss, had scored 0.607 [0.448, 0.733] on TEST.
- The stage `svr` of `configs/cnn_svr.py` has a learning rate of 3e-4 and not 1e-3. The reason was the
  training loss; the TEST figures of the first run had been printed by then ([hybrid.md](hybrid.md)).
- Stacking weighs each class alike. That was changed after the first TEST figures (0.586 to 0.677) had been
  seen.

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
