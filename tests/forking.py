"""Runs main.py in copies of a process that has loaded the libraries already; started by `starting.run`.

Reads a request as JSON from each line of standard input, answers each with the exit code on a line of its own.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import sys
import threading

import blank_figure
import drawn_once
import kept_programs
from soak import watching

from bloodcell_jax.system import process

SECONDS = 300
# What most commands load, here and not in each copy: commands, and what they load when it is first needed.
LOADED = (
  *(
    f'bloodcell_jax.commands.{name}' for name in ('train', 'evaluate', 'predict', 'explain', 'audit', 'adapt')
  ),
  *('sklearn.model_selection', 'sklearn.metrics', 'scipy.optimize', 'scipy.stats'),
  *('skimage.filters', 'skimage.measure', 'skimage.morphology', 'ml_collections.config_flags'),
  *(
    'tensorboard.compat.proto.event_pb2',
    'tensorboard.summary.writer.record_writer',
    'jaxlib.mlir.dialects.mhlo',
  ),
)


def serve() -> dict | None:
  """Forks at each request; returns the request in the child, and None in the parent at the end of input."""
  for line in sys.stdin:
    request = json.loads(line)
    for name in request['loads']:
      importlib.import_module(name)
    # What is loaded is garbage in no copy: it need not be looked through there, nor its pages be copied for that.
    gc.freeze()
    child = os.fork()
    if not child:
      return request
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
  return None


if __name__ == '__main__':
  process.set_up()
  # Tracing leaves much that is no garbage, which is looked through less often than by default.
  gc.set_threshold(10_000, 20, 20)
  for name in LOADED:
    importlib.import_module(name)
  replacements = [*blank_figure.replacements()]
  drawn_once.put()
  kept_programs.keep_all()
  request = serve()
  if request:
    signal.alarm(SECONDS)
    for number, path in enumerate((os.devnull, request['out'], request['err'])):
      os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
    os.environ.clear()
    os.environ.update(request['environment'])
    watching.begin()
    main = os.path.abspath('main.py')
    os.chdir(request['inside'])
    sys.argv = ['main.py', *request['arguments']]
    if not request['draws']:
      for each in replacements:
        setattr(*each)
    runpy.run_path(main, run_name='__main__')
    # Where it ended well: as Python ends a process, but nothing is freed; to free what was loaded before the fork would
    # copy all of its memory. Processes that `starting.start` starts come to their whole end.
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
      stream.flush()
    os._exit(0)
