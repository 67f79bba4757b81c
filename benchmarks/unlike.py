"""How well a run knows images that are unlike its training: the tables of docs/log/travel_2026-11.md.

    python -m benchmarks.unlike --run=runs/NAME --home=FOLDER --foreign=FOLDER --foreign=FOLDER --json=FILE

Every folder holds class folders. Images of the home folder must not be among the run's training images; they are shown
as they are, class by class, degraded, and as another camera, stain and magnification would show them. Images of
`--new` are of classes that the run does not know. The second table says how many images of small folders are withheld.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from benchmarks import machine
from bloodcell_jax.base import types
from bloodcell_jax.data.images import decode
from bloodcell_jax.data.sources import folders
from bloodcell_jax.inference import classifier
from bloodcell_jax.stats import calibration, look_reference, unlike
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import signals

Change = Callable[[Image.Image], Image.Image]
_RESAMPLES = 200


def main(arguments: Sequence[str] | None = None) -> None:
  """Prints a row for each folder and change."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--run', required=True, help='folder of a run')
  parser.add_argument('--home', required=True, help="class folders of the run's laboratory, not trained on")
  parser.add_argument('--foreign', action='append', default=[], help='class folders of another laboratory')
  parser.add_argument('--new', action='append', default=[], help='class folders that the run does not know')
  parser.add_argument('--groups_csv', default='', help='CSV of file,group for the home folder')
  parser.add_argument('--most', type=int, default=60, help='images of each changed or foreign folder')
  parser.add_argument('--plain', action='store_true', help='no degraded images')
  parser.add_argument('--json', default='', help='file for the results')
  values = parser.parse_args(arguments)
  loaded = classifier.load(workdir.Workdir(values.run), signals.Stop())
  if loaded.measure is None:
    raise types.UserError(f'{values.run}: has no measure of unlike images; evaluate it first')
  home = _table(values.home, values.groups_csv, loaded.class_names, False)
  rng = np.random.default_rng(0)
  some = home.take(rng.permutation(len(home))[: values.most])
  reference_N, groups_N = np.zeros(0), home.group
  rows = []
  print(
    '| images | unlike, of images by themselves | folder | named | errors of the named | area under the curve |'
  )
  print('|---|---:|---|---:|---:|---:|')
  shown = [('home', home, 'as it is')]
  for k in np.unique(home.label):
    shown.append(
      (f'home, {home.class_names[k]} alone', home.take(np.flatnonzero(home.label == k)), 'as it is')
    )
  if not values.plain:
    shown += [('home', some, name) for name in CHANGES if name != 'as it is']
  for folder in (*values.foreign, *values.new):
    other = _table(folder, '', loaded.class_names, folder in values.new)
    name = os.path.basename(folder.rstrip('/'))
    shown.append((name, other.take(rng.permutation(len(other))[: values.most]), 'as it is'))
  for name, table, change in shown:
    row, distance_N = _row(loaded, name, table, change)
    if not len(reference_N):
      reference_N = distance_N
    row['auc'] = _area(reference_N, groups_N, distance_N, table.group)
    rows.append(row)
    print(_line(row), flush=True)
  print('\n| images withheld in folders of | 1 | 2 | 3 | 4 |\n|---|---:|---:|---:|---:|')
  for row in rows:
    shares = ' | '.join(f'{share:.1%}' for share in row['small'].values())
    print(f'| {row["images"]}, {row["change"]} | {shares} |')
  if values.json:
    pathlib.Path(values.json).write_text(json.dumps({'machine': machine.describe(), 'rows': rows}, indent=1))


def _table(folder: str, groups_csv: str, class_names: Sequence[str], new: bool) -> types.Table:
  """The images of classes that the run knows, or of those that it does not."""
  table, _ = folders.table(folder, groups_csv, '')
  return table.take(
    [i for i, k in enumerate(table.label) if (table.class_names[k] not in class_names) == new]
  )


def _row(
  loaded: classifier.Classifier, name: str, table: types.Table, change: str
) -> tuple[dict[str, Any], np.ndarray]:
  spec, size = loaded.job.experiment.data.decode, loaded.job.experiment.evaluate_batch_size
  images = np.stack([_image(content, spec, CHANGES[change]) for content in table.content])
  each = [loaded.probabilities_and_looks(images[i : i + size]) for i in range(0, len(images), size)]
  probs_NK, look_NL = (
    np.concatenate([p for p, _ in each]),
    np.concatenate([x for _, x in each if x is not None]),
  )
  assert loaded.measure is not None
  assert loaded.rule is not None
  own = {name: k for k, name in enumerate(loaded.class_names)}
  label_N = np.array([own.get(table.class_names[k], -1) for k in table.label], np.int32)
  predictions = types.Predictions(probs_NK, label_N, table.group, table.file, loaded.class_names)
  named_N = calibration.is_accepted(loaded.rule, calibration.scaled(predictions, loaded.rule.temperature))
  references, spec_of_unlike = loaded.measure.references, loaded.job.experiment.unlike
  judgement = unlike.judge(references, look_NL, [''] * len(label_N), spec_of_unlike, False)
  alone_N = judgement.unlike_N > 1 - spec_of_unlike.unlike_share
  wrong_N = probs_NK.argmax(1) != label_N
  left_N = named_N & ~judgement.withheld_N
  folder = judgement.folders[0]
  row = {
    'model': loaded.job.experiment.model.name,
    'who': 'bloodcell_jax',
    'images': name,
    'change': change,
    'num_images': len(label_N),
    'unlike': float(alone_N.mean()),
    'foreign': list(folder.foreign),
    'distance': folder.distance,
    'limit': folder.limit,
    'named_before': float(named_N.mean()),
    'named': float(left_N.mean()),
    'error_before': float(wrong_N[named_N].mean()) if named_N.any() else None,
    'error': float(wrong_N[left_N].mean()) if left_N.any() else None,
    'small': _small(references, look_NL, spec_of_unlike),
  }
  return row, unlike.nearest(references, look_NL)[1].max(1)


def _small(
  references: Sequence[look_reference.Reference], look_NL: np.ndarray, spec: unlike.Spec
) -> dict[int, float]:
  """By size of folder the share of images withheld, of folders drawn from these images."""
  rng, shares = np.random.default_rng(0), {}
  for size in range(1, unlike.LEAST_IMAGES):
    drawn = [rng.choice(len(look_NL), min(size, len(look_NL)), replace=False) for _ in range(_RESAMPLES)]
    judged = [unlike.judge(references, look_NL[rows], ['x'] * len(rows), spec, False) for rows in drawn]
    shares[size] = float(np.mean([one.withheld_N.mean() for one in judged]))
  return shares


def _area(home_N: np.ndarray, group_N: np.ndarray, other_M: np.ndarray, group_M: np.ndarray) -> list[float]:
  """The area under the curve of the images' own distances, with its 95 % interval, groups resampled on both sides."""
  rng = np.random.default_rng(0)

  def area(home: np.ndarray, other: np.ndarray) -> float:
    home = np.sort(home)
    less, upto = np.searchsorted(home, other, 'left'), np.searchsorted(home, other, 'right')
    return float((less + upto).mean() / 2 / len(home))

  def draw(group: np.ndarray) -> np.ndarray:
    _, index = np.unique(group, return_inverse=True)
    rows = [np.flatnonzero(index == g) for g in range(index.max() + 1)]
    return np.concatenate([rows[g] for g in rng.integers(len(rows), size=len(rows))])

  drawn = [area(home_N[draw(group_N)], other_M[draw(group_M)]) for _ in range(_RESAMPLES)]
  return [area(home_N, other_M), *np.quantile(drawn, [0.025, 0.975]).tolist()]


def _line(row: dict[str, Any]) -> str:
  def error(value: float | None) -> str:
    return 'n/a' if value is None else f'{value:.1%}'

  whole = ', '.join(row['foreign']) or 'like the training'
  distance = 'n/a' if row['distance'] is None else f'{row["distance"]:.1f} of {row["limit"]:.1f}'
  auc, low, high = row['auc']
  return (
    f'| {row["images"]}, {row["change"]} ({row["num_images"]}) | {row["unlike"]:.1%} | {whole} ({distance}) '
    f'| {row["named_before"]:.1%} to {row["named"]:.1%} | {error(row["error_before"])} to {error(row["error"])} '
    f'| {auc:.3f} [{low:.3f}, {high:.3f}] |'
  )


def _image(content: types.Content, spec: decode.Spec, change: Change) -> np.ndarray:
  buffer = io.BytesIO()
  change(Image.fromarray(decode.upright(content, spec.max_pixels))).save(buffer, 'PNG')
  return decode.image(buffer.getvalue(), spec)[0]


def _array(image: Image.Image) -> np.ndarray:
  return np.asarray(image).astype(np.float32)


def _picture(array_HWC: np.ndarray) -> Image.Image:
  return Image.fromarray(np.clip(array_HWC, 0, 255).astype(np.uint8))


def _blur(width: float) -> Change:
  """Standard deviation in pixels of a photograph of 480 rows."""
  return lambda image: image.filter(ImageFilter.GaussianBlur(width * image.height / 480))


def _jpeg(quality: int) -> Change:
  def change(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, 'JPEG', quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert('RGB')

  return change


def _cast(red: float, green: float, blue: float) -> Change:
  return lambda image: _picture(_array(image) * np.array([red, green, blue], np.float32))


def _gamma(exponent: float) -> Change:
  return lambda image: _picture(255 * (_array(image) / 255) ** exponent)


def _magnified(factor: float) -> Change:
  def change(image: Image.Image) -> Image.Image:
    width, height = int(image.width / factor), int(image.height / factor)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))

  return change


def _reduced(factor: float) -> Change:
  def change(image: Image.Image) -> Image.Image:
    rows, columns = (int(side * (factor - 1) / 2) for side in (image.height, image.width))
    return _picture(np.pad(_array(image), ((rows, rows), (columns, columns), (0, 0)), mode='symmetric'))

  return change


def _hue(turn: float) -> Change:
  def change(image: Image.Image) -> Image.Image:
    hsv_HWC = np.asarray(image.convert('HSV')).copy()
    hsv_HWC[..., 0] = (hsv_HWC[..., 0].astype(int) + round(turn * 256)) % 256
    return Image.fromarray(hsv_HWC, 'HSV').convert('RGB')

  return change


def _saturation(factor: float) -> Change:
  return lambda image: ImageEnhance.Color(image).enhance(factor)


def _stain(matrix: Sequence[Sequence[float]]) -> Change:
  """Densities mixed by a matrix: other dyes."""

  def change(image: Image.Image) -> Image.Image:
    density_HWC = -np.log((_array(image) + 1) / 256)
    return _picture(256 * np.exp(-density_HWC @ np.array(matrix, np.float32)) - 1)

  return change


def _all(*changes: Change) -> Change:
  def change(image: Image.Image) -> Image.Image:
    for one in changes:
      image = one(image)
    return image

  return change


CHANGES: dict[str, Change] = {
  'as it is': lambda image: image,
  'blur 2': _blur(2),
  'blur 4': _blur(4),
  'JPEG 30': _jpeg(30),
  'JPEG 10': _jpeg(10),
  'cast 3 to 8 %': _cast(1, 0.97, 0.92),
  'cast 8 to 20 %': _cast(1, 0.92, 0.8),
  'gamma 0.6': _gamma(0.6),
  'gamma 1.6': _gamma(1.6),
  'grey': lambda image: image.convert('L').convert('RGB'),
  'magnified 1.5': _magnified(1.5),
  'magnified 2': _magnified(2),
  'reduced 1.5': _reduced(1.5),
  'reduced 2': _reduced(2),
  'hue 0.1': _hue(0.1),
  'saturation 0.5': _saturation(0.5),
  'imitated laboratory 1': _all(
    _reduced(2), _stain([[1, 0.2, 0], [0, 0.9, 0.1], [0.1, 0, 1.2]]), _gamma(1.3)
  ),
  'imitated laboratory 2': _all(_magnified(1.5), _cast(0.95, 1, 0.85), _blur(1.5), _saturation(0.7)),
  'imitated laboratory 3': _all(
    _reduced(1.3), _stain([[0.8, 0, 0.2], [0.1, 0.8, 0.1], [0, 0.2, 0.8]]), _gamma(0.8)
  ),
  'imitated laboratory 4': _all(_magnified(1.2), _cast(1, 0.95, 0.95), _gamma(1.2)),
}

if __name__ == '__main__':
  main()
