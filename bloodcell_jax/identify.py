"""Image files through a classifier: every one predicted once, however often the work is cut short."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import jax
import numpy as np

from bloodcell_jax import classifier, committee, journal, tree, types
from bloodcell_jax.data import decode, feature_cache, inputs
from bloodcell_jax.explain import inside
from bloodcell_jax.models import layers

# Images whose heat maps are made at once.
BATCH = 16


@dataclasses.dataclass(frozen=True)
class Identified:
  """What the network says of some image files."""

  file: tuple[str, ...]  # N, as shown to people
  path: tuple[str, ...]  # N
  digest: tuple[str, ...]  # N: `sha256_16` of the bytes
  probs_NK: np.ndarray  # as the network gives them
  problems: list[types.Problem]  # files that could not be used


def fingerprint(loaded: classifier.Classifier, spec: decode.Spec) -> str:
  """16 hex digits that change with anything that decides what is predicted for given bytes."""
  networks, rule = loaded.committee.networks, loaded.committee.combination
  learned = [network.made.statistics for network in networks]
  return feature_cache.key(
    weights=' '.join(tree.fingerprint(network.params) for network in networks),
    combination=f'{rule.kind} {tree.fingerprint(dict(rule.arrays))}',
    views=loaded.made.experiment.views,
    decoding=repr(dataclasses.replace(spec, cache='memory')),
    standardize=repr(loaded.made.transform.standardize),
    statistics=repr([each and [each.mean_C, each.std_C] for each in learned]),
    class_names=' '.join(loaded.class_names),
  )


def run(
  loaded: classifier.Classifier,
  found: Sequence[inputs.Input],
  spec: decode.Spec,
  known: journal.Journal,
  on_progress: Callable[[int, int], None],
) -> Identified:
  """The predictions for the files, those that the journal knows taken from there.

  Two files of the same bytes are predicted once. Memory grows by a few numbers a file, not by images.

  Args:
    loaded: the classifier.
    found: the files.
    spec: how they are decoded.
    known: what has been predicted before; gets the rest batch by batch.
    on_progress: called with (files done, files in all).

  Raises:
    signals.Stopped: a stop was asked for; what is predicted is in the journal.
    UserError: none of the files can be used.
  """
  size = loaded.made.experiment.evaluate_batch_size
  kept: list[tuple[inputs.Input, str]] = []
  problems: list[types.Problem] = []
  batch: dict[str, np.ndarray] = {}
  images = decode.each((one.path for one in found), spec, lambda digest: digest not in known.known)
  for i, (one, (digest, image)) in enumerate(zip(found, images, strict=True)):
    loaded.made.poll()
    if isinstance(image, decode.DecodeError):
      problems.append(types.Problem(one.shown, str(image)))
    else:
      kept.append((one, digest))
      if image is not None and digest not in known.known:
        batch[digest] = image
    if len(batch) == size or (batch and i + 1 == len(found)):
      known.add(batch, loaded.probabilities(np.stack(list(batch.values()))))
      batch = {}
    on_progress(i + 1, len(found))
  if not kept:
    raise types.UserError(f'none of the {len(found)} files can be used; the first: {problems[0]}')
  digests = tuple(digest for _, digest in kept)
  return Identified(
    tuple(one.shown for one, _ in kept),
    tuple(one.path for one, _ in kept),
    digests,
    np.stack([known.known[digest] for digest in digests]),
    problems,
  )


def heats(
  loaded: classifier.Classifier, images: Iterable[np.ndarray | None]
) -> Iterator[tuple[np.ndarray | None, np.ndarray | None]]:
  """Each image with its Grad-CAM map [h, w], 0 to 1, for its likeliest class; (None, None) where one is missing.

  Args:
    loaded: the classifier.
    images: uint8, as `decode` gives them; they are taken in batches.

  Raises:
    signals.Stopped: a stop was asked for.
  """
  made = loaded.made
  size = made.experiment.data.decode.image_size
  networks = loaded.committee.networks
  seen = [
    inside.Inside(each.made.model, each.params, (size, size, 3), layers.MAPS, BATCH) for each in networks
  ]
  for batch in _batched(images):
    made.poll()
    there = [image_HWC for image_HWC in batch if image_HWC is not None]
    maps = iter(_mean_heats(networks, seen, np.stack(there)) if there else ())
    for image_HWC in batch:
      if image_HWC is None:
        yield None, None
      else:
        yield image_HWC, next(maps)


def _mean_heats(
  networks: Sequence[committee.Network], seen: Sequence[inside.Inside], image_BHWC: np.ndarray
) -> np.ndarray:
  """[B, h, w], 0 to 1: the mean over the networks of each one's map for the class that is likeliest to it."""
  maps = []
  for network, own in zip(networks, seen, strict=True):
    heats = own.heats(network.params, network.made.standardize(image_BHWC))
    positive_BHW = np.maximum(heats, 0)
    maps.append(positive_BHW / np.maximum(positive_BHW.max((1, 2), keepdims=True), 1e-9))
  return _scaled(maps)


def _scaled(maps: Sequence[np.ndarray]) -> np.ndarray:
  # Maps of networks of different depth differ in size: the first one's size is as good as any.
  height, width = maps[0].shape[1:]
  sized = [m if m.shape == maps[0].shape else _resized(m, height, width) for m in maps]
  mean_BHW = np.mean(sized, axis=0)
  return mean_BHW / np.maximum(mean_BHW.max((1, 2), keepdims=True), 1e-9)


def _resized(map_BHW: np.ndarray, height: int, width: int) -> np.ndarray:
  return np.asarray(jax.image.resize(map_BHW, (len(map_BHW), height, width), 'bilinear'))


def _batched(images: Iterable[np.ndarray | None]) -> Iterator[list[np.ndarray | None]]:
  waiting = iter(images)
  while batch := list(itertools.islice(waiting, BATCH)):
    yield batch


def images(found: Identified, rows: Sequence[int], spec: decode.Spec) -> Iterator[np.ndarray | None]:
  """The decoded images of these rows again, in order; None for one that has changed or gone meanwhile."""
  decoded = decode.each((found.path[row] for row in rows), spec, lambda digest: True)
  for row, (digest, image) in zip(rows, decoded, strict=True):
    yield image if isinstance(image, np.ndarray) and digest == found.digest[row] else None
