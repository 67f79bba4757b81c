"""ONNX: written by jax2onnx, read by onnxruntime."""

from __future__ import annotations

import contextlib
import json
import logging
import pathlib
import warnings
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.export import program
from bloodcell_jax.system import atomic

# From 2023, so that runtimes of recent years read it.
OPSET = 18
# A protocol buffer, such as an .onnx file with its weights inside, holds at most 2 GiB.
MAX_BYTES = 2**31 - 2**20


def write(path: pathlib.Path, exported: program.Program) -> None:
  """Writes the model with its weights; its metadata hold `class_names` as a JSON list.

  Raises:
    UserError: the file would exceed 2 GiB, as with ZCA fitted on many large images.
  """
  size = sum(array.nbytes for array in exported.weights.values())
  if size > MAX_BYTES:
    raise types.UserError(
      f'onnx: the weights take {size / 1e9:.1f} GB, and this format holds at most 2; leave it out with --format'
    )
  with _quiet():
    import jax2onnx
    import onnx

    def function(image_BHWC: jax.Array) -> jax.Array:
      return exported.probabilities(exported.weights, image_BHWC)  # type: ignore[arg-type]

    image = jax.ShapeDtypeStruct(('N', *exported.input_shape), jnp.uint8)  # type: ignore[arg-type]
    model = jax2onnx.to_onnx(
      function,
      [image],
      model_name='bloodcell_jax',
      opset=OPSET,
      input_names=[program.INPUT],
      output_names=[program.OUTPUT],
    )
    onnx.helper.set_model_props(model, {'class_names': json.dumps(list(exported.class_names))})
    onnx.checker.check_model(model)
  atomic.write_bytes(path, model.SerializeToString())


def read(path: pathlib.Path, exported: program.Program) -> Callable[[np.ndarray], np.ndarray]:
  """The model as a function of uint8 images, run by onnxruntime on the CPU, from the file alone."""
  del exported
  import onnxruntime

  session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
  return lambda image_BHWC: session.run([program.OUTPUT], {program.INPUT: image_BHWC})[0]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Silences warnings of jax2onnx about optional libraries, which no network of this package needs."""
  loggers = [logging.getLogger(name) for name in ('jax2onnx', 'onnx_ir')]
  before = [logger.level for logger in loggers]
  try:
    for logger in loggers:
      logger.setLevel(logging.CRITICAL)
    with warnings.catch_warnings(action='ignore'):
      yield
  finally:
    for logger, level in zip(loggers, before, strict=True):
      logger.setLevel(level)
