"""What a person says a cell is."""

from __future__ import annotations

import dataclasses
import datetime


@dataclasses.dataclass(frozen=True)
class Label:
  """A class, and when it was given."""

  name: str
  time: str  # UTC, as JavaScript's `toISOString` writes it


def now(name: str) -> Label:
  """A label given at this moment."""
  time = datetime.datetime.now(datetime.UTC).isoformat(timespec='milliseconds').replace('+00:00', 'Z')
  return Label(name, time)
