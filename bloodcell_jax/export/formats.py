"""The formats by name: required libraries, file, and functions to write and read it."""

from __future__ import annotations

import dataclasses
import importlib.util
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.export import onnx_file, program, safetensors_file, saved_model, stablehlo

_REQUIREMENTS = 'pip install -r requirements.txt'
# The extra `onnx`.
_ONNX = 'pip install "onnx>=1.20.1,<2" "onnxruntime>=1.24.1,<2"'


@dataclasses.dataclass(frozen=True)
class Format:
  """A file format of exported programs."""

  name: str
  file: str  # within the exported folder; a folder itself for savedmodel
  runs_on: str  # for people
  libraries: tuple[str, ...]  # required, by the names they are imported by
  install: str  # the command that installs them
  write: Callable[[pathlib.Path, program.Program], None]
  read: Callable[[pathlib.Path, program.Program], Callable[[np.ndarray], np.ndarray]]

  def missing(self) -> list[str]:
    """The required libraries that are not installed."""
    return [name for name in self.libraries if importlib.util.find_spec(name) is None]


FORMATS = {
  fmt.name: fmt
  for fmt in (
    Format(
      'onnx',
      'model.onnx',
      'onnxruntime',
      ('onnx', 'onnxruntime'),
      _ONNX,
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
  """The formats of these names, or all whose libraries are installed if none is named.

  Returns:
    formats: the formats to write.
    notes: a line for each format that is left out for want of a library.

  Raises:
    UserError: there is no such format, or its libraries are not installed.
  """
  for name in wanted:
    if name not in FORMATS:
      raise types.UserError(f'--format={name}: no such format; choose among {", ".join(FORMATS)}')
    if FORMATS[name].missing():
      raise types.UserError(f'--format={name}: {_missing_note(FORMATS[name])}')
  if wanted:
    return [FORMATS[name] for name in dict.fromkeys(wanted)], []
  return [fmt for fmt in FORMATS.values() if not fmt.missing()], [
    f'left out: {fmt.name}: {_missing_note(fmt)}' for fmt in FORMATS.values() if fmt.missing()
  ]


def _missing_note(fmt: Format) -> str:
  verb = 'is' if len(fmt.missing()) == 1 else 'are'
  return f'{" and ".join(fmt.missing())} {verb} not installed; {fmt.install}'
