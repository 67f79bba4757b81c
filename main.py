"""python main.py [COMMAND]: the same as the installed command `bloodcell`; all of it is in the package."""

import signal
import sys

if __name__ == '__main__':
  # Until the program listens itself, Ctrl-C ends it without a traceback.
  signal.signal(signal.SIGINT, signal.SIG_DFL)
  from bloodcell_jax.commands import command_line

  command_line.start(sys.argv)
