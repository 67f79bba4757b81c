"""What each ingredient of configs/best.py brings: a table of docs/best.md.

    python -m benchmarks.ablation runs/ablation --dir=FOLDER [--rows=recipe,without_crop] [--report_only]

Each row is a cross-validation of the variant `quick` on TRAIN of the Kaggle images in FOLDER, with one ingredient left
out, with one alone, or with few photographs to train on; on smaller images than `quick` and with fewer folds than
docs/best.md, so that all of them take hours and not days. TEST is not scored. A row that is complete is not trained
again, and one that was interrupted goes on. Differences are paired by photographed field.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from bloodcell_jax.config import experiment
from bloodcell_jax.data.division import folds
from bloodcell_jax.runs import comparison
from bloodcell_jax.storage import workdir

ROOT = pathlib.Path(__file__).parent.parent
CONFIG = 'configs/best.py:quick'
# Smaller and shorter than `quick`: 9 minutes a row on two cores.
SHARED: dict[str, Any] = {
  'data.source': 'kaggle',
  'data.image_size': 128,
  'data.validation_fraction': 0.15,  # a tenth of two thirds of the monocytes would be no group
  'train.folds': 3,
  'stages.fine.epochs': 4,  # of 8
  'evaluate.splits': ('validation',),
}
FIGURES = ('accuracy', 'balanced_accuracy', 'macro_f1')
RECIPE, NOTHING = 'recipe', 'nothing'
# Photographs to train on, of the 157 or so of a fold.
FEW = (10, 30, 100)


@dataclasses.dataclass(frozen=True)
class Ingredient:
  """A part of the recipe."""

  name: str  # of the row's folder
  title: str
  without: Mapping[str, Any]  # the keys that leave it out


INGREDIENTS = (
  Ingredient('crop', 'the crop around the nucleus', {'data.view': 'full'}),
  Ingredient('pbc', 'training on PBC first', {'weights.path': 'auto'}),
  Ingredient('convolutions', 'training of the convolutions', {'stages.fine.trainable': ('dense_.*',)}),
  Ingredient('fit', 'the fit of the output layer', {'stages.fit.output_layer': ''}),
  Ingredient('maximum', 'the maximum of each channel', {'model.head': 'average'}),
  Ingredient('classes', 'equal shares of the classes', {'train.draw': 'images'}),
  Ingredient(
    'geometry',
    'rotations, mirror images, zooms, shifts and shears',
    {
      'augment.quarter_turns': False,
      'augment.mirrors': False,
      'augment.rotation_range': 0.0,
      'augment.zoom_range': (1.0, 1.0),
      'augment.width_shift_range': 0.0,
      'augment.height_shift_range': 0.0,
      'augment.shear_range': 0.0,
    },
  ),
  Ingredient(
    'colour',
    'changes of brightness, saturation and stain',
    {'augment.brightness_range': (), 'augment.saturation_range': (), 'augment.stain_range': 0.0},
  ),
  Ingredient('blur', 'blur', {'augment.blur_range': 0.0}),
  Ingredient('smoothing', 'label smoothing', {'train.label_smoothing': 0.0}),
  Ingredient('dropout', 'dropout', {'model.dropout_rate': 0.0}),
  Ingredient('average', 'the moving average of the weights', {'train.ema_momentum': 0.0}),
  Ingredient('symmetries', 'the mean over eight symmetries', {'evaluate.tta': 'none'}),
)


@dataclasses.dataclass(frozen=True)
class Row:
  """A cross-validation."""

  name: str  # of its folder
  title: str
  keys: Mapping[str, Any]  # what it changes in `quick`
  reference: str  # the row it is compared with, or ''


def rows() -> tuple[Row, ...]:
  """All rows: the recipe, each ingredient left out, none, each alone, and the recipe with few photographs."""
  # Something must be trained.
  others = [i for i in INGREDIENTS if i.name != 'convolutions']
  nothing = {key: value for i in others for key, value in i.without.items()}
  left_out = [Row(f'without_{i.name}', f'without {i.title}', i.without, RECIPE) for i in INGREDIENTS]
  alone = [
    Row(
      f'only_{i.name}',
      f'with {i.title} alone',
      {key: value for key, value in nothing.items() if key not in i.without},
      NOTHING,
    )
    for i in others
  ]
  return (
    Row(RECIPE, 'the recipe', {}, ''),
    *left_out,
    Row(NOTHING, 'with none of them: whole frames, ImageNet, fine-tuned', nothing, RECIPE),
    *alone,
    *(Row(f'photographs_{num}', f'with {num} photographs', {'train.max_groups': num}, RECIPE) for num in FEW),
  )


def main(arguments: Sequence[str] | None = None) -> None:
  """Trains the rows that are asked for and not complete, then prints the table of all that are."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('root', type=pathlib.Path, help='folder of the cross-validations')
  parser.add_argument('--dir', default='', help='the Kaggle images')
  parser.add_argument('--rows', default='', help='names, separated by commas; empty for all')
  parser.add_argument('--report_only', action='store_true', help='print the table of what is there')
  values = parser.parse_args(arguments)
  names = [row.name for row in rows()]
  wanted = values.rows.split(',') if values.rows else names
  if unknown := [name for name in wanted if name not in names]:
    parser.error(f'--rows has {unknown[0]!r}; the rows are {", ".join(names)}')
  if not values.report_only:
    if not values.dir:
      parser.error('--dir names the folder of the Kaggle images')
    for row in rows():
      if row.name in wanted and not is_complete(workdir.Workdir(values.root / row.name)):
        train(row, values.dir, values.root)
  print('\n'.join(table(values.root)))


def command(row: Row, images: str, folder: pathlib.Path) -> list[str]:
  """The arguments of `main.py` for a row.

  Args:
    row: to train.
    images: folder of the Kaggle images.
    folder: of the run.
  """
  keys = {**SHARED, 'data.dir': images, **row.keys}
  flags = [f'--config.{key}={value}' for key, value in keys.items()]
  return [f'--config={CONFIG}', *flags, f'--workdir={folder}']


def train(row: Row, images: str, root: pathlib.Path) -> None:
  """Trains a row, or goes on with it; where only the evaluation differs, on the networks of its reference.

  Args:
    row: to train.
    images: folder of the Kaggle images.
    root: of the cross-validations.

  Raises:
    CalledProcessError: the command failed.
  """
  folder, reference = root / row.name, root / row.reference
  if not folder.exists() and is_evaluation(row) and is_complete(workdir.Workdir(reference)):
    shutil.copytree(reference, part := root / f'{row.name}.part', dirs_exist_ok=True)
    workdir.Workdir(part).report.unlink()  # complete only once it has been scored again
    part.rename(folder)
  subprocess.run([sys.executable, 'main.py', *command(row, images, folder)], cwd=ROOT, check=True)


def is_evaluation(row: Row) -> bool:
  """Whether the row differs from its reference in how it is evaluated alone."""
  of_reference = next((other.keys for other in rows() if other.name == row.reference), {})
  return bool(row.reference) and all(
    key.startswith('evaluate.') for key, _ in row.keys.items() ^ of_reference.items()
  )


def is_complete(folder: workdir.Workdir) -> bool:
  """Whether all folds are trained and joined."""
  return folder.report.exists() and folder.predictions(folds.OUT_OF_FOLD).exists()


def table(root: pathlib.Path) -> list[str]:
  """Lines of Markdown: a row for each cross-validation that is complete.

  Args:
    root: folder of the cross-validations.
  """
  lines = [
    '| | accuracy | balanced accuracy | macro F1 | difference of accuracy |',
    '|---|---:|---:|---:|---:|',
  ]
  for row in rows():
    folder = workdir.Workdir(root / row.name)
    if not is_complete(folder):
      continue
    entry = folder.read_splits()[folds.OUT_OF_FOLD]
    figures = ' | '.join(f'{entry[name]["value"]:.3f}' for name in FIGURES)
    lines.append(f'| {row.title} | {figures} | {_difference(row, folder, root)} |')
  return lines


def _difference(row: Row, folder: workdir.Workdir, root: pathlib.Path) -> str:
  """Of the accuracy to the reference's, with its interval; '' where the reference is not complete."""
  reference = workdir.Workdir(root / row.reference)
  if not row.reference or not is_complete(reference):
    return ''
  compared = comparison.compare(reference, folder, experiment.from_flat(folder.read_config()))
  entry = compared.entries[folds.OUT_OF_FOLD]['accuracy']
  return f'{entry["difference"]:+.3f} [{entry["low"]:+.3f}, {entry["high"]:+.3f}]'


if __name__ == '__main__':
  main()
