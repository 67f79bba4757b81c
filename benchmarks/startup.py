"""Seconds from the start of Python to the end of CNN B's first step, with an empty and with a filled compilation cache.

python -m benchmarks.startup
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

CODE = 'from benchmarks import contestants; contestants.bloodcell_jax({name!r})()'


def seconds(command: list[str], cache: str) -> float:
  """Run time of a process."""
  began = time.perf_counter()
  environment = {**os.environ, 'JAX_COMPILATION_CACHE_DIR': cache}
  subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
  return time.perf_counter() - began


def main() -> None:
  """Prints one line per measurement: the first with an empty cache, three with a filled one, and `main.py --help`."""
  step = [sys.executable, '-c', CODE.format(name='cnn_b')]
  with tempfile.TemporaryDirectory() as cache:
    print(f'first step of cnn_b, empty cache: {seconds(step, cache):.1f} s', flush=True)
    filled = sorted(seconds(step, cache) for _ in range(3))
    print(f'first step of cnn_b, filled cache: {filled[1]:.1f} s (median of 3)')
    help_text = sorted(seconds([sys.executable, 'main.py', '--help'], cache) for _ in range(3))
    print(f'main.py --help: {help_text[1]:.2f} s (median of 3)')


if __name__ == '__main__':
  main()
