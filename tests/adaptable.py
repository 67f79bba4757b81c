"""A tiny run, the folder of another laboratory, labels of it, and the command that adapts the run to it."""

from __future__ import annotations

import pathlib

import numpy as np
import recoloured
import starting

from bloodcell_jax.base import tree
from bloodcell_jax.inference import classifier
from bloodcell_jax.storage import workdir
from bloodcell_jax.train import signals

NEW_CLASS = 'BASOPHIL'


def write(root: pathlib.Path) -> dict[str, pathlib.Path]:
  """A run, the folder of another laboratory, and labels of it; some of them of a class that the run does not know."""
  found = {name: root / name for name in ('run', 'other', 'labels.csv', 'new.csv')}
  longer = ('--config.train.epochs=3', '--config.train.steps_per_epoch=20', '--config.evaluate.tta=mirrors')
  code, _, err = starting.run(
    *starting.TINY, *longer, '--config.evaluate.num_resamples=100', f'--workdir={found["run"]}'
  )
  assert code == 0, err
  rows = recoloured.write(found['other'], 12)
  recoloured.labels(found['labels.csv'], rows, 6)
  # Half of the eosinophils, which are the reddest, under another name.
  eosinophils = [row[0] for row in rows if row[1] == 'EOSINOPHIL'][::2]
  renamed = [(file, NEW_CLASS if file in eosinophils else label, digest) for file, label, digest in rows]
  recoloured.labels(found['new.csv'], renamed, 6)
  return found


def flags(places: dict[str, pathlib.Path], labels: str, to: pathlib.Path) -> tuple[str, ...]:
  return (
    'adapt',
    f'--workdir={places["run"]}',
    f'--data_dir={places["other"]}',
    f'--labels_csv={places[labels]}',
    f'--to={to}',
  )


def adapt(
  places: dict[str, pathlib.Path], name: str, *more: str, loads: tuple[str, ...]
) -> tuple[pathlib.Path, str]:
  """The run adapted by `labels.csv`, in a folder of this name beside it, and what was printed."""
  to = places['run'].parent / name
  code, out, err = starting.run(*flags(places, 'labels.csv', to), *more, loads=loads)
  assert code == 0, err
  return to, out


def params(folder: pathlib.Path) -> dict[str, bytes]:
  loaded = classifier.load(workdir.Workdir(folder), signals.Stop())
  return {name: np.asarray(leaf).tobytes() for name, leaf in tree.names(loaded.params).items()}
