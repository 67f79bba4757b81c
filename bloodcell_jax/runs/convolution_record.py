"""How the convolutions of a run are computed on this machine, kept so that a run which goes on elsewhere can say so."""

from __future__ import annotations

import jax

from bloodcell_jax.config import experiment
from bloodcell_jax.models import backbone, compiled_pool, fast_conv, zoo
from bloodcell_jax.storage import workdir
from bloodcell_jax.system import cpp_library

# The entry of `network` in environment.json.
KEY = 'convolution'


def used(exp: experiment.Experiment) -> str:
  """An algorithm of `fast_conv`; where compiled code is wanted but not to be had, with the reason in brackets."""
  if exp.convolution != fast_conv.COMPILED:
    return exp.convolution
  reason = compiled_pool.missing()
  return f'{fast_conv.WINOGRAD} ({reason})' if reason else fast_conv.COMPILED


def note(exp: experiment.Experiment, folder: workdir.Workdir) -> str:
  """A line for the user, or ''.

  It says where the folder's run was begun with compiled code and goes on without, or the reverse; and what one of the
  study's networks loses on a CPU for want of a compiler.
  """
  now = used(exp)
  before = folder.read_environment()['network'].get(KEY, '') if folder.environment.exists() else ''
  if before and before.split()[0] != now.split()[0]:
    return (
      f'the run was begun with convolutions {before} and continues with {now}: the last digits may differ'
    )
  is_slower = exp.convolution == fast_conv.COMPILED != now and jax.default_backend() == 'cpu'
  if (
    before
    or not is_slower
    or cpp_library.NO_COMPILER not in now
    or isinstance(zoo.NETWORKS[exp.model.name], backbone.Backbone)
  ):
    return ''
  return f'{compiled_pool.missing()}: with one, such as g++, training takes less than half the time'
