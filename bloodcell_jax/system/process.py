"""Process-wide settings for the heavy libraries; main.py applies them before it loads any."""

import ctypes
import hashlib
import importlib.metadata
import logging
import os
import pathlib
import platform

import platformdirs

from bloodcell_jax.system import program_cache

SWITCH = 'BLOODCELL_NO_SETUP'
# Size above which the least recently used programs are removed; a network of the study takes about half a megabyte.
MOST_CACHED_BYTES = 500 * 2**20
# The environment variable that names the folder of JAX's cache.
CACHE = 'JAX_COMPILATION_CACHE_DIR'
# Which operations XLA leaves to YNNPACK on the CPU; with nothing behind it, none.
YNN = '--xla_cpu_experimental_ynn_fusion_type='
# With it JAX 0.12 crashes where it keeps a program: docs/log/performance_2026-11.md has the smallest one.
ONEDNN = '--xla_cpu_experimental_onednn_custom_call=true'


def set_up() -> str:
  """Sets unset environment variables and configures the allocator, unless BLOODCELL_NO_SETUP is set.

  Idempotent. Does not restart the process, so debuggers and notebooks can call it too.

  Returns:
    A line for the user, about what this process lacks and how to give it; empty where it has everything.
  """
  if os.environ.get(SWITCH):
    return ''
  # TensorFlow's messages about instruction sets at start-up are of no use here.
  # jaxlib 0.9 calls it an error that a kept program was compiled with an option of its own, twice for each program.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3' if _jaxlib_version() < (0, 10) else '2')
  # Matplotlib's about a home without room for its list of fonts: it then makes the list anew and goes on.
  logging.getLogger('matplotlib').setLevel(logging.ERROR)
  switch_off_ynnpack()
  note = keep_compiled()
  _keep_memory()
  return note


def keep_compiled() -> str:
  """Enables JAX's persistent compilation cache in the user's cache folder; returns a line where there is none.

  One folder per kind of processor, because a program compiled for one may not run on another with the same home.
  """
  if ONEDNN in os.environ.get('XLA_FLAGS', ''):
    os.environ['JAX_ENABLE_COMPILATION_CACHE'] = 'false'
    return (
      f'XLA_FLAGS has {ONEDNN}, with which compiled programs cannot be kept, so each start takes longer. To keep '
      'them, leave it out'
    )
  if CACHE not in os.environ:
    place, reason = _cache_folder()
    if place is None:
      return (
        f'{reason}: compiled programs are not kept, so each start takes longer. To keep them, set {CACHE} to a '
        'folder of your own'
      )
    os.environ[CACHE] = str(place / 'xla' / processor())
  os.environ.setdefault('JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS', '0.5')
  os.environ.setdefault('JAX_COMPILATION_CACHE_MAX_SIZE', str(MOST_CACHED_BYTES))
  program_cache.remove_halves(os.environ[CACHE])
  return ''


def _cache_folder() -> tuple[pathlib.Path | None, str]:
  """The user's folder for caches, created; or None and the reason."""
  try:
    # It needs a home, of the environment or of the list of users, which a container's user may lack both.
    place = pathlib.Path(platformdirs.user_cache_dir('bloodcell_jax'))
  except (RuntimeError, KeyError, OSError):
    return None, 'this user has no home folder'
  if not place.is_absolute():
    return None, 'this user has no home folder'
  try:
    place.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    return None, f'{place}: {error.strerror}'
  return (place, '') if os.access(place, os.W_OK) else (None, f'{place}: cannot be written')


def processor() -> str:
  """A digest of the processor's model and instruction sets."""
  info = pathlib.Path('/proc/cpuinfo')
  lines = info.read_text().splitlines() if info.exists() else []
  features = [line for line in lines if line.startswith(('flags', 'Features', 'model name'))]
  return hashlib.sha256(
    (platform.machine() + platform.processor() + '\n'.join(features[:2])).encode()
  ).hexdigest()[:12]


def _jaxlib_version() -> tuple[int, ...]:
  """Major and minor number."""
  return tuple(map(int, importlib.metadata.version('jaxlib').split('.')[:2]))


def switch_off_ynnpack() -> None:
  """Disables YNNPACK in JAX's XLA on the CPU.

  XLA prepares an operation for YNNPACK when a program first runs, and two threads that run it for the first time at
  once write to one list without a lock: a crash, if rarely. Besides, its convolutions took two to three times as long
  as XLA's own. An unknown flag aborts the process, so it is set only for the versions that it was tested with.
  """
  flags = os.environ.get('XLA_FLAGS', '')
  if (0, 9) <= _jaxlib_version() <= (0, 12) and YNN not in flags:
    os.environ['XLA_FLAGS'] = f'{flags} {YNN}'.strip()


def _keep_memory() -> None:
  """Configures glibc's allocator to keep freed memory; does nothing with another C library.

  A training step frees and allocates hundreds of megabytes; if they went back to the system, page faults would take a
  third of the step. The options are M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD and M_ARENA_MAX of `mallopt(3)`: no
  separate mappings for large blocks, no trimming, growth in large pieces, and one arena for all threads, because other
  arenas hold no block above 64 MB.
  """
  if platform.libc_ver()[0] != 'glibc':
    return
  libc = ctypes.CDLL(None)
  for option, value in ((-4, 0), (-1, 2**31 - 1), (-2, 512 * 2**20), (-8, 1)):
    libc.mallopt(option, value)
