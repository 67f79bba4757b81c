"""A short Python program for each format that classifies one image file."""

from __future__ import annotations

from bloodcell_jax.data.images import decode

_LOAD = {
  'onnx': """session = onnxruntime.InferenceSession('model.onnx')
names = json.loads(session.get_modelmeta().custom_metadata_map['class_names'])
probabilities = session.run(None, {'image': image[None]})[0][0]""",
  'stablehlo': """names = json.loads(pathlib.Path('model.json').read_text())['class_names']
program = export.deserialize(bytearray(pathlib.Path('model.stablehlo').read_bytes()))
probabilities = np.asarray(program.call(image[None]))[0]""",
  'savedmodel': """model = tf.saved_model.load('saved_model')
names = [name.decode() for name in model.class_names.numpy()]
probabilities = model.classify(tf.constant(image[None]))['probabilities'].numpy()[0]""",
}
_IMPORTS = {
  'onnx': 'import json, sys\nimport numpy as np, onnxruntime\n',
  'stablehlo': 'import json, pathlib, sys\nimport numpy as np\nfrom jax import export\n',
  'savedmodel': 'import sys\nimport numpy as np, tensorflow as tf\n',
}
_READ = """photo = ImageOps.exif_transpose(Image.open(sys.argv[1]))
if photo.mode[0] in 'IF': sys.exit('more than 8 bits a channel: convert the image first')
if photo.has_transparency_data:
  photo = photo.convert('RGBA')  # an alpha that hides every pixel is ignored
  if photo.getextrema()[3][1] > 1: photo = Image.alpha_composite(Image.new('RGBA', photo.size, 'white'), photo)
photo = photo.convert('RGB')
"""
_STRETCH = """values = np.asarray(photo).astype(int)
photo = Image.fromarray((values * 255 // max(1, values.max())).astype(np.uint8))
"""
_TENSORS = """import json
from safetensors import safe_open
with safe_open('model.safetensors', 'numpy') as file:
  print(*json.loads(file.metadata()['class_names']))
  for name in sorted(file.keys()):
    print(name, file.get_slice(name).get_shape())
"""


def source(format_name: str, spec: decode.Spec) -> str:
  """The example, to be run in the exported folder with the path of an image; for safetensors it lists the arrays.

  It decodes as the run does, except for the crop around the nucleus: such a run needs an image that is cropped already,
  and stretched before, since the brightest spot of the photograph may lie outside the crop.
  Greyscale of 16 bits is refused, and colours of 16 bits are cut to 8.
  """
  if format_name == 'safetensors':
    return _TENSORS
  size = spec.image_size
  return ''.join(
    [
      _IMPORTS[format_name],
      'from PIL import Image, ImageOps\n',
      _READ,
      _STRETCH if spec.stretch_brightness and spec.view == 'full' else '',
      f'image = np.asarray(photo.resize(({size}, {size}), Image.Resampling.{spec.interpolation.upper()}))\n',
      f'{_LOAD[format_name]}\n',
      'for name, probability in zip(names, probabilities):\n',
      "  print(f'{name} {probability:.6f}')\n",
    ]
  )
