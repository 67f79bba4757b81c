"""Networks of torchvision, from torch's own files or from safetensors, without torch."""

from __future__ import annotations

import collections
import os
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.weights import archive, published, unpickle

# torch's names of weights to Keras', of a layer and of a batch normalization; empty for what nobody reads.
WEIGHTS = {'weight': 'kernel', 'bias': 'bias'}
NORM_WEIGHTS = {
  'weight': 'gamma',
  'bias': 'beta',
  'running_mean': 'moving_mean',
  'running_var': 'moving_variance',
  'num_batches_tracked': '',
}
STORAGES = {'Float': '<f4', 'Double': '<f8', 'Half': '<f2', 'Long': '<i8'}
# Source: torch/serialization.py, `MAGIC_NUMBER` and `PROTOCOL_VERSION` of the format before 1.6, in which torchvision
# publishes its older networks to this day.
MAGIC_NUMBER, PROTOCOL_VERSION = 0x1950A86A20F9469CFC6C, 1001
Storage = Callable[[str, np.dtype, int], Any]  # (key, dtype, number of items) to the items


def read_pth(path: str | os.PathLike[str], record: published.Weights) -> dict[str, np.ndarray]:
  """The weights in a state dict written by `torch.save`, new format or old, under Keras' names and axes."""
  if zipfile.is_zipfile(path):
    with archive.opened(path) as file:
      return named(_read_zip(file, str(path)), record, str(path))
  with open(path, 'rb') as file_:
    return named(_read_legacy(file_, str(path)), record, str(path))


def read_safetensors(path: str | os.PathLike[str], record: published.Weights) -> dict[str, np.ndarray]:
  """The same weights in a safetensors file, under Keras' names and axes."""
  import safetensors.numpy

  try:
    return named(safetensors.numpy.load_file(path), record, str(path))
  except (safetensors.SafetensorError, KeyError, OSError) as error:
    raise types.UserError(f'{path}: not a safetensors file, or damaged or cut short ({error})') from None


def named(tensors: Any, record: published.Weights, where: str) -> dict[str, np.ndarray]:
  """The tensors of a state dict under Keras' names, OIHW as HWIO, matrices transposed.

  Args:
    tensors: by torch's names.
    record: of the network whose names they are.
    where: the file's name in errors.

  Raises:
    UserError: something in it is not that network's.
  """
  if not isinstance(tensors, Mapping) or not all(isinstance(t, np.ndarray) for t in tensors.values()):
    raise types.UserError(f'{where}: not a state dict of tensors; save model.state_dict()')
  norms = {norm.name for norm in record.norms}
  renamed: dict[str, np.ndarray] = {}
  for name, tensor in tensors.items():
    torch_layer, _, weight = str(name).rpartition('.')
    layer = record.layers.get(torch_layer)
    names = NORM_WEIGHTS if layer in norms else WEIGHTS
    if layer is None or weight not in names:
      raise types.UserError(
        f"{where}: {str(name)[:80]!r} is not a weight of torchvision's {record.architecture}"
      )
    if not (keras_name := names[weight]):
      continue
    if keras_name != 'kernel':
      renamed[f'{layer}/{keras_name}'] = tensor
    elif tensor.ndim != (2 if layer in record.head else 4):
      raise types.UserError(f'{where}: {name} has {tensor.ndim} axes')
    else:
      kernel = _kernel(tensor, record.flattened.get(layer), f'{where}: {name}')
      renamed[f'{layer}/kernel'] = np.ascontiguousarray(kernel)
  if not renamed:
    raise types.UserError(f'{where}: holds no weights')
  return renamed


def _kernel(tensor: np.ndarray, flattened: tuple[int, int] | None, what: str) -> np.ndarray:
  """A kernel with Keras' axes; `flattened` is the map that a dense layer reads, whose channels torch puts first."""
  if tensor.ndim == 4:
    return tensor.transpose(2, 3, 1, 0)
  if flattened is None:
    return tensor.T
  height, width = flattened
  if tensor.shape[1] % (height * width):
    raise types.UserError(f'{what} has {tensor.shape[1]} columns, no multiple of {height} x {width}')
  return tensor.reshape(len(tensor), -1, height, width).transpose(2, 3, 1, 0).reshape(-1, len(tensor))


def _read_zip(file: zipfile.ZipFile, where: str) -> Any:
  pickles = [name for name in file.namelist() if name.endswith('/data.pkl')]
  if len(pickles) != 1:
    raise types.UserError(f'{where}: not a file written by torch.save: it has no data.pkl')
  root = pickles[0].removesuffix('data.pkl')
  if f'{root}byteorder' in file.namelist() and file.read(f'{root}byteorder') != b'little':
    raise types.UserError(f'{where}: written on a big-endian machine, which is not supported')

  def storage(key: str, dtype: np.dtype, num: int) -> np.ndarray:
    data = file.read(f'{root}data/{key}')
    if len(data) != num * dtype.itemsize:
      raise types.UserError(
        f'{where}: tensor data {key} has {len(data):,} bytes, not {num * dtype.itemsize:,}'
      )
    return np.frombuffer(data, dtype)

  with file.open(pickles[0]) as pickled:
    return unpickle.load(pickled, where, _admitted(where), _persistent(storage, where))  # type: ignore[arg-type]


def _read_legacy(file: BinaryIO, where: str) -> Any:
  if unpickle.load(file, where, {}) != MAGIC_NUMBER or unpickle.load(file, where, {}) != PROTOCOL_VERSION:
    raise types.UserError(f'{where}: not a file written by torch.save')
  system = unpickle.load(file, where, {})
  if not isinstance(system, dict) or system.get('little_endian') is not True:
    raise types.UserError(f'{where}: written on a big-endian machine, which is not supported')
  # The tensors come before their data, so they are read twice: the first time to learn what data there is.
  start = file.tell()
  kinds: dict[str, tuple[np.dtype, int]] = {}

  def note(key: str, dtype: np.dtype, num: int) -> None:
    kinds[key] = (dtype, num)

  no_tensors = {**_admitted(where), 'torch._utils._rebuild_tensor_v2': lambda *_: None}
  unpickle.load(file, where, no_tensors, _persistent(note, where))
  data = _legacy_data(file, kinds, where)
  file.seek(start)
  return unpickle.load(file, where, _admitted(where), _persistent(lambda key, *_: data[key], where))


def _legacy_data(
  file: BinaryIO, kinds: Mapping[str, tuple[np.dtype, int]], where: str
) -> dict[str, np.ndarray]:
  keys = unpickle.load(file, where, {})
  if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or set(keys) != set(kinds):
    raise types.UserError(f'{where}: its tensors and their data do not match')
  data: dict[str, np.ndarray] = {}
  left = os.fstat(file.fileno()).st_size - file.tell()
  for key in keys:
    dtype, num = kinds[key]
    left -= 8 + num * dtype.itemsize
    if left < 0 or struct.unpack('<q', file.read(8))[0] != num:
      raise types.UserError(f'{where}: cut short or damaged, the data of tensor {key[:80]!r} is not whole')
    data[key] = np.frombuffer(file.read(num * dtype.itemsize), dtype)
  return data


def _admitted(where: str) -> dict[str, Any]:
  # Made anew for each file, so that nothing a pickle does to them outlives it.
  def tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> np.ndarray:
    numbers = [offset, *shape, *stride]
    if not all(isinstance(n, int) and n >= 0 for n in numbers) or len(shape) != len(stride):
      raise types.UserError(f'{where}: a tensor has no proper shape')
    size = int(np.prod(shape, dtype=object))
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
    if size > len(storage) or (size and last >= len(storage)):
      raise types.UserError(f'{where}: a tensor reaches beyond its data')
    steps = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)

  return {
    'collections.OrderedDict': collections.OrderedDict,
    'torch._utils._rebuild_tensor_v2': tensor,
    'torch._utils._rebuild_parameter': lambda data, *_: data,
    **{f'torch.{kind}Storage': np.dtype(dtype) for kind, dtype in STORAGES.items()},
  }


def _persistent(storage: Storage, where: str) -> Callable[[Any], Any]:
  known: dict[str, Any] = {}

  def load(pid: Any) -> Any:
    # ('storage', type, key, device, number of items), and in the old format a view, which state dicts do not have.
    try:
      (kind, dtype, key, _, num), rest = pid[:5], pid[5:]
      is_sound = (
        kind == 'storage'
        and isinstance(dtype, np.dtype)
        and isinstance(key, str)
        and isinstance(num, int)
        and num >= 0
      )
    except (TypeError, ValueError):
      is_sound, rest = False, ()
    if not is_sound or any(view is not None for view in rest):
      raise types.UserError(f'{where}: a tensor refers to its data in an unknown way')
    if key not in known:
      known[key] = storage(key, dtype, num)
    return known[key]

  return load
