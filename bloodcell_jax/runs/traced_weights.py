"""Initial weights traced to the folder that says which images they were trained on."""

from __future__ import annotations

import dataclasses
import pathlib

from bloodcell_jax.storage import workdir
from bloodcell_jax.weights import own, pretrained, published


@dataclasses.dataclass(frozen=True)
class Trace:
  """Where weights of a run of this project come from."""

  name: str  # the run, its export or the file, with its whole path
  folder: workdir.Workdir | None  # with the digests of their images; None where nothing says which


def find(weights_path: str) -> Trace | None:
  """Where the initial weights come from; None for fresh ones and for those of others, such as ImageNet's.

  The digests lie in the folder of a run, in that of its export, and beside the weights file of an export. An export
  without digests that lies in its run as `export` is traced to the run.

  Args:
    weights_path: `weights.path` of a config. What cannot be read is left to `starting_weights.read` to refuse.
  """
  path = pretrained.PBC_FOLDER if weights_path == published.PBC else pathlib.Path(weights_path)
  if not weights_path or weights_path == published.AUTO:
    return None
  if path.is_dir():
    folders = [path, path / 'export']
  elif path.suffix.lower() == pathlib.Path(own.FILE).suffix and own.is_own(path):
    # A link may lie beside links to the digests, or alone.
    folders = [path.parent, path.resolve().parent]
  else:
    return None
  folders += [folder.parent for folder in (folders[0], folders[0].resolve()) if folder.name == 'export']
  known = (workdir.Workdir(folder) for folder in folders)
  return Trace(str(path.resolve()), next((one for one in known if one.digests.exists()), None))


def note(weights_path: str) -> str:
  """What to print where it is not known which images the initial weights were trained on; '' elsewhere."""
  trace = find(weights_path)
  if trace is None or trace.folder is not None:
    return ''
  return (
    f'weights.path: {weights_path} has no digests.csv, so it is not known whether these weights were trained on the '
    'validation and test images; if the run they come from has one, name its folder or export it again'
  )
