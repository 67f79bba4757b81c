"""`label_next.csv` of a run's folder: the images whose labels would teach it most, the most useful first."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from bloodcell_jax.base import types
from bloodcell_jax.data.images import image_files
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import atomic

COLUMNS = ('file', 'sha256_16', 'likeliest', 'confidence')


@dataclasses.dataclass(frozen=True)
class Proposal:
  """An image to be labelled."""

  file: str  # relative to its folder
  digest: str  # `image_files.sha256_16`
  likeliest: str  # class, by the run
  confidence: float  # in [0, 1], uncalibrated


def write(folder: workdir.Workdir, proposals: Sequence[Proposal]) -> None:
  """Writes the proposals, in order."""
  rows = [
    (one.file, image_files.marked(one.digest), one.likeliest, f'{one.confidence:.4f}') for one in proposals
  ]
  atomic.write_csv(folder.next_labels, [COLUMNS, *rows])


def read(folder: workdir.Workdir) -> list[str]:
  """The digests of the images, in order; none where the run has no such file.

  Raises:
    UserError: the file is damaged.
  """
  if not folder.next_labels.exists():
    return []
  try:
    head, *rows = atomic.read_csv(folder.next_labels)
    at = head.index('sha256_16')
    return [row[at].removeprefix(image_files.MARK) for row in rows]
  except (ValueError, IndexError):
    raise types.UserError(
      f'{folder.next_labels}: damaged, or changed since it was written; remove it, and `adapt` without labels '
      'writes it anew'
    ) from None
