"""What the hosts of one run must have in common, and the state of its training, which host 0 gives to the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.config import experiment
from bloodcell_jax.ensembles import method
from bloodcell_jax.storage import config_keys
from bloodcell_jax.train import checkpoint, checkpoint_folder, devices, history, hosts
from bloodcell_jax.train import state as state_lib


class Unsaved:
  """The checkpoints of a host that keeps none."""

  def save(self, saved: checkpoint.Saved, is_candidate: bool) -> None:
    """Does nothing: host 0 saves."""

  def wait(self) -> None:
    """Does nothing."""


def is_divided(exp: experiment.Experiment) -> bool:
  """Whether several hosts divide members or folds, which each trains alone, and not the batches of one network."""
  is_folds = exp.cross_validation.folds and not exp.cross_validation.fold
  return bool(is_folds or (exp.ensemble.method and not exp.ensemble.member))


def check(exp: experiment.Experiment, num: int) -> None:
  """Refuses what several hosts cannot train together or divide.

  Raises:
    UserError: one line that names the key.
  """
  if num == 1:
    return
  ensemble = exp.ensemble
  if ensemble.method in (method.SNAPSHOT, *method.BOOSTING):
    raise types.UserError(
      f'ensemble.method is {ensemble.method!r}, whose members are trained one after another because each depends on '
      f'those before it; {num} hosts cannot divide them: leave out --coordinator'
    )
  if ensemble.member:
    raise types.UserError(
      f'ensemble.member is {ensemble.member}, which one host trains; set it to 0 for all members, or leave out '
      '--coordinator'
    )
  if ensemble.vectorized > 1:
    raise types.UserError(
      f'ensemble.vectorized is {ensemble.vectorized}, but hosts take one member at a time; set it to 0, or leave out '
      '--coordinator'
    )
  if not is_divided(exp):
    devices.check_hosts(exp.num_devices, exp.parallel, num)


def agree(flat: Mapping[str, Any], name: str, group: hosts.Hosts) -> None:
  """Refuses hosts whose configs, or whatever else is given, differ; the place of the images may.

  Args:
    flat: by key, JSON values.
    name: what it is, such as 'config'.
    group: the hosts.

  Raises:
    UserError: on all hosts, naming a host and every key that differs.
  """
  kept = {key: value for key, value in flat.items() if key not in config_keys.PLACES}
  first, *others = group.everyone(name, kept)
  for k, other in enumerate(others, 1):
    differing = [key for key in sorted({*first, *other}) if first.get(key) != other.get(key)]
    if differing:
      listed = '; '.join(f'{key} is {first.get(key)!r} and {other.get(key)!r}' for key in differing)
      raise types.UserError(
        f'the {name} of hosts 0 and {k} differ: {listed}; give all hosts the same command except for --process_id, and '
        'the same images'
      )


def spread(
  name: str, saved: checkpoint.Saved | None, template: Callable[[str], state_lib.State]
) -> checkpoint.Saved | None:
  """Gives every host what host 0 has, bit for bit; what the others have is not looked at.

  Args:
    name: of the message.
    saved: the state on host 0; None if it has none.
    template: the shapes and dtypes of a state of the stage of a name.
  """
  group = hosts.current()
  if group.num == 1:
    return saved
  about = group.from_first(name, lambda: None if saved is None else _about(saved))
  if about is None:
    return None
  stage_info = checkpoint_folder.StageInfo(**about['stage_info'])
  shapes, structure = jax.tree.flatten(template(stage_info.stage))
  if group.is_first:
    assert saved is not None
    flat_N = np.concatenate(
      [np.asarray(leaf).reshape(-1).view(np.uint8) for leaf in jax.tree.leaves(saved.state)]
    )
  else:
    flat_N = np.zeros(sum(shape.size * shape.dtype.itemsize for shape in shapes), np.uint8)
  flat_N, leaves, at = group.broadcast(flat_N), [], 0
  for shape in shapes:
    size = shape.size * shape.dtype.itemsize
    leaves.append(flat_N[at : at + size].copy().view(shape.dtype).reshape(shape.shape))
    at += size
  records = [history.Record(**record) for record in about['records']]
  return checkpoint.Saved(jax.tree.unflatten(structure, leaves), records, about['seconds'], stage_info)


def _about(saved: checkpoint.Saved) -> dict[str, Any]:
  stage_info = {**vars(saved.stage_info), 'pixels': dict(saved.stage_info.pixels)}
  records = [dataclasses.asdict(record) for record in saved.records]
  return {'stage_info': stage_info, 'records': records, 'seconds': saved.seconds}
