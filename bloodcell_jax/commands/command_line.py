"""The command line, of `python main.py` and of the installed `bloodcell`.

Parses the flags, runs the command, prints an error as one line and returns the exit code.
"""

import contextlib
import dataclasses
import faulthandler
import importlib
import logging
import os
import pathlib
import sys
import unicodedata
from typing import Any

from absl import flags
from ml_collections import config_flags

from bloodcell_jax import commands
from bloodcell_jax.system import config_file, console, home, memory, process, unwritable
from bloodcell_jax.train import signals

EXIT_FAILED, EXIT_USAGE, EXIT_STOPPED = 1, 2, 75
_USAGE = '[COMMAND] --config=configs/NAME.py [--config.section.key=value] [--workdir=FOLDER] [paths]'
_OUT_OF_MEMORY = (
  'out of memory; give this process more memory, or lower train.batch_size, evaluate.batch_size or data.image_size, or '
  f'set data.cache=disk. {memory.KEPT}'
)

config_flags.DEFINE_config_file(
  'config', None, 'the experiment, such as configs/default.py or configs/cnn_b.py:adam'
)
flags.DEFINE_string(
  'workdir',
  '',
  "the run's folder, or the word box for the model that comes with the package. If empty: that model for predict, "
  'adapt and serve, otherwise runs/<config name>',
)
flags.DEFINE_bool('debug', False, 'show the traceback of an error')


def main(argv: list[str]) -> int:
  """Runs a command and returns its exit code.

  0 done, 1 failed, 2 bad usage or config, 75 stopped; of `audit` 3 leak found, 4 some images could not be compared.
  """
  note = process.set_up()
  for argument in argv[1:]:
    if any(unicodedata.category(character) in ('Cc', 'Cs') for character in argument):
      # A lone surrogate stands for a byte that is not UTF-8; it can be neither printed nor stored.
      return _fail(f'{argument!r}: has characters that cannot be shown')
  try:
    argv = [argv[0], *(config_file.expand_argument(home.expand_argument(word)) for word in argv[1:])]
  except ValueError as error:
    return _fail(str(error))
  has_command = len(argv) > 1 and not argv[1].startswith('-')
  name = argv[1] if has_command else 'train'
  if name.startswith(tuple('\u2010\u2011\u2012\u2013\u2014\u2212')):
    return _fail(f'{name}: begins with a long dash; write --{name.lstrip(name[0])}')
  if name not in commands.SUMMARIES:
    return _fail(f'{name or repr(name)}: no such command; choose one of {", ".join(commands.SUMMARIES)}')
  for before, word in zip(argv[1:], argv[2:], strict=False):
    # The word after a flag without a value may be its value.
    if not has_command and word in commands.SUMMARIES and ('=' in before or not before.startswith('-')):
      return _fail(
        f'{word}: the command comes first; write {_program(argv[0])} {word}, and the flags after it'
      )
  if {'--help', '-h'} & set(argv) and not has_command:
    print(commands.overview(f'{_program(argv[0])} {_USAGE}'))
    return 0
  stop = signals.Stop()
  # Before the imports below, which take seconds.
  stop.install()
  for line in filter(None, (note, memory.shortage())):
    print(line, file=sys.stderr, flush=True)
  if not memory.can_load_libraries():
    return _fail(_OUT_OF_MEMORY, EXIT_FAILED)
  try:
    command = importlib.import_module(f'bloodcell_jax.commands.{name}')
  except (ImportError, OSError, MemoryError) as error:
    if '--debug' in argv or not memory.is_short(error):
      raise
    return _fail(_OUT_OF_MEMORY, EXIT_FAILED)
  command.define_flags()
  if {'--help', '-h'} & set(argv):
    usage = f'{_program(argv[0])} {name} {commands.USAGE[name]}'
    print(
      f'{name}: {commands.SUMMARIES[name]}\n\n{usage}\n\n{commands.flag_help(command.__name__, __name__)}'
    )
    return 0
  has_config = any(a.split('=')[0] in ('--config', '-config') for a in argv)
  changes_run = (
    getattr(command, 'OF_RUN', False)
    and not has_config
    and any(a.startswith(('--config.', '-config.')) for a in argv)
  )
  if changes_run or (getattr(command, 'CONFIG', '') and not has_config):
    # The config comes first, so that the keys that follow can override it.
    path = config_file.FOLDER.parent / getattr(command, 'CONFIG', 'configs/default.py')
    argv = [*argv[:2], f'--config={path}', *argv[2:]]
  try:
    request = _request(flags.FLAGS(argv), has_command)
    if changes_run:
      given: Any = flags.FLAGS['config']
      request = dataclasses.replace(request, config=None, config_name='', changes=dict(given.override_values))
  # absl and ml_collections raise many kinds of errors, which name the flag, the key or the file.
  except Exception as error:
    if '--debug' in argv:
      raise
    return _fail(commands.one_line(error, argv))
  return _run(command, request, stop)


def _program(path: str) -> str:
  """What the user typed to start the program."""
  return 'python main.py' if path.endswith('main.py') else pathlib.Path(path).stem


def _request(arguments: list[str], has_command: bool) -> commands.Request:
  config = flags.FLAGS['config'].value
  if config is not None:
    # A config file that could not be loaded raises at the first access.
    list(config)
  path, _, variant = ((config and flags.FLAGS['config'].config_filename) or '').partition(':')  # type: ignore[attr-defined]
  name = pathlib.Path(path).stem + (f'-{variant}' if variant else '')
  keys = tuple(flags.FLAGS['config'].override_values) if config is not None else ()  # type: ignore[attr-defined]
  paths = tuple(arguments[2 if has_command else 1 :])
  return commands.Request(config, name, flags.FLAGS.workdir, paths, given=keys)


def _run(command, request: commands.Request, stop: signals.Stop) -> int:
  from bloodcell_jax.base import types

  # Orbax and absl log each save, a failed one with its traceback; the commands print what a user needs to know.
  logging.getLogger('absl').setLevel(logging.CRITICAL)
  if not flags.FLAGS.debug:
    # Hides the warnings of coroutines that Orbax abandons after a failed save.
    sys.unraisablehook = lambda unraisable: None
  try:
    stop.poll()
    return command.run(request, stop) or 0
  except signals.Stopped:
    print('stopped; the same command continues', flush=True)
    return EXIT_STOPPED
  # Without memory, libraries raise many kinds of errors.
  except Exception as error:
    message = _message(error, getattr(command, 'WHERE_ELSE', ''), types.UserError, types.RunError)
    if flags.FLAGS.debug or not message:
      raise
    return _fail(message, EXIT_USAGE if isinstance(error, types.UserError) else EXIT_FAILED)


def _message(error: Exception, where_else: str, *own: type[Exception]) -> str:
  """One line for an error that is not a fault of the program; empty for one that is."""
  text = str(error)
  if isinstance(error, own):
    return text
  if memory.is_short(error):
    return _OUT_OF_MEMORY
  if isinstance(error, OSError):
    known = error.filename and error.strerror
    line = f'{error.filename}: {error.strerror}' if known else text or type(error).__name__
    return '; '.join(filter(None, (line, unwritable.advice(error, where_else))))
  return ''


def _fail(message: str, code: int = EXIT_USAGE) -> int:
  print(message, file=sys.stderr, flush=True)
  return code


def _exit(code: int) -> None:
  """Ends the process; immediately, without Python's orderly shutdown, if the command did not succeed.

  All files are written by then. An orderly shutdown of the libraries can take longer than a scheduler waits after its
  signal, a thread that waits for a failed one may never end, and Python runs no threads during the shutdown, not even
  the one that ends a process that is late.
  """
  if code:
    # Looked up instead of imported, because importing it loads JAX.
    if held := sys.modules.get('bloodcell_jax.system.lock'):
      held.release()
    for stream in (sys.stdout, sys.stderr):
      with contextlib.suppress(OSError):
        stream.flush()
    os._exit(code)


def start(argv: list[str]) -> None:
  """Runs the program and ends the process unless the command succeeded."""
  # A crash in a library's own code then says where Python was.
  if sys.stderr is not None:
    faulthandler.enable()
  console.install(argv)
  _exit(main(argv))


def bloodcell() -> None:
  """The installed command `bloodcell`."""
  start(sys.argv)
