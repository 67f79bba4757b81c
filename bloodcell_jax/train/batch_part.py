"""The rows of each batch that this host reads, augments and computes."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator
from typing import Any

import jax
import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.train import devices


@dataclasses.dataclass(frozen=True)
class Part:
  """A part of every batch."""

  rows: slice  # of the batch
  size: int  # rows of this host's devices, those without an image included


def own(on: devices.Devices, batch_size: int) -> Part:
  """The part of this host; the whole batch where there is no other.

  **Guarantees**: each row of the batch is in the part of one host, in the order of the hosts.

  Raises:
    UserError: the batch is so small that a host would have none of it.
  """
  if on.local is on:
    return Part(slice(0, batch_size), batch_size)
  check(batch_size, len(on.local), len(on))
  per_device = -(-batch_size // len(on))
  place = on.each.index(on.local.each[0])
  start, end = place * per_device, min((place + len(on.local)) * per_device, batch_size)
  return Part(slice(start, end), len(on.local) * per_device)


def check(batch_size: int, per_host: int, num_devices: int) -> None:
  """Refuses a batch of which a host with `per_host` of all the devices would have no image.

  Raises:
    UserError: names the size that suffices.
  """
  per_device = -(-batch_size // num_devices)
  # The rows of the last host begin last.
  if (num_devices - 1) // per_host * per_host * per_device >= batch_size:
    raise types.UserError(
      f'train.batch_size is {batch_size}, which leaves a host with {per_host} of {num_devices} devices without '
      f'images; set it to {per_device * num_devices}, or use fewer hosts'
    )


def filled(batches: Generator[Any, None, None], part: Part) -> Generator[Any, None, None]:
  """The batches with rows of zeros, of weight 0, up to the size of the part."""
  if part.rows.stop - part.rows.start == part.size:
    return batches
  return _filled(batches, part.size)


def _filled(batches: Generator[Any, None, None], size: int) -> Generator[Any, None, None]:
  def fill(x: Any) -> np.ndarray:
    x = np.asarray(x)
    return np.pad(x, [(0, size - len(x)), *[(0, 0)] * (x.ndim - 1)])

  with contextlib.closing(batches):
    for batch in batches:
      yield jax.tree.map(fill, batch)
