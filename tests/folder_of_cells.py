"""A folder of synthetic cells by class, and a tiny run on it, started as a user starts it."""

from __future__ import annotations

import pathlib

import starting

from bloodcell_jax.data.sources import embedded


def write(folder: pathlib.Path, seed: int = 5) -> pathlib.Path:
  """`folder/SPLIT/CLASS/*.png`; and a list of groups, `folder/../groups.csv`."""
  spec = embedded.Spec(num_train=8, num_test=4, num_copies=1, height=60, width=80, seed=seed)
  files = []
  for image in embedded.draw_all(spec):
    if image.split != 'ORIGINALS':
      file = f'{image.split}/{image.class_name}/{pathlib.Path(image.file).name}'
      (folder / file).parent.mkdir(parents=True, exist_ok=True)
      (folder / file).write_bytes(image.png)
      files.append(file)
  rows = ''.join(f'{file},{pathlib.Path(file).stem}\n' for file in files)
  (folder.parent / 'groups.csv').write_text(f'file,group\n{rows}')
  return folder


def flags(folder: pathlib.Path, run: pathlib.Path) -> tuple[str, ...]:
  """The command line of the run on the folder."""
  return (
    *starting.TINY,
    '--config.evaluate.num_resamples=100',
    '--config.data.source=folders',
    f'--config.data.dir={folder}',
    f'--config.data.groups_csv={folder.parent / "groups.csv"}',
    f'--workdir={run}',
  )
