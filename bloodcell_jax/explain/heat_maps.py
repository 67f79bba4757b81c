"""Grad-CAM maps of a classifier for image files, for the review page."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import jax
import numpy as np

from bloodcell_jax.explain import inside
from bloodcell_jax.inference import classifier
from bloodcell_jax.models import layers
from bloodcell_jax.runs import model_set

# Images per batch.
BATCH = 16


class HeatMaps:
  """Grad-CAM of a classifier, compiled once.

  Args:
    loaded: the classifier.
    batch_size: images per batch; smaller batches are padded.

  Raises:
    UserError: a network has no convolution.
  """

  def __init__(self, loaded: classifier.Classifier, batch_size: int):
    size = loaded.job.experiment.data.decode.image_size
    self._networks = loaded.models.networks
    self._probes = [
      inside.Probe(each.job.model, each.params, (size, size, 3), layers.MAPS, batch_size)
      for each in self._networks
    ]

  def draw(self, image_BHWC: np.ndarray) -> np.ndarray:
    """[B, h, w], 0 to 1: the mean over the networks of the map of each for the class that it predicts.

    Args:
      image_BHWC: uint8, as decoded.
    """
    return _mean_heats(self._networks, self._probes, image_BHWC)


def heats(
  loaded: classifier.Classifier, images: Iterable[np.ndarray | None]
) -> Iterator[tuple[np.ndarray | None, np.ndarray | None]]:
  """Each image with its Grad-CAM map [h, w], 0 to 1, for its predicted class; (None, None) for a missing image.

  Args:
    loaded: the classifier.
    images: uint8, as decoded; consumed in batches.

  Raises:
    signals.Stopped: a stop was requested.
  """
  drawn = HeatMaps(loaded, BATCH)
  for batch in _batched(images):
    loaded.job.poll()
    present = [image_HWC for image_HWC in batch if image_HWC is not None]
    maps = iter(drawn.draw(np.stack(present)) if present else ())
    for image_HWC in batch:
      if image_HWC is None:
        yield None, None
      else:
        yield image_HWC, next(maps)


def _mean_heats(
  networks: Sequence[model_set.Network], probes: Sequence[inside.Probe], image_BHWC: np.ndarray
) -> np.ndarray:
  maps = []
  for network, probe in zip(networks, probes, strict=True):
    heats = probe.heats(network.params, network.job.standardize(image_BHWC))
    positive_BHW = np.maximum(heats, 0)
    maps.append(positive_BHW / np.maximum(positive_BHW.max((1, 2), keepdims=True), 1e-9))
  return _scaled(maps)


def _scaled(maps: Sequence[np.ndarray]) -> np.ndarray:
  # Maps of networks of different depth differ in size; all are resized to that of the first.
  height, width = maps[0].shape[1:]
  sized = [m if m.shape == maps[0].shape else _resized(m, height, width) for m in maps]
  mean_BHW = np.mean(sized, axis=0)
  return mean_BHW / np.maximum(mean_BHW.max((1, 2), keepdims=True), 1e-9)


def _resized(map_BHW: np.ndarray, height: int, width: int) -> np.ndarray:
  return np.asarray(jax.image.resize(map_BHW, (len(map_BHW), height, width), 'bilinear'))


def _batched(images: Iterable[np.ndarray | None]) -> Iterator[list[np.ndarray | None]]:
  iterator = iter(images)
  while batch := list(itertools.islice(iterator, BATCH)):
    yield batch
