"""One training step of each network in each framework: the same computation on the same batch.

Each runs in its own process, because a process has one Keras backend and one configuration of the allocator.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.step_cases import CASES, CLASSES, batch


def bloodcell_jax(name: str) -> Callable[[], float]:
  """This project's step, exactly as in a run: images from the host, the loss read after each."""
  step = ours(name, 'pmap', is_placed=False, dtype='auto')
  return lambda: float(step())


def ours(name: str, parallel: str, is_placed: bool, dtype: str) -> Callable[[], Any]:
  """This project's step, which returns its loss, or a part of the map of `forward_only`, without waiting for it.

  Args:
    name: of `CASES`.
    parallel: one of `devices.PARALLEL`.
    is_placed: the batch lies on the device beforehand (with 'jit' alone).
    dtype: `train.dtype`; a forward pass alone computes in float32, as in a run.
  """
  from bloodcell_jax.system import process

  process.set_up()
  import jax
  from flax import linen as nn

  from bloodcell_jax.base import rng, types
  from bloodcell_jax.models import vgg16, zoo
  from bloodcell_jax.train import devices, precision
  from bloodcell_jax.train import state as state_lib

  case = CASES[name]
  image_BHWC, target_BK = batch(case)
  positions = np.arange(case.batch_size, dtype=np.int32)
  if name.startswith('vgg16'):
    last = len(case.blocks) + case.first_block - 1
    model: nn.Module = vgg16.VGG16(
      'flatten', 256, case.dropout_rate, CLASSES, case.first_block, last, 1, np.float32, 'compiled'
    )
  else:
    spec = zoo.Spec(name, case.dropout_rate, 'flatten', 256, 3, 1, False)
    model = zoo.build(spec, CLASSES, np.float32, 'compiled')
  create = jax.jit(lambda key: model.init(key, image_BHWC[:1], positions[:1], False)['params'])
  params = create(rng.key(0, 'init'))
  inputs = types.Batch(image_BHWC, target_BK, np.ones(case.batch_size, np.float32), positions)
  if case.forward_only:
    apply = devices.make_apply(
      lambda params, inputs: model.apply({'params': params}, inputs.image_BHWC, method='features'),
      devices.devices(0, parallel),
    )
    return lambda: apply(params, inputs)[0, 0, 0, 0]
  on = devices.devices(0, parallel)
  mapped, tx = update(model.clone(dtype=precision.dtype(dtype, on.platform)), params, case.num_frozen)
  train_step = devices.make_train(mapped, on)
  key, state = rng.key(0, 'dropout'), [state_lib.create(params, tx, False, 0)]
  if is_placed:
    rows = jax.sharding.NamedSharding(on.mesh, jax.sharding.PartitionSpec(devices.AXIS))
    inputs = jax.device_put(inputs, rows)

  def run() -> Any:
    state[0], report = train_step(state[0], inputs, key, np.float32(1))
    return report.loss

  return run


def update(model: Any, params: Any, num_frozen: int) -> tuple[Callable[..., Any], Any]:
  """The step to be mapped over devices, by RMSprop, and its optimizer."""
  from bloodcell_jax.optim import keras, staged
  from bloodcell_jax.train import devices, step

  optimizer = keras.Spec('rmsprop', 1e-3, 0.0, 0.9, 0.0, False, 0.9, 0.999, 1e-7, 0.0, 0.0, 0.0)
  trainable = staged.Spec((rf'(?!block[1-{num_frozen}]_).*' if num_frozen else '.*',), (), optimizer)

  def apply(params, image_BHWC, position_B, key):
    return model.apply({'params': params}, image_BHWC, position_B, True, rngs={'dropout': key})

  tx, is_trained = staged.build(trainable, params), staged.trainable(trainable, params)
  return step.make(apply, step.softmax(0.0, 0.0), tx, 0.0, is_trained, devices.AXIS), tx


def members(name: str, num: int, how: str) -> Callable[[], float]:
  """A step of `num` members in one program, each with its own weights and images; `how` as in `devices.MEMBERS`."""
  from bloodcell_jax.system import process

  process.set_up()
  import jax
  import jax.numpy as jnp

  from bloodcell_jax.base import rng, types
  from bloodcell_jax.models import zoo
  from bloodcell_jax.train import devices, precision
  from bloodcell_jax.train import state as state_lib

  case = CASES[name]
  image_BHWC, target_BK = batch(case)
  positions = np.arange(case.batch_size, dtype=np.int32)
  spec = zoo.Spec(name, case.dropout_rate, 'flatten', 256, 3, 1, False)
  model = zoo.build(spec, CLASSES, np.float32, 'compiled')
  params_M = [zoo.init(model, case.input_shape[0], seed) for seed in range(num)]
  on = devices.devices(0, 'pmap')
  mapped, tx = update(model.clone(dtype=precision.dtype('auto', on.platform)), params_M[0], 0)
  states = [state_lib.create(params, tx, False, 0) for params in params_M]
  state_M = [jax.tree.map(lambda *leaf_M: jnp.stack(leaf_M), *states)]
  inputs = types.Batch(image_BHWC, target_BK, np.ones(case.batch_size, np.float32), positions)
  # A batch per member, prepared before timing as in the pipeline; stacking them is timed, because a run has to do it.
  batches = [
    types.Batch(np.roll(image_BHWC, m, 0), np.roll(target_BK, m, 0), inputs.weight_B, inputs.position_B)
    for m in range(num)
  ]
  key_M = jnp.stack([rng.key(seed, 'dropout') for seed in range(num)])
  train_step = devices.make_train_members(mapped, on, how)

  def run() -> float:
    batch_M = jax.tree.map(lambda *leaf_M: np.stack(leaf_M), *batches)
    state_M[0], report_M = train_step(state_M[0], batch_M, key_M, np.ones(num, np.float32))
    return float(np.asarray(report_M.loss)[0])

  return run


def keras_model(name: str) -> Any:
  """The compiled Keras model, on the backend of the environment variable."""
  import keras
  from keras import layers

  case = CASES[name]
  stack: list = [keras.Input(case.input_shape)]
  for block, (num_convs, filters) in enumerate(case.blocks):
    for _ in range(num_convs):
      conv = layers.Conv2D(filters, 3, padding=case.padding, activation='relu')
      conv.trainable = block >= case.num_frozen
      stack.append(conv)
    stack.append(layers.MaxPooling2D())
  if case.forward_only:
    return keras.Sequential(stack)
  stack.append(layers.Flatten())
  for i, units in enumerate((*case.units, CLASSES)):
    if i == case.dropout_at:
      stack.append(layers.Dropout(case.dropout_rate))
    stack.append(layers.Dense(units, activation='softmax' if units == CLASSES else 'relu'))
  model = keras.Sequential(stack)
  model.compile(keras.optimizers.RMSprop(1e-3), 'categorical_crossentropy', metrics=['accuracy'])
  return model


def keras_on(backend: str, name: str) -> Callable[[], float]:
  """Keras 3 on this backend, as `fit` and `predict` run it; on JAX with this project's settings of the process."""
  if backend == 'jax':
    from bloodcell_jax.system import process

    process.set_up()
  os.environ['KERAS_BACKEND'] = backend
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  model = keras_model(name)
  image_BHWC, target_BK = batch(CASES[name])
  if CASES[name].forward_only:
    return lambda: float(model.predict_on_batch(image_BHWC)[0, 0, 0, 0])
  return lambda: float(model.train_on_batch(image_BHWC, target_BK)[0])


def pytorch(name: str, is_compiled: bool) -> Callable[[], float]:
  """PyTorch in channels_last on the CPU, all cores; as it is, or by `torch.compile`."""
  step = torch_step(name, 'cpu', is_placed=True, is_compiled=is_compiled, is_half=False)
  return lambda: step().item()


def torch_step(
  name: str, device: str, is_placed: bool, is_compiled: bool, is_half: bool
) -> Callable[[], Any]:
  """PyTorch's step in channels_last, which returns its loss without waiting for it.

  Args:
    name: of `CASES`.
    device: 'cpu' or 'cuda'.
    is_placed: the batch lies on the device beforehand.
    is_compiled: by `torch.compile`, on a GPU with one launch for all of its kernels (CUDA graphs).
    is_half: convolutions and products in bfloat16, by `torch.autocast`.
  """
  import torch
  from torch import nn

  torch.set_num_threads(os.cpu_count() or 1)
  mode = 'reduce-overhead' if device == 'cuda' else 'default'
  case = CASES[name]
  stack: list[nn.Module] = []
  side, _, channels = case.input_shape
  for block, (num_convs, filters) in enumerate(case.blocks):
    for _ in range(num_convs):
      conv = nn.Conv2d(channels, filters, 3, padding=case.padding)
      conv.requires_grad_(block >= case.num_frozen)
      stack += [conv, nn.ReLU()]
      side, channels = side - 2 * (case.padding == 'valid'), filters
    stack.append(nn.MaxPool2d(2))
    side //= 2
  image_BHWC, target_BK = batch(case)
  # A view: these strides are channels_last.
  image = torch.from_numpy(image_BHWC).permute(0, 3, 1, 2).to(device if is_placed else 'cpu')
  if case.forward_only:
    base = nn.Sequential(*stack).to(device, memory_format=torch.channels_last).eval()
    apply = torch.compile(base, mode=mode) if is_compiled else base

    def forward() -> Any:
      with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=is_half):
        return apply(image.to(device))[0, 0, 0, 0]

    return forward
  stack.append(nn.Flatten())
  width = side * side * channels
  for i, units in enumerate((*case.units, CLASSES)):
    if i == case.dropout_at:
      stack.append(nn.Dropout(case.dropout_rate))
    stack += [nn.Linear(width, units), *([nn.ReLU()] if units != CLASSES else [])]
    width = units
  model = nn.Sequential(*stack).to(device, memory_format=torch.channels_last)
  network = torch.compile(model, mode=mode) if is_compiled else model
  trained = [p for p in model.parameters() if p.requires_grad]
  optimizer = torch.optim.RMSprop(trained, 1e-3, alpha=0.9, eps=1e-7)
  target = torch.from_numpy(target_BK).to(device)

  def run() -> Any:
    optimizer.zero_grad()
    with torch.autocast(device, torch.bfloat16, enabled=is_half):
      loss = nn.functional.cross_entropy(network(image.to(device)), target)
    loss.backward()
    optimizer.step()
    return loss.detach()

  return run


WHO: dict[str, Callable[[str], Callable[[], float]]] = {
  'bloodcell_jax': bloodcell_jax,
  'keras_tensorflow': lambda name: keras_on('tensorflow', name),
  'keras_jax': lambda name: keras_on('jax', name),
  'pytorch': lambda name: pytorch(name, False),
  'pytorch_compile': lambda name: pytorch(name, True),
}
