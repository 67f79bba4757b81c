"""C++ code of this package, compiled for the processor at hand when it is first needed, and kept."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import hashlib
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile

from bloodcell_jax.system import process

# The variable that names the compiler and, after spaces, options of it; without it the first of COMPILERS is taken.
COMPILER = 'CXX'
COMPILERS = ('c++', 'g++', 'clang++')
OPTIONS = ('-std=c++17', '-O3', '-march=native', '-fPIC', '-shared', '-w')
# How the reason begins where there is none.
NO_COMPILER = 'no C++ compiler'
# Seconds that a compilation may take, or that of another process may be waited for.
PATIENCE = 120


@dataclasses.dataclass(frozen=True)
class Loaded:
  """A library, or why there is none."""

  library: ctypes.CDLL | None
  reason: str  # in a few words; empty where there is a library


@functools.cache
def load(source: pathlib.Path, include: str, version: str) -> Loaded:
  """The library of a C++ file, from the folder of compiled programs or compiled into it.

  **Guarantees**: never raises for want of a compiler, a folder or room. A library that is there is taken as it is, so
  that a newer compiler does not change the last bits of a run that is under way.

  Args:
    source: the file.
    include: the folder of the headers that it includes.
    version: theirs.
  """
  folder = os.environ.get(process.CACHE)
  if not folder:
    return Loaded(None, f'{process.CACHE} names no folder for compiled programs')
  digest = hashlib.sha256(source.read_bytes() + f'{version}\n{OPTIONS}\n{process.processor()}'.encode())
  path = pathlib.Path(folder) / f'{source.stem}-{digest.hexdigest()[:16]}.so'
  try:
    if not path.exists():
      path.parent.mkdir(parents=True, exist_ok=True)
      reason = _compile(source, include, path)
      if reason:
        return Loaded(None, reason)
    return Loaded(ctypes.CDLL(str(path)), '')
  except OSError as error:
    return Loaded(None, f'{path}: {error.strerror or error}')


def _compile(source: pathlib.Path, include: str, path: pathlib.Path) -> str:
  """Writes the library as a whole or not at all; returns the reason where it cannot be made."""
  import filelock  # imported here: it is hardly ever compiled

  command = _compiler()
  if not command:
    given = os.environ.get(COMPILER)
    looked_for = f'{COMPILER} is {given!r}' if given else f'none of {", ".join(COMPILERS)}'
    return f'{NO_COMPILER}, {looked_for}'
  try:
    with filelock.FileLock(f'{path}.lock', timeout=PATIENCE):
      if path.exists():
        return ''
      for left in path.parent.glob(f'{path.stem}-*'):
        # Of a process that was killed: while it lives, it holds the lock.
        shutil.rmtree(left, ignore_errors=True)
      with tempfile.TemporaryDirectory(dir=path.parent, prefix=f'{path.stem}-') as folder:
        made = pathlib.Path(folder) / path.name
        subprocess.run(
          [*command, *OPTIONS, '-I', include, '-o', str(made), str(source)],
          check=True, capture_output=True, timeout=PATIENCE, text=True, errors='replace',
          env={**os.environ, 'LC_ALL': 'C'},  # messages in English
        )  # fmt: skip
        os.replace(made, path)
  except subprocess.CalledProcessError as error:
    lines = [line for line in error.stderr.splitlines() if 'error' in line] or ['it failed']
    return f'{command[0]}: {lines[0]}'
  except (subprocess.TimeoutExpired, filelock.Timeout):
    return f'{command[0]} has not ended after {PATIENCE} s'
  return ''


def _compiler() -> list[str]:
  given = shlex.split(os.environ.get(COMPILER, ''))
  if given:
    return given if shutil.which(given[0]) else []
  return [name for name in COMPILERS if shutil.which(name)][:1]
