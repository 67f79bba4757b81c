"""The data sources by the names that `data.source` takes."""

from __future__ import annotations

from bloodcell_jax.data.sources import (
  embedded_source,
  folders,
  kaggle,
  laboratories,
  source,
  tfds_source,
)

SOURCES: dict[str, source.Source] = {
  'embedded': embedded_source.SOURCE,
  'kaggle': kaggle.SOURCE,
  'folders': folders.SOURCE,
  laboratories.NAME: laboratories.SOURCE,
  'tfds': tfds_source.SOURCE,
}
