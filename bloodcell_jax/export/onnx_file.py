"""ONNX through jax2onnx, read by onnxruntime."""

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

# Of 2023, so that runtimes of the last years read it.
OPSET = 18
# Protocol buffers end here, and an .onnx file of ours is one of them.
MOST_BYTES = 2**31 - 2**20


def write(path: pathlib.Path, exported: program.Program) -> None:
  """Puts the model at `path`, weights inside; its metadata have `class_names`, a JSON list.

  Raises:
    UserError: it would have two gigabytes or more, as ZCA of many large images has.
  """
  size = sum(array.nbytes for array in exported.weights.values())
  if size > MOST_BYTES:
    raise types.UserError(
      f'onnx: the weights have {size / 1e9:.1f} GB and a file of this format under 2; leave it out with --format'
    )
  with _quiet():
    import jax2onnx
    import onnx

    def function(image_BHWC: jax.Array) -> jax.Array:
      return exported.probabilities(exported.weights, image_BHWC)  # type: ignore[arg-type]

    image = jax.ShapeDtypeStruct(('N', *exported.input_shape), jnp.uint8)  # type: ignore[arg-type]
    made = jax2onnx.to_onnx(
      function,
      [image],
      model_name='bloodcell_jax',
      opset=OPSET,
      input_names=[program.INPUT],
      output_names=[program.OUTPUT],
    )
    onnx.helper.set_model_props(made, {'class_names': json.dumps(list(exported.class_names))})
    onnx.checker.check_model(made)
  atomic.write_bytes(path, made.SerializeToString())


def read(path: pathlib.Path, exported: program.Program) -> Callable[[np.ndarray], np.ndarray]:
  """The model as a function of uint8 images, by onnxruntime on the CPU, from the file alone."""
  del exported
  import onnxruntime

  session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
  return lambda image_BHWC: session.run([program.OUTPUT], {program.INPUT: image_BHWC})[0]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Without the notes on parts of jax2onnx whose libraries are missing; no network of ours needs them."""
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
