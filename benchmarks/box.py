"""Makes the model in the box, `bloodcell_jax/box/`, from the folder of a finished run.

    python -m benchmarks.box RUN --images=bccd,pbc --evaluate=FOLDER --evaluate=FOLDER

Each FOLDER, a folder of classes with test images of one laboratory, is scored first by `evaluate --data_dir` under its
own name. What is written is the run without its checkpoints and its images: config, weights, calibration, measure of
unlike images, figures, predictions of the test split (which say how often it errs), digests of the images it has seen,
the features of some of them (from which it is adapted), its answers on drawn smears, and a card. An earlier model is
replaced once all of it is written.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

from benchmarks import box_card
from bloodcell_jax.adaptation import features, home_images
from bloodcell_jax.base import tree, types
from bloodcell_jax.data.images import decode
from bloodcell_jax.data.sources import embedded
from bloodcell_jax.inference import classifier, error_rates
from bloodcell_jax.runs import compact_run, input_pixels, model_set, saved_run
from bloodcell_jax.storage import box, config_keys, home_features, workdir
from bloodcell_jax.system import atomic
from bloodcell_jax.train import progress as progress_lib
from bloodcell_jax.train import signals
from bloodcell_jax.weights import own

# Of the weights, and of all files together.
MOST_WEIGHTS, MOST_BYTES = 5_000_000, 8_000_000
# Drawn smears whose probabilities are recorded, so that a test can tell whether the network still gives them.
SMEARS = embedded.Spec(num_train=2, num_test=0, num_copies=1, height=240, width=320, seed=0)
ANSWERS = 'smears.json'


def main() -> None:
  """Parses the command line and writes the folder."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('run', type=pathlib.Path, help='the folder of a finished run of one network')
  parser.add_argument(
    '--images', default='bccd,pbc', help=f'what it was trained on: {", ".join(box_card.IMAGES)}'
  )
  parser.add_argument('--evaluate', action='append', default=[], help='a folder of classes to score first')
  parser.add_argument(
    '--other',
    action='append',
    default=[],
    type=pathlib.Path,
    help='the folder of a run whose figures the card shows too, such as one trained on one laboratory',
  )
  parser.add_argument('--to', type=pathlib.Path, default=box.FOLDER)
  arguments = parser.parse_args()
  for folder in arguments.evaluate:
    command = [
      sys.executable,
      'main.py',
      'evaluate',
      f'--workdir={arguments.run}',
      f'--data_dir={folder}',
      '--unlike=keep',
    ]
    subprocess.run(command, check=True)
  try:
    num_bytes = write(arguments.run, arguments.to, arguments.images.split(','), arguments.other)
  except types.UserError as error:
    sys.exit(str(error))
  print(f'{arguments.to}: {num_bytes / 1e6:.2f} MB; read {arguments.to / box.CARD_TEXT}')


def write(run: pathlib.Path, to: pathlib.Path, images: list[str], others: list[pathlib.Path]) -> int:
  """Writes the folder `to`; returns its size in bytes.

  Args:
    run: the folder of a finished, evaluated run of one network.
    to: the folder to write; an earlier model in the box there is replaced.
    images: keys of `box_card.IMAGES`.
    others: folders of runs whose figures the card shows too.

  Raises:
    UserError: the run is an ensemble, not evaluated, without a measure of unlike images, or too large.
  """
  folder = workdir.Workdir(run)
  loaded = classifier.load(folder, signals.Stop())
  if len(loaded.models.networks) > 1 or loaded.models.members:
    raise types.UserError(f'{run}: is an ensemble; the model in the box is one network')
  if loaded.rule is None or loaded.measure is None or not folder.read_splits():
    raise types.UserError(
      f'{run}: has no calibration, no measure of unlike images or no figures; evaluate it first'
    )
  if to.exists() and any(to.iterdir()) and not (to / box.CARD).exists():
    raise types.UserError(f'{to}: holds something else than a model in the box')
  with atomic.folder(to) as temporary:
    target = workdir.Workdir(temporary)
    _write_weights(folder, target, loaded)
    for path in (folder.calibration, folder.unlike, folder.statistics, folder.digests):
      if path.exists():
        shutil.copyfile(path, temporary / path.name)
    config = {key: '' if key in config_keys.PLACES else value for key, value in folder.read_config().items()}
    write_json(target.config, _without_places(config))
    write_json(target.environment, _without_places(folder.read_environment()))
    write_json(target.metrics, _without_places(folder.read_metrics()))
    write_json(temporary / ANSWERS, answers(loaded))
    (temporary / home_features.FILE).write_bytes(home_features.packed(features_of_home(folder, loaded)))
    source = loaded.job.experiment.data.source
    if (known := error_rates.read(folder, loaded.class_names, loaded.rule, source)) is not None:
      target.predictions(known.split).parent.mkdir()
      shutil.copyfile(folder.predictions(known.split), target.predictions(known.split))
    written = [path for path in sorted(temporary.rglob('*')) if path.is_file()]
    digests = {
      path.relative_to(temporary).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
      for path in written
    }
    card = box_card.values(target, loaded, images, command_of(folder), digests, _figures_of(others))
    write_json(temporary / box.CARD, card)
    (temporary / box.CARD_TEXT).write_text(box_card.text(card), 'utf-8')
    num_bytes = sum(path.stat().st_size for path in temporary.rglob('*') if path.is_file())
    for size, most in ((target.path / own.FILE).stat().st_size, MOST_WEIGHTS), (num_bytes, MOST_BYTES):
      if size > most:
        raise types.UserError(f'{run}: takes {size:,} bytes; the model in the box has at most {most:,}')
  return num_bytes


def features_of_home(folder: workdir.Workdir, loaded: classifier.Classifier) -> home_features.HomeFeatures:
  """What the network makes of a sample of the run's images, by which they stand in an adaptation."""
  network, progress = loaded.models.networks[0], progress_lib.Progress()
  exp = saved_run.read_experiment(folder, None)
  sample, tta = home_images.read(folder, exp, '', network.fingerprint).sample, features.tta(exp)
  parts = []
  with tempfile.TemporaryDirectory() as cache:
    for split, table in sample.items():
      decoded = decode.table(table, exp.data.decode, cache, lambda done, total: None)
      embedding_ND = features.embed(network, table, decoded.image_NHWC, tta, pathlib.Path(cache), progress)
      parts.append(home_features.of_table(network.fingerprint, tta, split, table, embedding_ND))
  return home_features.joined(parts)


def answers(loaded: classifier.Classifier) -> dict[str, Any]:
  """The network's probabilities, before calibration, on the drawn smears."""
  smears = embedded.draw_all(SMEARS)
  spec = loaded.job.experiment.data.decode
  image_BHWC = np.stack([decode.image(smear.png, spec)[0] for smear in smears])
  probs_BK = loaded.probabilities(image_BHWC)
  return {
    'note': 'Drawn smears: these numbers say nothing about blood.',
    'class_names': list(loaded.class_names),
    'probabilities': {
      smear.file: probs_K.round(6).tolist() for smear, probs_K in zip(smears, probs_BK, strict=True)
    },
  }


def _write_weights(folder: workdir.Workdir, target: workdir.Workdir, loaded: classifier.Classifier) -> None:
  if compact_run.is_here(folder):
    shutil.copyfile(folder.path / own.FILE, target.path / own.FILE)
    return
  job, params, _ = model_set.load_best(
    folder, saved_run.read_experiment(folder, None), loaded.job.data, signals.Stop(), progress_lib.Progress()
  )
  assert set(tree.names(params)) == set(tree.names(loaded.params))
  pixels = input_pixels.saved(folder, job.experiment)
  compact_run.write_weights(target, params, pixels, loaded.class_names)


def write_json(path: pathlib.Path, value: Any) -> None:
  """Writes the value as JSON, indented, without NaN."""
  # Not by `atomic`, whose sums have no place in a package.
  path.write_text(json.dumps(value, indent=1, allow_nan=False) + '\n', 'utf-8')


def _without_places(value: Any) -> Any:
  """The value with the last part alone of every absolute path in its texts."""
  if isinstance(value, dict):
    return {key: _without_places(inner) for key, inner in value.items()}
  if isinstance(value, list):
    return [_without_places(inner) for inner in value]
  return _shortened(value) if isinstance(value, str) else value


def _shortened(text: str) -> str:
  return re.sub(r'(?<![\w.])/(?:[\w.@+-]+/)+([\w.@+-]+)', r'\1', text)


def command_of(folder: workdir.Workdir) -> str:
  """The command that trained the run, from the first line of its log; '' where that is not kept."""
  try:
    with open(folder.log, encoding='utf-8') as file:
      first = next((line for line in file if line.startswith('--- ')), '')
  except OSError:
    return ''
  words = re.sub(r'^--- \S+ \S+ \S+ ', '', first).strip()
  return f'python {_shortened(words)}' if words else ''


def _figures_of(others: list[pathlib.Path]) -> dict[str, Any]:
  return {path.name: _without_places(workdir.Workdir(path).read_splits()) for path in others}


if __name__ == '__main__':
  main()
