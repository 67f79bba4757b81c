"""What a process needs to be told before the heavy libraries load; called once, first thing, by main.py."""

import ctypes
import importlib.metadata
import os
import platform

SWITCH = 'BLOODCELL_NO_SETUP'
YNN = '--xla_cpu_experimental_ynn_fusion_type'


def set_up() -> None:
  """Sets environment variables that nobody has set; does nothing where BLOODCELL_NO_SETUP is set."""
  if os.environ.get(SWITCH):
    return
  # TensorFlow's start-up notes about instruction sets tell a user of this package nothing.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  _keep_convolutions_native()
  _keep_memory()


def _keep_convolutions_native() -> None:
  """Switches XLA's YNNPACK library off on the CPU: its convolutions take two to three times as long as XLA's own.

  An unknown flag ends a process, so it is given to the versions that it was tried with and to no other.
  """
  version = tuple(map(int, importlib.metadata.version('jaxlib').split('.')[:2]))
  flags = os.environ.get('XLA_FLAGS', '')
  if (0, 9) <= version <= (0, 10) and YNN not in flags:
    os.environ['XLA_FLAGS'] = f'{flags} {YNN}='.strip()


def _keep_memory() -> None:
  """Tells glibc's allocator to keep what the process has once had, where the C library is glibc.

  A training step frees and takes hundreds of megabytes anew; given back to the system, every page of it costs a page
  fault: a third of a step's time. The numbers are M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD and M_ARENA_MAX of
  `mallopt(3)`: no mapping of its own for a large block, no trimming, growth in large pieces, and one arena for all
  threads, because the others hold no block above 64 MB.
  """
  if platform.libc_ver()[0] != 'glibc':
    return
  libc = ctypes.CDLL(None)
  for option, value in ((-4, 0), (-1, 2**31 - 1), (-2, 512 * 2**20), (-8, 1)):
    libc.mallopt(option, value)
