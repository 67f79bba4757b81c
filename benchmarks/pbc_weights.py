"""Makes the weights 'pbc' of the package, `bloodcell_jax/weights/pbc/`, from a finished run of configs/pretraining.py.

    python -m benchmarks.pbc_weights RUN

The folder is laid out as an exported run: the weights without the head, in half precision; the digests of the images
they were trained on, so that no run that begins with them takes one of these for new; and a card.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import pathlib
import re
import shutil
import sys

import numpy as np

import bloodcell_jax
from benchmarks import box
from bloodcell_jax.base import types
from bloodcell_jax.models import zoo
from bloodcell_jax.runs import starting_weights
from bloodcell_jax.storage import workdir
from bloodcell_jax.weights import own, pretrained, published

CARD = 'card.json'
SOURCE = (
  'PBC: A. Acevedo, A. Merino, S. Alferez, A. Molina, L. Boldu, J. Rodellar, "A dataset of microscopic peripheral '
  'blood cell images for development of automatic recognition systems", Data in Brief 30 (2020) 105474, '
  'doi 10.17632/snkd93bnjr.1, CC BY 4.0; reduced to 180x180 pixels'
)


def main() -> None:
  """Parses the command line and writes the folder."""
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  parser.add_argument('run', type=pathlib.Path, help='the folder of a finished run of configs/pretraining.py')
  parser.add_argument('--to', type=pathlib.Path, default=pretrained.PBC_FOLDER)
  arguments = parser.parse_args()
  try:
    write(arguments.run, arguments.to)
  except types.UserError as error:
    sys.exit(str(error))
  print(f'{arguments.to}: {sum(path.stat().st_size for path in arguments.to.iterdir()) / 1e6:.2f} MB')


def write(run: pathlib.Path, to: pathlib.Path) -> None:
  """Writes the folder `to`, in place of an earlier one.

  Raises:
    UserError: the run has no weights, or is of another network.
  """
  folder = workdir.Workdir(run)
  config = folder.read_config()
  record = published.own(config['model.name'])
  read = starting_weights.read(str(run), record.network)
  assert read.about is not None, 'a run says what its classes and pixels are'
  features = zoo.NETWORKS[record.network].features
  kept = {
    name: array.astype(np.float16)
    for name, array in read.params.items()
    if any(re.fullmatch(pattern, name) for pattern in features)
  }
  to.mkdir(parents=True, exist_ok=True)
  own.write(to / own.FILE, kept, read.about)
  shutil.copyfile(folder.digests, to / folder.digests.name)
  environment = folder.read_environment()
  card = {
    'title': record.summary(published.PBC),
    'images': SOURCE,
    'class_names': list(read.about.class_names),
    'counts': environment['data']['counts'],
    'pixels': dict(read.about.pixels),
    'command': box.command_of(folder),
    'seed': config['seed'],
    'date': datetime.date.today().isoformat(),
    'bloodcell_jax': bloodcell_jax.__version__,
    'packages': environment['packages'],
    'validation': folder.read_splits().get('validation', {}),
    'sha256': hashlib.sha256((to / own.FILE).read_bytes()).hexdigest(),
  }
  box.write_json(to / CARD, card)


if __name__ == '__main__':
  main()
