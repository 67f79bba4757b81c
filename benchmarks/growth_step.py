"""A step of a network of any image side, batch, width and number of classes: its time and what it takes of memory."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import contestants, machine, step_cases


@dataclasses.dataclass(frozen=True)
class Case:
  """A step: a training step of CNN B, or VGG16's blocks 1 to 4 forward."""

  model: str  # cnn_b or vgg16_forward
  side: int  # of the images, pixels
  batch_size: int
  width: float  # factor of the number of filters of every convolution; 1 for the network as it is
  classes: int

  @property
  def shape(self) -> step_cases.Case:
    """The layers, for what depends on their shapes."""
    known = step_cases.CASES[self.model]
    blocks = tuple((num, round(self.width * filters)) for num, filters in known.blocks)
    return dataclasses.replace(
      known, blocks=blocks, input_shape=(self.side, self.side, 3), batch_size=self.batch_size
    )

  @property
  def gflop(self) -> float:
    """Floating-point operations of the step / 1e9, with four classes."""
    return step_cases.gflop(self.shape)


def timed(case: Case) -> Callable[[int], dict[str, Any]]:
  """A function from a number of steps to their milliseconds, with the memory of a step and of this process."""
  step, step_bytes, parameters = _forward(case) if case.shape.forward_only else _training(case)

  def run(steps: int) -> dict[str, Any]:
    milliseconds = []
    for _ in range(steps):
      began = time.perf_counter()
      step()
      milliseconds.append(1e3 * (time.perf_counter() - began))
    return {
      'ms': milliseconds,
      'step_mb': step_bytes / 1e6,
      'resident_mb': machine.own_peak_mb(),
      'parameters': parameters,
    }

  return run


def _training(case: Case) -> tuple[Callable[[], Any], int, int]:
  """(the step, bytes that it takes on the device by its compiled program, parameters of the output layer)."""
  from bloodcell_jax.system import process

  process.set_up()
  from bloodcell_jax.base import rng, tree, types
  from bloodcell_jax.models import cnn, zoo
  from bloodcell_jax.train import devices, precision
  from bloodcell_jax.train import state as state_lib

  shape = case.shape
  image_BHWC, _ = step_cases.batch(shape)
  positions = np.arange(case.batch_size, dtype=np.int32)
  target_BK = np.eye(case.classes, dtype=np.float32)[positions % case.classes]
  spec = zoo.Spec(case.model, shape.dropout_rate, 'flatten', 256, 3, 1, False)
  options = zoo.options(spec, case.classes, np.float32, 'compiled')
  filters = tuple(number for _, number in shape.blocks)
  model = cnn.build(filters, ((3, 3),) * len(filters), shape.units, shape.dropout_at, options)
  params = zoo.init(model, case.side, 0)
  on = devices.devices(0, 'pmap')
  update, tx = contestants.update(model.clone(dtype=precision.dtype('auto', on.platform)), params, 0)
  inputs = types.Batch(image_BHWC, target_BK, np.ones(case.batch_size, np.float32), positions)
  state, key = [state_lib.create(params, tx, False, 0)], rng.key(0, 'dropout')
  step_bytes = devices.needed_bytes(update, on, state[0], inputs, key, np.float32(1))
  output = spec.network.output_layer
  parameters = sum(int(leaf.size) for name, leaf in tree.names(params).items() if name.startswith(output))
  train_step = devices.make_train(update, on)

  def step() -> float:
    state[0], report = train_step(state[0], inputs, key, np.float32(1))
    return float(report.loss)

  return step, step_bytes, parameters


def _forward(case: Case) -> tuple[Callable[[], Any], int, int]:
  """As `_training`, for the feature map of the last block, which has no output layer."""
  from bloodcell_jax.system import process

  process.set_up()
  import jax

  from bloodcell_jax.base import types
  from bloodcell_jax.models import vgg16, zoo
  from bloodcell_jax.train import devices

  shape = case.shape
  image_BHWC, target_BK = step_cases.batch(shape)
  positions = np.arange(case.batch_size, dtype=np.int32)
  model = vgg16.VGG16(
    'flatten', 256, 0.0, step_cases.CLASSES, 1, len(shape.blocks), 1, np.float32, 'compiled'
  )
  params, on = zoo.init(model, case.side, 0), devices.devices(0, 'jit')
  inputs = types.Batch(image_BHWC, target_BK, np.ones(case.batch_size, np.float32), positions)

  def features(params: Any, batch: types.Batch) -> Any:
    return model.apply({'params': params}, batch.image_BHWC, method='features')

  stats = jax.jit(features).lower(params, inputs).compile().memory_analysis()
  assert stats is not None, 'CPUs and GPUs have it'
  step_bytes = stats.argument_size_in_bytes + stats.output_size_in_bytes + stats.temp_size_in_bytes
  apply = devices.make_apply(features, on)
  return lambda: apply(params, inputs), step_bytes, 0
