"""python main.py [COMMAND] --config=configs/NAME.py [--config.section.key=value] [--workdir=FOLDER] [paths]

Short, because what it starts can be imported and tested: flags, one line for an error, the exit code.
"""

import contextlib
import importlib
import logging
import os
import pathlib
import sys
import unicodedata

from absl import flags
from ml_collections import config_flags

from bloodcell_jax import commands
from bloodcell_jax.system import memory, process
from bloodcell_jax.train import signals

EXIT_FAILED, EXIT_USAGE, EXIT_STOPPED = 1, 2, 75
_OUT_OF_MEMORY = (
  'out of memory; give this process more of it, or lower train.batch_size, evaluate.batch_size or data.image_size, or '
  f'set data.cache=disk. {memory.KEPT}'
)

config_flags.DEFINE_config_file(
  'config', None, 'the experiment, such as configs/default.py or configs/cnn_b.py:adam'
)
flags.DEFINE_string('workdir', '', "the run's folder; runs/<config name> when empty")
flags.DEFINE_bool('debug', False, 'show the traceback of an error')


def main(argv: list[str]) -> int:
  """The exit code: 0 done, 1 failed, 2 bad usage or config, 3 a leak found by audit, 75 stopped."""
  process.set_up()
  for given in argv[1:]:
    if any(unicodedata.category(character) in ('Cc', 'Cs') for character in given):
      # A lone surrogate stands for a byte that is not UTF-8: it could be neither printed nor kept.
      return _complain(f'{given!r}: has characters that cannot be shown')
  named = len(argv) > 1 and not argv[1].startswith('-')
  name = argv[1] if named else 'train'
  if name not in commands.SUMMARIES:
    return _complain(f'{name}: no such command; choose one of {", ".join(commands.SUMMARIES)}')
  if {'--help', '-h'} & set(argv) and not named:
    print(commands.overview(__doc__))
    return 0
  stop = signals.Stop()
  # Before what takes seconds to load.
  stop.install()
  if short := memory.shortage():
    print(short, file=sys.stderr, flush=True)
  try:
    command = importlib.import_module(f'bloodcell_jax.commands.{name}')
  except (ImportError, OSError, MemoryError) as error:
    if '--debug' in argv or not memory.is_short(error):
      raise
    return _complain(_OUT_OF_MEMORY, EXIT_FAILED)
  command.define_flags()
  if {'--help', '-h'} & set(argv):
    print(f'{name}: {commands.SUMMARIES[name]}\n\n{commands.flag_help(command.__name__, "main")}')
    return 0
  if getattr(command, 'CONFIG', '') and not any(a.split('=')[0] in ('--config', '-config') for a in argv):
    # Before the keys that override it.
    argv = [*argv[:2], f'--config={pathlib.Path(__file__).parent / command.CONFIG}', *argv[2:]]
  try:
    request = _request(flags.FLAGS(argv), named)
  # absl and ml_collections raise many kinds; each names the flag, the key or the file.
  except Exception as error:
    if '--debug' in argv:
      raise
    return _complain(commands.one_line(error, argv))
  return _run(command, request, stop)


def _request(left: list[str], named: bool) -> commands.Request:
  given = flags.FLAGS['config'].value
  if given is not None:
    # A config that could not be loaded raises when it is looked at.
    list(given)
  path, _, variant = ((given and flags.FLAGS['config'].config_filename) or '').partition(':')
  name = pathlib.Path(path).stem + (f'-{variant}' if variant else '')
  return commands.Request(given, name, flags.FLAGS.workdir, tuple(left[2 if named else 1 :]))


def _run(command, request: commands.Request, stop: signals.Stop) -> int:
  from bloodcell_jax.base import types

  # Orbax and absl tell of every save, and of one that failed by a traceback; what a user should know is printed by the
  # commands.
  logging.getLogger('absl').setLevel(logging.CRITICAL)
  if not flags.FLAGS.debug:
    # What Orbax's abandoned coroutines say after a save that failed.
    sys.unraisablehook = lambda unraisable: None
  try:
    stop.poll()
    return command.run(request, stop) or 0
  except signals.Stopped:
    print('stopped; the same command continues', flush=True)
    return EXIT_STOPPED
  # What the libraries raise without memory is of many kinds.
  except Exception as error:
    said = _cause(error, types.UserError, types.RunError)
    if flags.FLAGS.debug or not said:
      raise
    failed = not isinstance(error, types.UserError)
    return _complain(said, EXIT_FAILED if failed else EXIT_USAGE)


def _cause(error: Exception, *told: type[Exception]) -> str:
  """One line for what is no fault of the program's; empty for what is."""
  text = str(error)
  if isinstance(error, told):
    return text
  if memory.is_short(error):
    return _OUT_OF_MEMORY
  if isinstance(error, OSError):
    return (
      f'{error.filename}: {error.strerror}'
      if error.filename and error.strerror
      else text or type(error).__name__
    )
  return ''


def _complain(text: str, code: int = EXIT_USAGE) -> int:
  print(text, file=sys.stderr, flush=True)
  return code


def _leave(code: int) -> None:
  """Ends the process, at once where it did not come to its end.

  Everything is on the disk then. To take the libraries down in order can take longer than whoever stops us waits, a
  thread that waits for what failed may never end, and Python runs none of its threads meanwhile, the one that ends a
  late process among them.
  """
  if code:
    # Not loaded for this: it loads JAX.
    if held := sys.modules.get('bloodcell_jax.system.lock'):
      held.release()
    for stream in (sys.stdout, sys.stderr):
      with contextlib.suppress(OSError):
        stream.flush()
    os._exit(code)


if __name__ == '__main__':
  _leave(main(sys.argv))
