"""Image files through a classifier: every one predicted once, however often the work is cut short."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from bloodcell_jax.base import tree, types
from bloodcell_jax.data.images import decode, feature_cache
from bloodcell_jax.data.sources import input_paths
from bloodcell_jax.inference import classifier
from bloodcell_jax.runs import forward
from bloodcell_jax.storage import journal


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
    views=loaded.made.experiment.tta,
    decoding=repr(dataclasses.replace(spec, cache='memory')),
    standardize=repr(loaded.made.transform.standardize),
    statistics=repr([each and [each.mean_C, each.std_C] for each in learned]),
    class_names=' '.join(loaded.class_names),
  )


def run(
  loaded: classifier.Classifier,
  found: Sequence[input_paths.Input],
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
    RunError: the output for an image is not finite.
  """
  size = loaded.made.experiment.evaluate_batch_size
  kept: list[tuple[input_paths.Input, str]] = []
  problems: list[types.Problem] = []
  batch: dict[str, np.ndarray] = {}
  named: dict[str, str] = {}
  images = decode.each((one.path for one in found), spec, lambda digest: digest not in known.known)
  for i, (one, (digest, image)) in enumerate(zip(found, images, strict=True)):
    loaded.made.poll()
    if isinstance(image, decode.DecodeError):
      problems.append(types.Problem(one.shown, str(image)))
    else:
      kept.append((one, digest))
      if image is not None and digest not in known.known:
        batch[digest], named[digest] = image, one.shown
    if len(batch) == size or (batch and i + 1 == len(found)):
      probs_BK = loaded.probabilities(np.stack(list(batch.values())))
      forward.check(probs_BK, [named[digest] for digest in batch])
      known.add(batch, probs_BK)
      batch, named = {}, {}
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


def images(found: Identified, rows: Sequence[int], spec: decode.Spec) -> Iterator[np.ndarray | None]:
  """The decoded images of these rows again, in order; None for one that has changed or gone meanwhile."""
  decoded = decode.each((found.path[row] for row in rows), spec, lambda digest: True)
  for row, (digest, image) in zip(rows, decoded, strict=True):
    yield image if isinstance(image, np.ndarray) and digest == found.digest[row] else None
