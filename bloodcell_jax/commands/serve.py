"""`serve`: a local page on which photographs are dropped, their cells looked at, corrected and counted."""

from __future__ import annotations

import dataclasses
import importlib.util
import pathlib
import sys

from absl import flags

from bloodcell_jax import commands
from bloodcell_jax.base import types
from bloodcell_jax.inference import cell_finder, classifier, megapixels
from bloodcell_jax.reports import report
from bloodcell_jax.storage import box, workdir
from bloodcell_jax.system import console
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals

# Beside those of requirements.txt.
_LIBRARIES = ('starlette', 'uvicorn')
# Flags of what a person may upload.
_LIMITS = ('most_files', 'most_megabytes', 'most_megabytes_in_all', 'most_megapixels', 'minutes')
_NUM_SESSIONS = 20


def define_flags() -> None:
  """The port, how photographs are read, and how much may be uploaded."""
  flags.DEFINE_integer('port', 8765, 'port of the page on this computer; 0 for any free one')
  flags.DEFINE_bool('open', False, 'open the page in the browser')
  flags.DEFINE_string(
    'view',
    '',
    'what the network sees of an image: full, nucleus, cell or cell_close; if empty, as in training. For pictures of '
    'single cells: full',
  )
  flags.DEFINE_string(
    'cells',
    'auto',
    'one: each photograph shows one cell; many: find every white cell of each; auto: tell the two kinds apart',
  )
  flags.DEFINE_integer('most_files', 500, 'largest number of photographs that a person may upload')
  flags.DEFINE_integer('most_megabytes', 50, 'largest size of a photograph, in megabytes')
  flags.DEFINE_integer(
    'most_megabytes_in_all', 2000, 'largest size of all photographs of a person together, in megabytes'
  )
  flags.DEFINE_integer('most_megapixels', 50, 'largest size of a photograph, in megapixels')
  flags.DEFINE_float('minutes', 60.0, 'minutes without use after which uploaded photographs are deleted')


def run(request: commands.Request, stop: signals.Stop) -> int:
  """Serves the page until it is stopped, which is how it ends well: exit code 0."""
  if request.paths:
    raise types.UserError(f'serve takes no paths: drop {request.paths[0]} on the page')
  if not request.workdir:
    progress_lib.Progress().line(box.line())
    request = dataclasses.replace(request, workdir=box.NAME)
  cell_finder.check(flags.FLAGS.cells)
  missing = [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]
  if missing:
    raise types.UserError(
      f'serve needs {" and ".join(missing)}, which {"is" if len(missing) == 1 else "are"} not installed: '
      'pip install "starlette>=0.46,<2" "uvicorn>=0.34,<1"'
    )
  return _serve(request, stop)


def _serve(request: commands.Request, stop: signals.Stop) -> int:
  # Imported here: these need libraries that the other commands do not.
  from bloodcell_jax.serving import adaptation, analysis, limits, server

  values, progress = flags.FLAGS, progress_lib.Progress()
  for name in _LIMITS:
    if not (values[name].value or 0) > 0:
      raise types.UserError(f'--{name} is {values[name].value}; it must be above 0')
  limit = limits.Limits(
    num_files=values.most_files,
    file_bytes=values.most_megabytes * 10**6,
    total_bytes=values.most_megabytes_in_all * 10**6,
    pixels=values.most_megapixels * megapixels.MEGAPIXEL,
    minutes=values.minutes,
    num_sessions=_NUM_SESSIONS,
  )
  opened = server.bind(values.port)
  folder = workdir.Workdir(request.folder())
  progress.line(f'{folder.path}: the model is being loaded')
  trained = folder.read_environment()['data'].get('image_sizes', {})
  analysing = analysis.Analysis(
    classifier.load(folder, stop), folder.path.name, values.view, values.cells, trained, limit.pixels
  )
  console.keep(folder.log)
  adapting = adaptation.Adaptation(_program(), folder.path, pathlib.Path('runs'))
  analysing.warm_up()

  def on_ready(address: str) -> None:
    progress.line(f'{address}  (Ctrl-C ends it and deletes photographs and labels)')
    progress.line(report.RESEARCH_ONLY)
    if values.open:
      import webbrowser

      webbrowser.open(address)

  stopped = server.run(opened, analysing, limit, adapting, stop, on_ready)
  progress.line(
    'the server has stopped; what was uploaded is deleted. A page that is still open can export its labels'
  )
  if stopped:
    progress.line(f'the adaptation {stopped} was stopped with it')
  return 0


def _program() -> tuple[str, ...]:
  """How this program is started, up to the command."""
  script = sys.argv[0]
  return (sys.executable, script) if script.endswith('.py') else (script,)
