"""Two folders of the same run, file by file: what of them differs that should not."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

# Of a line of history: how long it took.
_CLOCKS = ('seconds', 'images_per_second', 'wait_share')
_EXACT = ('metrics.json', 'calibration.json', 'statistics.npz', '*.csv', 'config.json')


def differences(wanted: pathlib.Path, found: pathlib.Path) -> list[str]:
  """The names of what differs: parameters, optimizer state, history, figures of merit, predictions; leftovers."""
  result = []
  for pattern in _EXACT:
    files = [{p.relative_to(top) for p in top.rglob(pattern)} for top in (wanted, found)]
    result += [f'{name}: only in one' for name in sorted(files[0] ^ files[1])]
    result += [
      str(name)
      for name in sorted(files[0] & files[1])
      if (wanted / name).read_bytes() != (found / name).read_bytes()
    ]
  for path in sorted(wanted.rglob('history.jsonl')):
    name = path.relative_to(wanted)
    if not (found / name).exists() or _history(path) != _history(found / name):
      result.append(str(name))
  for path in sorted(wanted.rglob('checkpoints')):
    name = path.relative_to(wanted)
    result += [f'{name}: {what}' for what in states(path, found / name)]
  return result + [f'{path}: left over' for path in _leftovers(found)]


def newest(checkpoints: pathlib.Path) -> pathlib.Path | None:
  """The checkpoint that was written last."""
  numbers = [int(path.name) for path in checkpoints.glob('*') if path.name.isdecimal()]
  return checkpoints / str(max(numbers)) if numbers else None


def _history(path: pathlib.Path) -> list[dict[str, Any]]:
  lines = map(json.loads, path.read_text().splitlines())
  return [{key: value for key, value in line.items() if key not in _CLOCKS} for line in lines]


def states(wanted: pathlib.Path, found: pathlib.Path) -> Iterator[str]:
  for what, choose in (('newest', newest), ('best', _best)):
    paths = choose(wanted), choose(found)
    if None in paths:
      if paths != (None, None):
        yield f'{what} missing'
      continue
    trees = [read(path) for path in paths if path is not None]
    if trees[0].keys() != trees[1].keys():
      yield f'{what}: other names'
    else:
      yield from (f'{what} {n}' for n, bits in trees[0].items() if bits != trees[1][n])


def read(path: pathlib.Path) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
  """Every array of a checkpoint, by name: parameters, optimizer state, step, sums."""
  with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
    tree = reader.restore(path.absolute() / 'state')
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  arrays = {jax.tree_util.keystr(name): np.asarray(leaf) for name, leaf in leaves}
  return {name: (str(a.dtype), a.shape, a.tobytes()) for name, a in arrays.items()}


def _best(checkpoints: pathlib.Path) -> pathlib.Path | None:
  ranked = [
    (json.loads(path.read_text())['badness'], -int(path.parent.parent.name))
    for path in checkpoints.glob('[0-9]*/metrics/metrics')
    if path.parent.parent.name.isdecimal()
  ]
  return checkpoints / str(-min(ranked)[1]) if ranked else None


def _leftovers(folder: pathlib.Path) -> list[str]:
  names = [path.relative_to(folder) for path in folder.rglob('*')]
  return [
    str(n)
    for n in names
    if n.name.startswith(('.', 'damaged-')) or 'orbax-checkpoint-tmp' in n.name or '.partial.' in n.name
  ]
