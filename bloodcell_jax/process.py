"""What a process needs to be told before the heavy libraries load; called once, first thing, by main.py."""

import os

SWITCH = 'BLOODCELL_NO_SETUP'


def set_up() -> None:
  """Sets environment variables that nobody has set; does nothing where BLOODCELL_NO_SETUP is set."""
  if os.environ.get(SWITCH):
    return
  # TensorFlow's start-up notes about instruction sets tell a user of this package nothing.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
