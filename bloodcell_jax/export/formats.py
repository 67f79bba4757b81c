"""The formats by name: what each needs, where it lies, and how it is written and read."""

from __future__ import annotations

import dataclasses
import importlib.util
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.export import onnx_file, program, safetensors_file, saved_model, stablehlo

_REQUIREMENTS = 'pip install -r requirements.txt'


@dataclasses.dataclass(frozen=True)
class Format:
  """One way to write a program down."""

  name: str
  file: str  # within the exported folder; a folder itself for savedmodel
  runs_on: str  # for people
  libraries: tuple[str, ...]  # that must be there, by the names they are imported by
  install: str  # what to type where one is missing
  write: Callable[[pathlib.Path, program.Program], None]
  read: Callable[[pathlib.Path, program.Program], Callable[[np.ndarray], np.ndarray]]

  def missing(self) -> list[str]:
    """The libraries that are not installed."""
    return [name for name in self.libraries if importlib.util.find_spec(name) is None]


FORMATS = {
  known.name: known
  for known in (
    Format(
      'onnx',
      'model.onnx',
      'onnxruntime',
      ('jax2onnx', 'onnx', 'onnxruntime'),
      'pip install --no-deps -r requirements-export.txt',
      onnx_file.write,
      onnx_file.read,
    ),
    Format('stablehlo', 'model.stablehlo', 'JAX', (), _REQUIREMENTS, stablehlo.write, stablehlo.read),
    Format(
      'savedmodel',
      'saved_model',
      'TensorFlow',
      ('tensorflow',),
      _REQUIREMENTS,
      saved_model.write,
      saved_model.read,
    ),
    Format(
      'safetensors',
      'model.safetensors',
      'NumPy and safetensors',
      ('safetensors',),
      _REQUIREMENTS,
      safetensors_file.write,
      safetensors_file.read,
    ),
  )
}


def choose(wanted: Sequence[str]) -> tuple[list[Format], list[str]]:
  """The formats of these names, all that are installed where none is named; and a line for each left out.

  Raises:
    UserError: no such format, or the library of one that was asked for is not installed.
  """
  for name in wanted:
    if name not in FORMATS:
      raise types.UserError(f'--format={name}: no such format; choose among {", ".join(FORMATS)}')
    if FORMATS[name].missing():
      raise types.UserError(f'--format={name}: {_lacking(FORMATS[name])}')
  if wanted:
    return [FORMATS[name] for name in dict.fromkeys(wanted)], []
  found = [known for known in FORMATS.values() if not known.missing()]
  return found, [
    f'left out: {known.name}: {_lacking(known)}' for known in FORMATS.values() if known.missing()
  ]


def _lacking(known: Format) -> str:
  verb = 'is' if len(known.missing()) == 1 else 'are'
  return f'{" and ".join(known.missing())} {verb} not installed; {known.install}'
