"""The machine of a benchmark: processor, cores, versions, and peak speed of a matrix product."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import platform
import resource
import time
from typing import Any

import numpy as np

PACKAGES = ('jax', 'keras', 'tensorflow-cpu', 'tensorflow', 'torch', 'numpy')
SIZE = 2048  # of the square matrices: 48 MB in all, far beyond every cache


def describe() -> dict[str, Any]:
  """The entry `machine` of a benchmark's JSON."""
  versions = {}
  for name in PACKAGES:
    try:
      versions[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      continue
  return {
    'processor': _processor(),
    'num_cores': os.cpu_count(),
    'platform': platform.platform(),
    'python': platform.python_version(),
    'versions': versions,
    'load_average': os.getloadavg()[0] if hasattr(os, 'getloadavg') else None,
    'peak_gflops': round(peak_gflops(), 1),
    'date': time.strftime('%Y-%m-%d', time.gmtime()),
  }


def peak_mb(usage: resource.struct_rusage) -> float:
  """The largest resident memory of a process, which Linux gives in units of 1,024 bytes."""
  return usage.ru_maxrss * 1024 / 1e6


def own_peak_mb() -> float:
  """That of this process."""
  return peak_mb(resource.getrusage(resource.RUSAGE_SELF))


def peak_gflops() -> float:
  """The best of ten float32 matrix products by NumPy, in GFLOP/s, all cores."""
  a = np.random.default_rng(0).random((SIZE, SIZE), np.float32)
  seconds = []
  for _ in range(10):
    began = time.perf_counter()
    a @ a
    seconds.append(time.perf_counter() - began)
  return 2 * SIZE**3 / min(seconds) / 1e9


def _processor() -> str:
  info = pathlib.Path('/proc/cpuinfo')
  if info.exists():
    for line in info.read_text().splitlines():
      if line.startswith('model name'):
        return line.partition(':')[2].strip()
  return platform.processor()
