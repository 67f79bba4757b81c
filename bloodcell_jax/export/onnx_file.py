"""ONNX: written from the traced program with ONNX' own helpers, read by onnxruntime."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.export import onnx_graph, onnx_operations, program, traced
from bloodcell_jax.system import atomic

# From 2023, so that runtimes of recent years read them.
OPSET, IR_VERSION = 18, 8
# A protocol buffer, such as an .onnx file with its weights inside, holds at most 2 GiB.
MAX_BYTES = 2**31 - 2**20


def write(path: pathlib.Path, exported: program.Program) -> None:
  """Writes the model with its weights; its metadata hold `class_names` as a JSON list.

  Raises:
    UserError: the file would exceed 2 GiB, as with ZCA fitted on many large images; or the network has an operation
      that is not written in this format.
  """
  size = sum(array.nbytes for array in exported.weights.values())
  if size > MAX_BYTES:
    raise types.UserError(
      f'onnx: the weights take {size / 1e9:.1f} GB, and this format holds at most 2; leave it out with --format'
    )
  atomic.write_bytes(path, build(exported).SerializeToString())


def build(exported: program.Program) -> Any:
  """The program as an ONNX model of any number of images."""
  import onnx
  from onnx import TensorProto, helper, numpy_helper

  weights = [onnx_graph.Constant(array, name) for name, array in sorted(exported.weights.items())]
  graph = onnx_graph.Graph(program.INPUT)
  (output,) = onnx_operations.translate(graph, traced.trace(exported), [*weights, program.INPUT])
  graph.nodes.append(helper.make_node('Identity', [graph.tensor(output)], [program.OUTPUT], program.OUTPUT))
  model = helper.make_model(
    helper.make_graph(
      graph.nodes,
      'bloodcell_jax',
      [helper.make_tensor_value_info(program.INPUT, TensorProto.UINT8, ['N', *exported.input_shape])],
      [helper.make_tensor_value_info(program.OUTPUT, TensorProto.FLOAT, ['N', len(exported.class_names)])],
      [numpy_helper.from_array(np.asarray(array), name) for name, array in graph.initializers.items()],
    ),
    opset_imports=[helper.make_opsetid('', OPSET)],
    ir_version=IR_VERSION,
    producer_name='bloodcell_jax',
  )
  helper.set_model_props(model, {'class_names': json.dumps(list(exported.class_names))})
  onnx.checker.check_model(model, full_check=True)
  return model


def read(path: pathlib.Path, exported: program.Program) -> Callable[[np.ndarray], np.ndarray]:
  """The model as a function of uint8 images, run by onnxruntime on the CPU, from the file alone."""
  del exported
  import onnxruntime

  session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
  return lambda image_BHWC: session.run([program.OUTPUT], {program.INPUT: image_BHWC})[0]
