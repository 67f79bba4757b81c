"""How much a person may upload to the page, and how long it is kept."""

from __future__ import annotations

import dataclasses

_MEGABYTE = 10**6


@dataclasses.dataclass(frozen=True)
class Limits:
  """Limits of each session, and of the number of sessions; all above 0."""

  num_files: int
  file_bytes: int
  total_bytes: int
  pixels: int  # of a photograph
  minutes: float  # without a request, after which a session is deleted
  num_sessions: int

  def __post_init__(self):
    for name, value in dataclasses.asdict(self).items():
      if not value > 0:
        raise ValueError(f'{name} is {value}; it must be above 0')

  def refusal(self, size: int, num_before: int, bytes_before: int) -> str:
    """Why a file of `size` bytes is not taken beside what is there already; '' if it is.

    Example:
      >>> limits = Limits(2, 50_000_000, 60_000_000, 10**8, 60, 20)
      >>> limits.refusal(51_000_000, 0, 0)
      'has 51.0 MB; the most is 50 MB'
      >>> limits.refusal(1, 2, 2)
      'is one file too many; the most is 2'
      >>> limits.refusal(20_000_000, 1, 40_000_000)
      ''
    """
    if size > self.file_bytes:
      return f'has {size / _MEGABYTE:,.1f} MB; the most is {self.file_bytes / _MEGABYTE:,.0f} MB'
    if num_before >= self.num_files:
      return f'is one file too many; the most is {self.num_files:,}'
    if bytes_before + size > self.total_bytes:
      return f'does not fit; all files together may have {self.total_bytes / _MEGABYTE:,.0f} MB'
    return ''
