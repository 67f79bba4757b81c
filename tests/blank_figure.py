"""Small white pictures in place of figures, which are not drawn: drawing them takes a third of a small run."""

from __future__ import annotations

import functools
import importlib
import inspect
import io
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

from PIL import Image


@functools.cache
def _blank() -> bytes:
  buffer = io.BytesIO()
  Image.new('RGB', (8, 8), 'white').save(buffer, 'PNG')
  return buffer.getvalue()


def png(fig: Any, note: str) -> bytes:
  """In place of `bloodcell_jax.plots.figure.png`."""
  return _blank()


def replacements() -> Iterator[tuple[Any, str, Callable[..., Any]]]:
  """(module, name, function): what to put in place of each function of `bloodcell_jax.plots` that draws."""
  plots = importlib.import_module('bloodcell_jax.plots')
  for known in pkgutil.iter_modules(plots.__path__):
    module = importlib.import_module(f'{plots.__name__}.{known.name}')
    for name, function in inspect.getmembers(module, inspect.isfunction):
      if name == 'png':
        yield module, name, png
      elif str(function.__annotations__.get('return', '')).endswith('figure.Figure'):
        yield module, name, _undrawn(function)


def _undrawn(plot: Callable[..., Any]) -> Callable[..., None]:
  """Draws nothing, but is called as the function that does."""
  signature = inspect.signature(plot)

  @functools.wraps(plot)
  def undrawn(*given: Any, **more: Any) -> None:
    signature.bind(*given, **more)

  return undrawn
