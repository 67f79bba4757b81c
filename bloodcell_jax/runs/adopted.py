"""Makes a run that another host has trained one of this host: its images are where this host has them."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from bloodcell_jax.storage import config_keys
from bloodcell_jax.system import atomic


def put_places(folder: pathlib.Path, flat: Mapping[str, Any]) -> None:
  """Gives the run in the folder, and its folds, the places of the images and lists that a flat config names.

  Raises:
    ValueError: a config is damaged.
  """
  for path in sorted(folder.rglob('config.json')):
    config = json.loads(atomic.read_text(path))
    places = {key: flat[key] for key in config_keys.PLACES if key in config and key in flat}
    atomic.write_json(path, {**config, **places})
