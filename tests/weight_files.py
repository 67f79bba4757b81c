"""Small sound files of weights of every kind, and hostile ones."""

from __future__ import annotations

import io
import json
import pathlib
import pickle
import struct
import tempfile
import zipfile
import zlib

import h5py
import numpy as np
import safetensors.numpy

from bloodcell_jax.weights import own

GOLDEN = pathlib.Path(__file__).parent / 'weights' / 'golden'
ARRAYS = {
  'block1_conv1/kernel': np.random.default_rng(0).random((3, 3, 3, 2), np.float32),
  'block1_conv1/bias': np.zeros(2, np.float32),
}


def h5(fill) -> bytes:
  """The HDF5 file that `fill(file)` writes."""
  buffer = io.BytesIO()
  with h5py.File(buffer, 'w') as file:
    fill(file)
  return buffer.getvalue()


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
  """A zip archive of these members."""
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, 'w', compression) as file:
    for name, data in members.items():
      file.writestr(name, data)
  return buffer.getvalue()


def sound() -> dict[str, bytes]:
  """A file of each kind by its suffix."""

  def keras_2(file):
    for name, array in ARRAYS.items():
      layer, weight = name.split('/')
      file[f'{layer}/{layer}/{weight}:0'] = array

  def keras_3(file):
    group = file.create_group('layers/conv2d/vars')
    group.attrs['name'] = 'block1_conv1'
    for i, array in enumerate(ARRAYS.values()):
      group[str(i)] = array

  layer = {'class_name': 'Conv2D', 'config': {'name': 'block1_conv1'}}
  config = json.dumps({'config': {'layers': [layer]}}).encode()
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, 'x.safetensors')
    own.write(path, ARRAYS, own.About({'rescale': 0.5}, ('A', 'B')))
    exported = path.read_bytes()
  torch = {'features.0.weight': ARRAYS['block1_conv1/kernel'].transpose(3, 2, 0, 1).copy()}
  return {
    '.h5': h5(keras_2),
    '.weights.h5': h5(keras_3),
    '.keras': archive({'config.json': config, 'model.weights.h5': h5(keras_3)}),
    'own.safetensors': exported,
    '.safetensors': safetensors.numpy.save(torch),
    '.pth': (GOLDEN / 'torchvision.pth').read_bytes(),
    '.pt': (GOLDEN / 'torchvision_legacy.pth').read_bytes(),
  }


def hostile() -> dict[str, tuple[bytes, str]]:
  """(bytes, suffix) by name: files that ask for memory, for other files, for code, or for a deep stack."""
  good = sound()
  deep, keras = b'[' * 200_000 + b']' * 200_000, {'model.weights.h5': good['.weights.h5']}
  layers = '{"class_name": "A", "config": {"name": "a"}}'
  for _ in range(250):
    layers = f'{{"class_name": "A", "config": {{"name": "a", "layers": [{layers}]}}}}'

  def far(file):
    file['a/b/kernel:0'] = h5py.ExternalLink('/etc/hostname', '/a')
    file['loop'] = h5py.SoftLink('/loop')
    file['a/up'] = file['/']

  def many_groups(file):
    group = file
    for _ in range(3000):
      group = group.create_group('g')
    group['kernel'] = np.zeros(1, np.float32)

  def wide(file):
    for i in range(2000):
      file[f'l{i}/kernel:0'] = np.zeros(0, np.float32)
    file['big/kernel:0'] = np.zeros(0, np.float32)

  header = struct.pack('<Q', 2**63 - 1)
  over = json.dumps(
    {'features.0.weight': {'dtype': 'F32', 'shape': [2**40, 2**40], 'data_offsets': [0, 8]}}
  ).encode()
  metadata = {'class_names': '[' * 200_000, 'pixels': '{}'}
  return {
    'h5 links': (h5(far), '.h5'),
    'h5 deep groups': (h5(many_groups), '.h5'),
    'h5 many layers': (h5(wide), '.h5'),
    'h5 null': (h5(lambda f: f.create_dataset('a/kernel:0', data=h5py.Empty('f4'))), '.h5'),
    'h5 scalar': (h5(lambda f: f.create_dataset('a/kernel:0', data=np.float32(1))), '.h5'),
    'h5 huge': (h5(lambda f: f.create_dataset('a/kernel:0', (2**50,), 'f4', chunks=(2**20,))), '.h5'),
    'h5 missing chunks': (h5(lambda f: f.create_dataset('a/kernel:0', (8,), 'f4', chunks=(4,))), '.h5'),
    'h5 not finite': (h5(lambda f: f.create_dataset('a/kernel:0', data=np.full(3, np.nan, 'f4'))), '.h5'),
    'h5 float128': (h5(lambda f: f.create_dataset('a/kernel:0', data=np.zeros(3, 'g'))), '.h5'),
    'h5 too large for float32': (h5(lambda f: f.create_dataset('a/kernel:0', data=np.full(3, 1e300))), '.h5'),
    'keras deep json': (archive({'config.json': deep, **keras}), '.keras'),
    'keras deep layers': (
      archive({'config.json': layers.encode(), **keras}),
      '.keras',
    ),
    'keras layers no list': (archive({'config.json': b'{"config": {"layers": 3}}', **keras}), '.keras'),
    'keras names no text': (
      archive(
        {'config.json': b'{"config": {"layers": [{"class_name": 3, "config": {"name": []}}]}}', **keras}
      ),
      '.keras',
    ),
    'keras not utf-8': (archive({'config.json': b'\xff\xfe{}', **keras}), '.keras'),
    'keras path': (archive({'../../evil.json': b'{}', 'config.json': b'{}', **keras}), '.keras'),
    'keras bomb': (archive({'config.json': bytes(2**26), **keras}, zipfile.ZIP_DEFLATED), '.keras'),
    'safetensors header': (header + b'{}', '.safetensors'),
    'safetensors shape': (struct.pack('<Q', len(over)) + over + bytes(8), '.safetensors'),
    'own deep json': (safetensors.numpy.save(ARRAYS, metadata), '.safetensors'),
    'own names no list': (
      safetensors.numpy.save(ARRAYS, {'class_names': '3', 'pixels': '{}'}),
      '.safetensors',
    ),
    'own pixels no dict': (
      safetensors.numpy.save(ARRAYS, {'class_names': '[]', 'pixels': '3'}),
      '.safetensors',
    ),
    'safetensors deep': (struct.pack('<Q', len(deep)) + deep, '.safetensors'),
    **{f'pth {name}': (data, '.pth') for name, data in pickles().items()},
  }


def pickles() -> dict[str, bytes]:
  """Pickles that ask for code, memory or a deep stack, in the format that torch wrote before 1.6."""
  head = b''.join(pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, {'little_endian': True}))
  bad = {
    'global': b'cos\nsystem\n(S"true"\ntR.',
    'inst': b'(S"true"\nios\nsystem\n.',
    'stack global': b'\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.',
    'obj': b'(cos\nsystem\nS"true"\no.',
    'newobj': b'\x80\x02cos\nsystem\n)\x81.',
    'build on a function': b'\x80\x02ctorch._utils\n_rebuild_tensor_v2\n}X\x08\x00\x00\x00__code__K\x01sb.',
    'build on a type': b'\x80\x02ccollections\nOrderedDict\n}X\x04\x00\x00\x00keysK\x01sb.',
    'extension': b'\x80\x02\x82\x01.',
    'dotted name': b'\x80\x04\x8c\x0bcollections\x8c\x1fOrderedDict.__init__.__globals__\x93.',
    'buffer': b'\x80\x05\x97.',
    'frame of 2**63': b'\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.',
    'bytes of 2**40': b'\x80\x04\x8e' + struct.pack('<Q', 2**40) + b'.',
    'text of 2**31': b'\x80\x02X\xff\xff\xff\x7f.',
    'bytearray of 2**40': b'\x80\x05\x96' + struct.pack('<Q', 2**40) + b'.',
    'long': b'\x80\x02\x8b' + struct.pack('<i', 2**31 - 1) + b'.',
    'memo': b'\x80\x02Nr\xff\xff\xff\x7f.',
    'deep': b'\x80\x02' + b']' * 100_000 + b'a' * 99_999 + b'.',
    'deep tuple': b'\x80\x02)' + b'\x85' * 1_000_000 + b'.',
    'doubling': b'\x80\x02]q\x00' + b''.join(b'(h\x00h\x00tq\x00' for _ in range(60)) + b'.',
    'dict keyed by itself': b'\x80\x02}q\x00h\x00K\x01s.',
    'array type': b'\x80\x02cnumpy\nndarray\nK\x7f\x85R.',
    'big list of dtype': b'\x80\x02ctorch\nFloatStorage\n.',
    'reduce of dict': b'\x80\x02ccollections\nOrderedDict\nJ\xff\xff\xff\x7f\x85R.',
    'digits': b'I' + b'9' * 100_000 + b'\n.',
    'long digits': b'L' + b'9' * 1_000_000 + b'L\n.',
  }
  return {
    **{f'{name}, first': data for name, data in bad.items()},
    **{name: head + data + pickle.dumps([], 2) for name, data in bad.items()},
  }


def checksum_kept(data: bytes) -> bytes:
  """A zip archive whose stored members have the right CRC again, so that damage within them is looked at."""
  out, at = bytearray(data), 0
  while (at := out.find(b'PK\1\2', at)) >= 0:
    size, offset = (
      int.from_bytes(out[at + 20 : at + 24], 'little'),
      int.from_bytes(out[at + 42 : at + 46], 'little'),
    )
    start = offset + 30 + sum(int.from_bytes(out[offset + k : offset + k + 2], 'little') for k in (26, 28))
    crc = struct.pack('<I', zlib.crc32(out[start : start + size]))
    out[at + 16 : at + 20], out[offset + 14 : offset + 18] = crc, crc
    at += 4
  return bytes(out)
