"""How the convolutions of a run are computed on this machine, kept so that a run which goes on elsewhere can say so."""

from __future__ import annotations

from bloodcell_jax.config import experiment
from bloodcell_jax.models import compiled_pool, fast_conv
from bloodcell_jax.storage import workdir

# The entry of `network` in environment.json.
KEY = 'convolution'


def used(exp: experiment.Experiment) -> str:
  """An algorithm of `fast_conv`; where there is no compiled code for want of something, in brackets of what."""
  if exp.convolution != fast_conv.COMPILED:
    return exp.convolution
  reason = compiled_pool.missing()
  return f'{fast_conv.WINOGRAD} ({reason})' if reason else fast_conv.COMPILED


def change(exp: experiment.Experiment, folder: workdir.Workdir) -> str:
  """A line where the folder's run was begun with compiled code and goes on without, or the reverse; else ''."""
  if not folder.environment.exists():
    return ''
  before, now = folder.read_environment()['network'].get(KEY, ''), used(exp)
  if not before or before.split()[0] == now.split()[0]:
    return ''
  return f'the run was begun with convolutions {before} and goes on with {now}: the last digits may differ'
