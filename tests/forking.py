"""Runs main.py in copies of a process that has loaded the libraries already; started by `starting.run`.

Reads a request as JSON from each line of standard input, answers each with the exit code on a line of its own.
"""

import importlib
import json
import os
import runpy
import signal
import sys

import blank_figure

from bloodcell_jax.system import process

SECONDS = 300


def serve() -> dict | None:
  """Forks at each request; returns the request in the child, and None in the parent at the end of input."""
  for line in sys.stdin:
    child = os.fork()
    if not child:
      return json.loads(line)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
  return None


if __name__ == '__main__':
  process.set_up()
  for name in ('train', 'evaluate', 'predict'):
    importlib.import_module(f'bloodcell_jax.commands.{name}')
  figure = importlib.import_module('bloodcell_jax.plots.figure')
  request = serve()
  if request:
    signal.alarm(SECONDS)
    for number, path in enumerate((os.devnull, request['out'], request['err'])):
      os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
    os.environ.clear()
    os.environ.update(request['environment'])
    sys.argv = ['main.py', *request['arguments']]
    if not request['draws']:
      figure.png = blank_figure.png
    # The child comes to its end as any Python process does.
    runpy.run_path('main.py', run_name='__main__')
