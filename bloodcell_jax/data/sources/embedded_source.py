"""The embedded synthetic images as a Table."""

from __future__ import annotations

import hashlib

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.data.sources import embedded, source


def table(spec: embedded.Spec) -> types.Table:
  """The drawn images, grouped by photograph."""
  images = embedded.draw_all(spec)
  sources = np.array([image.source for image in images], np.str_)
  return types.Table(
    content=tuple(image.png for image in images),
    file=np.array([image.file for image in images], np.str_),
    label=np.array([image.label for image in images], np.int32),
    source=sources,
    group=sources,
    split=np.array([image.split for image in images], np.str_),
    digest=np.array([hashlib.sha256(image.png).hexdigest()[:16] for image in images], np.str_),
    class_names=embedded.CLASS_NAMES,
    name='embedded (synthetic)',
    synthetic=True,
  )


def _read(settings: source.Settings) -> source.Reading:
  return source.Reading(table(settings.embedded), [], ())


SOURCE = source.Source(
  title='synthetic smears drawn by bloodcell_jax',
  is_synthetic=True,
  needs_dir=False,
  reads_lists=False,
  splits='Drawn as TRAIN, TEST and ORIGINALS; validation is held out of TRAIN by photograph.',
  licence='the synthetic smears: drawn by bloodcell_jax, Apache License 2.0',
  read=_read,
  photographs=source.one_of_each_photograph(_read),
)
