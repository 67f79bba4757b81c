"""The synthetic smears of a data set are drawn once in a session, whichever process needs them first.

Drawing them takes a tenth of the suite otherwise, most of it in processes that draw the same few dozen. Tests of the
drawing itself use `drawn_anew`; processes that are started as a user starts them draw for themselves.
"""

from __future__ import annotations

import functools
import hashlib
import os
import pathlib
import pickle
import tempfile

from bloodcell_jax.data.sources import embedded

FOLDER = 'BLOODCELL_TESTS_DRAWN'  # an environment variable, read by every process of a session
drawn_anew = embedded.draw_all


@functools.lru_cache(64)
def draw_all(spec: embedded.Spec) -> list[embedded.Drawn]:
  """In place of `embedded.draw_all`."""
  path = pathlib.Path(os.environ[FOLDER], f'{hashlib.sha256(repr(spec).encode()).hexdigest()}.pickle')
  if path.exists():
    return pickle.loads(path.read_bytes())
  images = drawn_anew(spec)
  # Another process that draws the same never reads half of it.
  with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
    file.write(pickle.dumps(images))
  os.replace(file.name, path)
  return images


def put() -> None:
  """Puts `draw_all` in the place of the function that draws."""
  embedded.draw_all = draw_all
