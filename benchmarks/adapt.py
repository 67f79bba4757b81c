"""How well a run adapts to another laboratory with a few labels: the tables of docs/adapt.md.

    python -m benchmarks.adapt --run=runs/NAME --folder=FOLDER --json=FILE

FOLDER holds class folders of the other laboratory, none of whose images the run has seen. In each draw some images of
it are labelled, one of each class in turn; the output layer is fitted as `adapt` fits it, and scored on the images of
all other groups. The embeddings are computed once. `named` and `errors` are of the threshold that is fitted on the
cross-fitted answers: the share of these images that it accepts, and how many of the accepted ones are wrong, in all
draws together and in the worst of them.

    python -m benchmarks.adapt --run=runs/NAME --folder=FOLDER --trainable=convolutions --draws=2 --cache=CACHE

also trains the convolutions on the labels of each draw, and has three columns more: on the images of all other groups,
cross-fitted (with --folds, which takes four trainings a draw in place of one), and on the old laboratory. Typed again
with the same --cache it continues.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import adapted_convolutions, machine, named_share
from bloodcell_jax.adaptation import adapted_run, features, head_choice, home_images, layers
from bloodcell_jax.base import types
from bloodcell_jax.commands import adapt as command
from bloodcell_jax.data.images import decode
from bloodcell_jax.data.sources import folders
from bloodcell_jax.heads import logistic
from bloodcell_jax.stats import calibration
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals


def main(arguments: Sequence[str] | None = None) -> None:
  """Prints a row for each number of labels."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--run', required=True, help='folder of a run')
  parser.add_argument('--folder', required=True, help='class folders of another laboratory')
  parser.add_argument('--groups_csv', default='', help='CSV of file,group for that folder')
  parser.add_argument('--most', type=int, default=150, help='images of each class that are used')
  parser.add_argument('--labels', default='10,25,50,100', help='numbers of labels')
  parser.add_argument('--draws', type=int, default=10)
  parser.add_argument('--new_classes', default='', help='classes of the folder that the run does not know')
  parser.add_argument('--cache', default='', help='folder in which embeddings are kept')
  parser.add_argument(
    '--trainable', default=command.OUTPUT_LAYER, choices=[command.OUTPUT_LAYER, command.CONVOLUTIONS]
  )
  parser.add_argument(
    '--updates', type=int, default=command.UPDATES, help='of each training of the convolutions'
  )
  parser.add_argument('--folds', action='store_true', help='train folds of the labels too')
  parser.add_argument('--max_error', type=float, help="of the threshold, in place of the run's")
  parser.add_argument('--json', default='', help='file for the results')
  values = parser.parse_args(arguments)
  stop, progress = signals.Stop(), progress_lib.Progress()
  folder = workdir.Workdir(values.run)
  network = adapted_run.load(folder, stop, progress)
  known = network.job.data.table.class_names
  wanted = tuple(sorted((*known, *filter(None, values.new_classes.split(',')))))
  cache = pathlib.Path(values.cache or tempfile.mkdtemp())
  home = home_images.read(folder, network.job.experiment, '', network.fingerprint)
  target = _some(_with_classes(folders.table(values.folder, values.groups_csv, '')[0], wanted), values.most)
  examples = [
    *_home_examples(network, home, wanted, cache, progress),
    _examples(network, _with_classes(target, wanted), cache, progress),
  ]
  trainer = None
  if values.trainable == command.CONVOLUTIONS:
    if home.features is not None:
      parser.error(f'{values.run}: came without its images; name another run with --run')
    judged = home.sample['test' if 'test' in home.sample else 'validation']
    tables = {'home': home.sample['train'], 'judged': judged, 'new': target}
    trainer = adapted_convolutions.trainer(
      folder,
      network,
      {part: _with_classes(table, wanted) for part, table in tables.items()},
      cache / f'{network.fingerprint}-{values.updates}',
      values.updates,
      values.folds,
      stop,
      progress,
    )
  before = layers.grown(network.output_layer, known, wanted)
  both = layers.Layers(before, before, np.isin(wanted, known))
  spec = network.job.experiment.calibration
  spec = dataclasses.replace(spec, max_error=values.max_error or spec.max_error)
  rows: list[dict[str, Any]] = []
  for num in [0, *(int(each) for each in values.labels.split(','))]:
    rows.append(_row(examples, both, spec, num, values.draws, stop, trainer))
    print(_line(rows[-1]), flush=True)
  if values.json:
    found = {'machine': machine.describe(), 'rows': rows}
    pathlib.Path(values.json).write_text(json.dumps(found, indent=1))


def _row(
  examples: Sequence[head_choice.Examples],
  both: layers.Layers,
  spec: calibration.Spec,
  num: int,
  num_draws: int,
  stop: signals.Stop,
  trainer: adapted_convolutions.Trainer | None,
) -> dict[str, Any]:
  """Balanced accuracy of each draw, of images of groups that are not labelled and of the old laboratory's."""
  home, judged, target = examples
  drawn, began = [], time.monotonic()
  for seed in range(num_draws if num else 1):
    layer, left_N = both.before, np.ones(len(target.label_N), bool)
    entry: dict[str, float] = {}
    if num:
      rows = _draw(target.label_N, num, seed)
      choice = head_choice.choose(home, target.take(rows), both.before, seed, stop.poll)
      layer, left_N = choice.layer, ~np.isin(target.group_N, target.group_N[rows])
      entry['cross_fitted'] = _balanced(choice.cross_fitted_NK, target.label_N[rows])
      entry |= named_share.figures(choice, target, rows, left_N, spec)
      entry |= _simple(home, target, rows, left_N)
      if trainer is not None:
        entry |= _trained(trainer, examples, both, rows, left_N, seed, stop)
    probs_NK = layer.probabilities(target.embedding_ND[left_N])
    old_NK = layer.probabilities(judged.embedding_ND)
    if not num:
      probs_NK, old_NK = (both.probabilities_before(x) for x in (target.embedding_ND, judged.embedding_ND))
    entry['new'] = _balanced(probs_NK, target.label_N[left_N])
    entry['home'] = _balanced(old_NK, judged.label_N)
    drawn.append(entry)
  figures = {key: np.array([entry[key] for entry in drawn]) for key in drawn[0]}
  return {
    'model': '',
    'who': 'bloodcell_jax',
    'num_labels': num,
    'ms': 1000 * (time.monotonic() - began) / len(drawn),
    **{
      key: {'mean': float(x.mean()), 'sd': float(x.std()), 'least': float(x.min()), 'most': float(x.max())}
      for key, x in figures.items()
    },
  }


def _trained(
  trainer: adapted_convolutions.Trainer,
  examples: Sequence[head_choice.Examples],
  both: layers.Layers,
  rows: np.ndarray,
  left_N: np.ndarray,
  seed: int,
  stop: signals.Stop,
) -> dict[str, float]:
  """With the convolutions trained on the labels of a draw."""
  home, judged, target = examples

  def fit(kept_N: np.ndarray) -> logistic.Linear:
    return head_choice.fit_chosen(home, target.take(rows[kept_N]), both.before, seed, stop.poll)

  said = trainer.answers(f'{len(rows)}-{seed}', rows, np.flatnonzero(left_N), fit)
  entry = {
    'convolutions': _balanced(said.new_NK, target.label_N[left_N]),
    'convolutions_home': _balanced(said.judged_NK, judged.label_N),
  }
  if said.cross_fitted_NK is not None:
    entry['convolutions_cross_fitted'] = _balanced(said.cross_fitted_NK, target.label_N[rows])
  return entry


def _simple(
  home: head_choice.Examples, target: head_choice.Examples, rows: np.ndarray, left_N: np.ndarray
) -> dict[str, float]:
  """Two simpler ways, for comparison: class means, and each laboratory's features standardized by themselves."""
  own, kinds = target.take(rows), np.unique(home.label_N)
  scale_D = home.embedding_ND.std(0) + 1e-3
  centre_KD = []
  for k in range(target.label_N.max() + 1):
    parts = [own.embedding_ND[own.label_N == k]]
    if k in kinds:
      # The old class counts as four images.
      parts.append(np.repeat(home.embedding_ND[home.label_N == k].mean(0, keepdims=True), 4, 0))
    centre_KD.append(np.concatenate(parts).mean(0))
  off_NKD = (target.embedding_ND[left_N][:, None] - np.array(centre_KD)) / scale_D
  means = _balanced(-np.square(off_NKD).sum(2), target.label_N[left_N])
  z = [
    (x - x.mean(0)) / (x.std(0) + 0.05 * x.std(0).mean() + 1e-6)
    for x in (home.embedding_ND, target.embedding_ND)
  ]
  zero = logistic.Linear(np.zeros((z[0].shape[1], len(centre_KD))), np.zeros(len(centre_KD)))
  layer = head_choice.fit(
    head_choice.Examples(z[0], home.label_N, home.group_N),
    head_choice.Examples(z[1][rows], own.label_N, own.group_N),
    zero,
    head_choice.Settings(1e-3, 'zero'),
  )
  return {
    'class_means': means,
    'standardized': _balanced(layer.logits(z[1][left_N]), target.label_N[left_N]),
  }


def _draw(label_N: np.ndarray, num: int, seed: int) -> np.ndarray:
  """`num` rows: one of each class in turn, as long as two thirds of the class are not taken."""
  order = np.random.default_rng(seed).permutation(len(label_N))
  queues = [list(order[label_N[order] == k]) for k in np.unique(label_N)]
  queues = [rows[: max(1, 2 * len(rows) // 3)] for rows in queues]
  taken: list[int] = []
  while len(taken) < num and any(queues):
    taken += [rows.pop(0) for rows in queues if rows]
  return np.array(taken[:num])


def _balanced(score_NK: np.ndarray, label_N: np.ndarray) -> float:
  right_N = score_NK.argmax(1) == label_N
  return float(np.mean([right_N[label_N == k].mean() for k in np.unique(label_N)]))


def _examples(
  network: Any, table: types.Table, cache: pathlib.Path, progress: progress_lib.Progress
) -> head_choice.Examples:
  image_NHWC = decode.table(
    table, network.job.experiment.data.decode, cache, lambda done, total: None
  ).image_NHWC
  embedding_ND = features.embed(
    network, table, image_NHWC, features.tta(network.job.experiment), cache, progress
  )
  return head_choice.Examples(embedding_ND, table.label, table.group)


def _home_examples(
  network: Any,
  home: home_images.HomeImages,
  wanted: tuple[str, ...],
  cache: pathlib.Path,
  progress: progress_lib.Progress,
) -> list[head_choice.Examples]:
  """The old laboratory's, for training and for judging; of a run that came without its images, their features."""
  if home.features is None:
    judged = 'test' if 'test' in home.sample else 'validation'
    tables = [_with_classes(home.sample[split], wanted) for split in ('train', judged)]
    return [_examples(network, table, cache, progress) for table in tables]
  judged = 'test' if 'test' in home.features.splits() else 'validation'
  parts = [home.features.with_classes(wanted).of_split(split) for split in ('train', judged)]
  return [head_choice.Examples(part.embedding_ND, part.label_N, part.group_N) for part in parts]


def _with_classes(table: types.Table, wanted: tuple[str, ...]) -> types.Table:
  """The rows of these classes, numbered as they are."""
  rows = np.flatnonzero([table.class_names[k] in wanted for k in table.label])
  label = np.array([wanted.index(table.class_names[k]) for k in table.label[rows]], np.int32)
  some = table.take(rows)
  return types.Table(**{**vars(some), 'label': label, 'class_names': wanted})


def _some(table: types.Table, most: int) -> types.Table:
  order = np.random.default_rng(0).permutation(len(table))
  kept = [order[table.label[order] == k][:most] for k in np.unique(table.label)]
  return table.take(np.sort(np.concatenate(kept)))


def _line(row: dict[str, Any]) -> str:
  def text(key: str) -> str:
    return f'{row[key]["mean"]:.3f} ± {row[key]["sd"]:.3f}' if key in row else ''

  keys = ['new', 'cross_fitted', 'class_means', 'standardized', 'home']
  keys += ['convolutions', 'convolutions_cross_fitted', 'convolutions_home'] if 'convolutions' in row else []
  named = 'named' in row and row['named']['mean']
  error = f'{row["named_wrong"]["mean"] / named:.1%}, worst {row["error"]["most"]:.1%}' if named else 'n/a'
  figures = [*map(text, keys), f'named {named:.1%}', f'errors {error}', f'{row["ms"] / 1000:.1f} s']
  return f'| {row["num_labels"]} | ' + ' | '.join(figures) + ' |'


if __name__ == '__main__':
  main()
