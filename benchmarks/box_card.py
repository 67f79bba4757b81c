"""The card of the model in the box: what it was trained on, how well it does, what it must not be used for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bloodcell_jax.base import tree
from bloodcell_jax.export import card as export_card
from bloodcell_jax.inference import classifier
from bloodcell_jax.stats import metrics
from bloodcell_jax.storage import workdir

FORMAT = 'bloodcell_jax model in the box 1'
# Where images come from: title, licence and citation.
IMAGES = {
  'bccd': {
    'title': 'photographs of BCCD (Kaggle paultimothymooney/blood-cells), 640x480',
    'licence': 'MIT',
    'citation': 'Shenggan, Cosmicad: BCCD Dataset, 2017; P. T. Mooney: Blood Cell Images, Kaggle, 2018',
  },
  'pbc': {
    'title': 'single cells of PBC (Hospital Clinic of Barcelona, CellaVision DM96), reduced to 180x180',
    'licence': 'CC BY 4.0',
    'citation': 'A. Acevedo et al.: A dataset of microscopic peripheral blood cell images for development of automatic '
    'recognition systems. Data in Brief 30, 105474, 2020. DOI 10.17632/snkd93bnjr.1; splits of WBCAtt',
  },
}
LIMITS = (
  'The images of training and of the figures are those named above, and no others. Another stain, microscope or camera '
  'is another laboratory: `predict` withholds what does not look like the training, but the rest may still be wrong.',
  'It knows the classes named above and no other: blasts, band forms, atypical lymphocytes, smudge cells and platelets '
  'get one of these names, or none.',
  'No patient is identified in either data set, so that the intervals, which resample photographs or images, are too '
  'narrow for new patients.',
  'The cells of whole photographs are found by a detector with errors of its own (docs/fields.md), which the '
  'figures above do not include.',
)
# The figures that the table shows; the file has more.
_SHOWN = ('accuracy', 'macro_f1', 'balanced_accuracy', 'log_loss')


def values(
  made: workdir.Workdir,
  loaded: classifier.Classifier,
  images: Sequence[str],
  command: str,
  digests: Mapping[str, str],
  others: Mapping[str, Any],
) -> dict[str, Any]:
  """The contents of `model_card.json`.

  Args:
    made: the folder that is being written, as a run.
    loaded: the classifier.
    images: keys of IMAGES.
    command: the command that trained it.
    digests: by name of a file in the folder, its SHA-256.
    others: by name of another run, its splits as in `metrics.json`.
  """
  exp, environment = loaded.job.experiment, made.read_environment()
  return {
    'format': FORMAT,
    'name': '-'.join([exp.model.name, *images]),
    'date': environment['date'],
    'use': export_card.USE,
    'class_names': list(loaded.class_names),
    'num_parameters': tree.count(loaded.params),
    'image_size': exp.data.decode.image_size,
    'view': exp.data.decode.view,
    'align_features': exp.align_features,
    'checkpoint': dict(loaded.origin),
    'command': command,
    'seed': exp.seed,
    'made_with': {'bloodcell_jax': environment['bloodcell_jax'], **environment['packages']},
    'images': {name: IMAGES[name] for name in images},
    'data': {key: environment['data'][key] for key in ('fingerprint', 'counts', 'leaks')},
    'figures': {split: _figures(entry) for split, entry in made.read_splits().items()},
    'figures_of_other_runs': {
      run: {split: _figures(entry) for split, entry in splits.items()} for run, splits in others.items()
    },
    'limits': list(LIMITS),
    'licences': [
      *_licences(loaded),
      *(f'{name}: {IMAGES[name]["licence"]}' for name in images),
    ],
    'sha256': dict(digests),
  }


def _licences(loaded: classifier.Classifier) -> list[str]:
  """Of the code and of the weights that training began with; those of the images follow."""
  exp = loaded.job.experiment
  return export_card.licences(exp.weights.path, exp.model.name, exp.data.source)[:-1]


def _figures(entry: Mapping[str, Any]) -> dict[str, Any]:
  names = [figure.name for figure in metrics.FIGURES if figure.name in entry]
  return {
    **{key: entry[key] for key in ('num_images', 'num_groups', 'note')},
    **{name: entry[name] for name in names},
    'per_class': entry['per_class'],
  }


def text(card: Mapping[str, Any]) -> str:
  """The contents of `model_card.md`."""
  counts = card['data']['counts']
  parts = [
    f'# The model in the box: {card["name"]}, {card["date"]}',
    f'**{card["use"]}**',
    f'`predict` uses it where no run is named. {card["num_parameters"]:,} parameters; input {card["image_size"]}x'
    f'{card["image_size"]} pixels (view `{card["view"]}`); classes: {", ".join(card["class_names"])}.',
    '## Data',
    '\n'.join(
      f'- {image["title"]}. {image["licence"]}. {image["citation"]}' for image in card['images'].values()
    ),
    'Photographs (images) of each split; no group, that is photograph or field of a smear, is in two of them:',
    export_card.table(
      ['split', *card['class_names']],
      [
        [split, *(_count(classes, name) for name in card['class_names'])] for split, classes in counts.items()
      ],
    ),
    '## Figures, with 95 % intervals by resampling groups',
    _figure_table(card['figures']),
    'Of each class, recall and precision:',
    _class_table(card),
  ]
  if not card['figures_of_other_runs']:
    parts += [
      '## Across laboratories',
      'Not measured: no run of this recipe was trained on one of the laboratories and scored on the other. The figures '
      'above are of laboratories that it was trained on.',
    ]
  else:
    parts.append('## Across laboratories: runs of the same recipe on other images')
    if card['align_features']:
      parts.append('Of a laboratory that is not in training the features are aligned (docs/travel.md).')
    for run, splits in card['figures_of_other_runs'].items():
      parts += [f'{run}:', _figure_table(splits)]
  parts += [
    '## Limits',
    '\n'.join(f'- {line}' for line in card['limits']),
    '## How it was made',
    f'```\n{card["command"] or "not recorded"}\n```',
    f'Seed {card["seed"]}; best epoch {card["checkpoint"]["best_epoch"]} of {card["checkpoint"]["epochs"]}; '
    + ', '.join(f'{name} {version}' for name, version in card['made_with'].items())
    + '. The folder: `python -m benchmarks.box RUN`.',
    '## Licences',
    '\n'.join(f'- {line}' for line in card['licences']),
    '## SHA-256',
    export_card.table(
      ['file', 'SHA-256'], [[f'`{name}`', f'`{digest}`'] for name, digest in card['sha256'].items()]
    ),
  ]
  return '\n\n'.join(parts) + '\n'


def _count(classes: Mapping[str, Sequence[int]], name: str) -> str:
  images, groups = classes.get(name, (0, 0))
  return f'{groups:,} ({images:,})'


def _figure_table(figures: Mapping[str, Any]) -> str:
  titles = {figure.name: figure.title for figure in metrics.FIGURES}
  rows = [
    [
      split,
      f'{entry["num_groups"]:,}',
      f'{entry["num_images"]:,}',
      *(export_card.figure(entry.get(name)) for name in _SHOWN),
    ]
    for split, entry in figures.items()
  ]
  return export_card.table(['images', 'groups', 'number of images', *(titles[name] for name in _SHOWN)], rows)


def _class_table(card: Mapping[str, Any]) -> str:
  rows = [
    [
      split,
      name,
      f'{own["num_groups"]:,}',
      export_card.figure(own['recall']),
      export_card.figure(own['precision']),
    ]
    for split, entry in card['figures'].items()
    for name, own in entry['per_class'].items()
    if own['num_groups']
  ]
  return export_card.table(['images', 'class', 'groups', 'recall', 'precision'], rows)
