"""White cells found in whole photographs: recall and precision on TRAIN by cross-validation and on TEST, with time.

`python -m benchmarks.fields --data=FOLDER` prints the tables; `--fit` writes the detector's weights first, from TRAIN's
photographs alone, in their own colours and those of `recolouring`, without their white cells and in mosaics. FOLDER has
the Kaggle layout with `boxes.csv` (file, kind, xmin, ymin, xmax, ymax of BCCD) and `originals.csv` (source, label,
official_split, field_group).
"""

from __future__ import annotations

import argparse
import collections
import csv
import dataclasses
import json
import pathlib
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import field_mosaics, recolouring
from bloodcell_jax.fields import candidate, detector, red_cells, stain
from bloodcell_jax.stats import bootstrap, intervals

WEIGHTS = pathlib.Path(detector.__file__).with_name('detector.json')
_FOLDS = 8
# What is left of a photograph beside its white cells: least share of it, and distance from their boxes in pixels.
WITHOUT = 'strips without white cells'
_LEAST_STRIP, _BESIDE = 0.35, 15
MOSAICS = 'mosaics'
KINDS = (*recolouring.RECOLOURINGS, WITHOUT, MOSAICS)
_THRESHOLD = 0.35
_INTERVALS = intervals.Spec(2000, 0.95, 'bca', ())


@dataclasses.dataclass(frozen=True)
class Photograph:
  """One photograph with its annotated white cells."""

  name: str
  split: str
  group: str
  boxes_B4: np.ndarray  # left, top, right, bottom
  shape: tuple[int, int]
  diameter: float
  factor: float
  candidates: list[candidate.Candidate]
  seconds: float


def read(folder: pathlib.Path, splits: tuple[str, ...], kind: str) -> list[Photograph]:
  """Every annotated photograph of these splits, of this kind of KINDS, with its candidates."""
  boxes: dict[str, list[list[int]]] = collections.defaultdict(list)
  names = set()
  with open(folder / 'boxes.csv', newline='') as file:
    for row in csv.DictReader(file):
      names.add(row['file'])
      if row['kind'] == 'WBC':
        boxes[row['file']].append([int(row[key]) for key in ('xmin', 'ymin', 'xmax', 'ymax')])
  with open(folder / 'originals.csv', newline='') as file:
    facts = {row['source']: row for row in csv.DictReader(file)}
  base = next(folder.rglob('JPEGImages'))
  chosen = [name for name in sorted(names) if facts[name]['official_split'] in splits]
  image_of = {name: np.asarray(Image.open(base / name).convert('RGB')) for name in chosen}
  boxes_of = {name: np.array(boxes[name], float).reshape(-1, 4) for name in chosen}
  views: Iterable[tuple[str, np.ndarray | None, np.ndarray]]
  if kind == MOSAICS:
    with_cells = [name for name in chosen if boxes[name]]
    fold = folds({facts[name]['field_group'] for name in chosen})
    of_fold = [[n for n in with_cells if fold[facts[n]['field_group']] == k] for k in range(_FOLDS)]
    views = field_mosaics.draw(of_fold, image_of, boxes)
  elif kind == WITHOUT:
    views = ((name, _strip_without(image_of[name], boxes_of[name]), np.zeros((0, 4))) for name in chosen)
  else:
    change = recolouring.RECOLOURINGS[kind]
    views = ((name, change(image_of[name]), boxes_of[name]) for name in chosen)
  return [
    _photograph(name, facts[name], image_HWC, boxes_B4)
    for name, image_HWC, boxes_B4 in views
    if image_HWC is not None
  ]


def folds(groups: set[str]) -> dict[str, int]:
  """The fold of each field."""
  return {group: i % _FOLDS for i, group in enumerate(sorted(groups))}


def _photograph(name: str, facts: dict[str, str], image_HWC: np.ndarray, boxes_B4: np.ndarray) -> Photograph:
  start = time.perf_counter()
  diameter = red_cells.diameter(image_HWC) or min(image_HWC.shape[:2]) / 5
  factor = candidate.WORKING / diameter
  found = candidate.candidates(stain.resized(image_HWC, factor))
  return Photograph(
    name,
    facts['official_split'],
    facts['field_group'],
    boxes_B4,
    image_HWC.shape[:2],
    diameter,
    factor,
    found,
    time.perf_counter() - start,
  )


def _strip_without(image_HWC: np.ndarray, boxes_B4: np.ndarray) -> np.ndarray | None:
  """The largest strip beside the white cells; None where it is small, or nothing is annotated.

  Photographs without a white cell are missing: in those that have no annotation there are some.
  """
  if not len(boxes_B4):
    return None
  left, top = (int(at) - _BESIDE for at in boxes_B4[:, :2].min(0))
  right, bottom = (int(at) + _BESIDE for at in boxes_B4[:, 2:].max(0))
  strips = [image_HWC[:, : max(0, left)], image_HWC[:, right:], image_HWC[: max(0, top)], image_HWC[bottom:]]
  largest = max(strips, key=lambda strip: strip.size)
  return np.ascontiguousarray(largest) if largest.size > _LEAST_STRIP * image_HWC.size else None


def _is_in(one: candidate.Candidate, photograph: Photograph) -> np.ndarray:
  x, y, box = one.column / photograph.factor, one.row / photograph.factor, photograph.boxes_B4
  return (box[:, 0] <= x) & (x <= box[:, 2]) & (box[:, 1] <= y) & (y <= box[:, 3])


def fit(photographs: list[Photograph]) -> detector.Rule:
  """Logistic regression on the candidates, and the median margin from nucleus to box."""
  from sklearn import linear_model, preprocessing

  rows = [(one, p, _is_in(one, p)) for p in photographs for one in p.candidates]
  names = tuple(rows[0][0].features)
  value_NF = np.array([[one.features[name] for name in names] for one, _, _ in rows])
  is_cell_N = np.array(
    [r.any() and one.features['area'] > np.log(detector.LEAST_NUCLEUS) for one, _, r in rows]
  )
  scaler = preprocessing.StandardScaler().fit(value_NF)
  model = linear_model.LogisticRegression(C=0.3, max_iter=5000).fit(scaler.transform(value_NF), is_cell_N)
  margins = []
  for one, p, inside in (row for row, good in zip(rows, is_cell_N, strict=True) if good):
    box = p.boxes_B4[inside.argmax()] * p.factor
    margins += [one.left - box[0], one.top - box[1], box[2] - one.right, box[3] - one.bottom]
  cells = value_NF[is_cell_N]

  def limit(name: str, share: float) -> float:
    return round(float(np.quantile(cells[:, names.index(name)], share)), 5)

  return detector.Rule(
    names,
    tuple(np.round(scaler.mean_, 5).tolist()),
    tuple(np.round(scaler.scale_, 5).tolist()),
    tuple(np.round(model.coef_[0], 5).tolist()),
    round(float(model.intercept_[0]), 5),
    _THRESHOLD,
    round(float(np.median(margins)) / candidate.WORKING, 4),
    limit('sharpness', 0.03),
    limit('solidity', 0.03),
  )


def counts(photograph: Photograph, rule: detector.Rule) -> list[int]:
  """[annotated, found, by centre, by IoU of 0.5 or more] of one photograph; each box and each cell counts once."""
  chosen = [one for one in photograph.candidates if rule.probability(one) >= rule.threshold]
  boxes = [
    np.array(detector.box_of(one, rule, photograph.factor, photograph.shape).as_tuple(), float)
    for one in chosen
  ]
  right = []
  for is_match in (
    lambda a, b: b[0] <= a[[0, 2]].mean() <= b[2] and b[1] <= a[[1, 3]].mean() <= b[3],
    lambda a, b: _iou(a, b) >= 0.5,
  ):
    free, num = list(boxes), 0
    for truth in photograph.boxes_B4:
      for i, box in enumerate(free):
        if is_match(box, truth):
          free.pop(i)
          num += 1
          break
    right.append(num)
  return [len(photograph.boxes_B4), len(boxes), *right]


def _iou(a: np.ndarray, b: np.ndarray) -> float:
  low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
  shared = np.maximum(high - low, 0).prod()
  return float(shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared))


def row(name: str, photographs: list[Photograph], counts_P4: np.ndarray) -> dict[str, Any]:
  """The figures of a set of photographs, resampled by field."""
  groups = np.unique([p.group for p in photographs], return_inverse=True)[1]
  sums_G4 = np.array([np.bincount(groups, weights=counts_P4[:, i]) for i in range(4)]).T
  figures: dict[str, Any] = {
    'set': name,
    'photographs': len(photographs),
    'cells': int(counts_P4[:, 0].sum()),
    'found': int(counts_P4[:, 1].sum()),
  }
  for i, by in ((2, 'centre'), (3, 'IoU 0.5')):
    for below, kind in ((0, 'recall'), (1, 'precision')):
      figures[f'{kind} by {by}'] = bootstrap.ratio(sums_G4[:, i], sums_G4[:, below], _INTERVALS, 0)
  return figures


def main() -> None:
  """Prints the table."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--data', type=pathlib.Path, required=True)
  parser.add_argument('--fit', action='store_true', help="write the detector's weights")
  parser.add_argument('--json', type=pathlib.Path)
  values = parser.parse_args()
  train = {kind: read(values.data, ('train',), kind) for kind in KINDS}
  test = read(values.data, ('test',), recolouring.AS_IS)
  if values.fit:
    rule = fit([p for photographs in train.values() for p in photographs])
    WEIGHTS.write_text(json.dumps(dataclasses.asdict(rule), indent=1) + '\n')
    detector.fitted_rule.cache_clear()
  fold = folds({p.group for p in train[recolouring.AS_IS]})
  held_out = {colours: np.zeros((len(photographs), 4), int) for colours, photographs in train.items()}
  for k in range(_FOLDS):
    rule = fit([p for photographs in train.values() for p in photographs if fold[p.group] != k])
    for colours, photographs in train.items():
      for i, p in enumerate(photographs):
        if fold[p.group] == k:
          held_out[colours][i] = counts(p, rule)
  rows = [
    row(f'TRAIN, {_FOLDS} folds, {colours}', photographs, held_out[colours])
    for colours, photographs in train.items()
  ]
  rows.append(row('TEST', test, np.array([counts(p, detector.fitted_rule()) for p in test])))
  for figures in rows:
    print(
      figures['set'], figures['photographs'], 'photographs,', figures['cells'], 'cells,', figures['found']
    )
    for key, f in figures.items():
      if isinstance(f, dict) and f['value'] is not None:
        print(f'  {key}: {f["value"]:.3f} [{f["low"]:.3f}, {f["high"]:.3f}]')
  print(f'{1 / np.median([p.seconds for p in test]):.0f} photographs a second on one core, decoded before')
  if values.json:
    values.json.write_text(json.dumps({'rows': rows}, indent=1))


if __name__ == '__main__':
  main()
