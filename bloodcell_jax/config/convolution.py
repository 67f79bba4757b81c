"""How a run's convolutions are computed on a CPU."""

from __future__ import annotations

from bloodcell_jax.base import run_format
from bloodcell_jax.config import section
from bloodcell_jax.models import fast_conv

_AUTO = 'auto'


def read(model: section.Section, number: int) -> str:
  """The algorithm, one of `fast_conv.ALGORITHMS`.

  Args:
    model: the config's section.
    number: the run's format.

  Raises:
    UserError: `convolution` has another value.
  """
  value = model.choice('convolution', (_AUTO, *fast_conv.ALGORITHMS))
  if value != _AUTO:
    return value
  if run_format.is_compiled(number):
    return fast_conv.COMPILED
  return fast_conv.WINOGRAD if run_format.is_winograd(number) else fast_conv.DIRECT
