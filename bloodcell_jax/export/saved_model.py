"""TensorFlow's SavedModel: the traced program in TensorFlow's own operations, and needs only TensorFlow to run."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

import numpy as np

from bloodcell_jax.data import tensorflow_cpu
from bloodcell_jax.export import program, tensorflow_operations, traced


def write(path: pathlib.Path, exported: program.Program) -> None:
  """Writes the folder `path` with the signature `serving_default`; N is symbolic.

  The attribute `class_names` of the loaded object holds the names of the classes.

  Raises:
    UserError: the network has an operation that is not written in this format.
  """
  tf = tensorflow_cpu.load()
  closed = traced.trace(exported)
  module = tf.Module()
  # As variables, so that the weights are stored once, in a file of their own.
  module.weights = {
    name: tf.Variable(array, trainable=False, name=name) for name, array in exported.weights.items()
  }
  module.class_names = tf.Variable(list(exported.class_names), trainable=False, name='class_names')

  def classify(image: tf.Tensor) -> dict[str, tf.Tensor]:
    weights = [module.weights[name] for name in sorted(module.weights)]
    (output,) = tensorflow_operations.run(closed, [*weights, image], tf.shape(image)[0])
    return {program.OUTPUT: output}

  image = tf.TensorSpec((None, *exported.input_shape), tf.uint8, program.INPUT)
  module.classify = tf.function(classify, input_signature=[image], autograph=False)
  tf.saved_model.save(module, str(path), signatures={'serving_default': module.classify})


def read(path: pathlib.Path, exported: program.Program) -> Callable[[np.ndarray], np.ndarray]:
  """The saved model as a function of uint8 images, from the folder alone."""
  del exported
  tf = tensorflow_cpu.load()
  loaded = tf.saved_model.load(str(path))
  classify = loaded.signatures['serving_default']

  def function(image_BHWC: np.ndarray) -> np.ndarray:
    assert loaded is not None, 'keeps the variables alive'
    return classify(**{program.INPUT: tf.constant(image_BHWC)})[program.OUTPUT].numpy()

  return function
