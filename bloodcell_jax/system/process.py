"""What a process needs to be told before the heavy libraries load; called once, first thing, by main.py."""

import ctypes
import hashlib
import importlib.metadata
import os
import pathlib
import platform

import platformdirs

SWITCH = 'BLOODCELL_NO_SETUP'
# The least recently used programs are removed above this; one of the study's networks is about half a megabyte.
MOST_CACHED_BYTES = 500 * 2**20
YNN = '--xla_cpu_experimental_ynn_fusion_type'


def set_up() -> None:
  """Sets environment variables that nobody has set, and the allocator; nothing where BLOODCELL_NO_SETUP is set.

  Calling it again changes nothing. It starts no process anew, so that debuggers and notebooks may call it too.
  """
  if os.environ.get(SWITCH):
    return
  # TensorFlow's start-up notes about instruction sets tell a user of this package nothing.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  _keep_convolutions_native()
  _keep_compiled()
  _keep_memory()


def _keep_compiled() -> None:
  """Lets JAX keep compiled programs in the user's cache folder: the next start of the same run needs no compilation.

  One folder a kind of processor, because a program compiled for one may not run on another that shares the home.
  """
  folder = pathlib.Path(platformdirs.user_cache_dir('bloodcell_jax'), 'xla', _processor())
  os.environ.setdefault('JAX_COMPILATION_CACHE_DIR', str(folder))
  os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.5')
  os.environ.setdefault('JAX_COMPILATION_CACHE_MAX_SIZE', str(MOST_CACHED_BYTES))


def _processor() -> str:
  """A name for what the processor can do."""
  info = pathlib.Path('/proc/cpuinfo')
  lines = info.read_text().splitlines() if info.exists() else []
  told = [line for line in lines if line.startswith(('flags', 'Features', 'model name'))]
  return hashlib.sha256(
    (platform.machine() + platform.processor() + '\n'.join(told[:2])).encode()
  ).hexdigest()[:12]


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
