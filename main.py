"""python main.py [COMMAND]: the same as the installed command `bloodcell`; all of it is in the package."""

import sys

from bloodcell_jax.commands import command_line

if __name__ == '__main__':
  command_line.start(sys.argv)
