"""The model card: network, training data, performance, input and output, intended use and licences."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import bloodcell_jax
from bloodcell_jax.base import tree
from bloodcell_jax.config import experiment
from bloodcell_jax.data.images import decode
from bloodcell_jax.data.sources import registry
from bloodcell_jax.export import examples, formats, parity, unlike_json
from bloodcell_jax.inference import classifier
from bloodcell_jax.reports import report, selection
from bloodcell_jax.stats import metrics
from bloodcell_jax.storage import adaptation_file, box, workdir
from bloodcell_jax.weights import published

USE = 'Research use only: not a medical device, never a diagnosis.'
FORMAT = 'bloodcell_jax model card 1'


def values(
  folder: workdir.Workdir,
  loaded: classifier.Classifier,
  built: Mapping[str, Any],
  parities: Mapping[str, parity.Parity],
  sizes: Mapping[str, int],
) -> dict[str, Any]:
  """The contents of `model_card.json`: the contract of the program, and the data and figures of the run behind it.

  Args:
    folder: the run's.
    loaded: its classifier.
    built: the contract of the program, as from `contract.build`.
    parities: by format, its agreement with the run's own network.
    sizes: by format, in bytes.
  """
  exp, data = loaded.job.experiment, folder.read_environment()['data']
  chosen = selection.choices(folder)
  return {
    **built,
    'format': FORMAT,
    'use': USE,
    # Its name alone: a card is given to others, whom the place on this computer is no concern of.
    'run': folder.path.resolve().name,
    'run_place': place(folder.path),
    'model': {
      'name': exp.model.name,
      'num_members': len(loaded.models.networks),
      'num_parameters': sum(tree.count(network.params) for network in loaded.models.networks),
      'began_with': _origin(exp.weights.path, exp.model.name),
      'checkpoint': dict(loaded.origin),
    },
    'data': {key: data[key] for key in ('name', 'synthetic', 'fingerprint', 'counts')},
    'adaptation': _adaptation(folder),
    'figures': _figures(folder, chosen),
    'parity': {
      name: {**dataclasses.asdict(result), 'limit': parity.LIMIT, 'bytes': sizes[name]}
      for name, result in parities.items()
    },
    'licence': _licences(folder, exp),
    'made_with': {'bloodcell_jax': bloodcell_jax.__version__, **folder.read_environment()['packages']},
  }


def place(path: pathlib.Path) -> str:
  """16 hex digits that tell folders of one name apart without saying where they are."""
  return hashlib.sha256(str(path.resolve()).encode('utf-8', 'surrogateescape')).hexdigest()[:16]


def _origin(weights_path: str, network: str) -> str:
  if not weights_path:
    return 'random initial weights'
  record = published.find(weights_path, network)
  if record:
    return f'{record.title}, trained by {record.trained_by}'
  return f'the weights of {pathlib.Path(weights_path).name}'


def licences(weights_path: str, network: str, source: str) -> list[str]:
  """One line each for the code, the initial weights and the images.

  Args:
    weights_path: as `weights.path` of the config.
    network: as `model.name` of the config.
    source: as `data.source` of the config.
  """
  lines = ['bloodcell_jax: Apache License 2.0']
  if weights_path:
    record = published.find(weights_path, network)
    lines.append(record.summary(weights_path) if record else 'the initial weights: see their publisher')
  return [*lines, registry.SOURCES[source].licence]


def _licences(folder: workdir.Workdir, exp: experiment.Experiment) -> list[str]:
  """As `licences`; for weights of another run also what that one's card says, as it learned from other images."""
  if (known := box.licences(folder.path)) is not None:
    return known
  lines = licences(exp.weights.path, exp.model.name, exp.data.source)
  before = workdir.Workdir(exp.weights.path)
  if not exp.weights.path or not before.config.is_file():
    return lines
  code, *others = _licences(before, experiment.from_flat(before.read_config()))
  return list(dict.fromkeys([code, *others, lines[-1]]))


def _adaptation(folder: workdir.Workdir) -> dict[str, Any] | None:
  """How the run was adapted, without places on this computer; None for another run."""
  entries = adaptation_file.read(folder)
  if entries is None:
    return None
  result = entries[adaptation_file.RESULT]
  return {
    'from': pathlib.Path(entries[adaptation_file.REQUEST]['from']).name,
    'num_images': result['new']['num_images'],
    'num_groups': result['new']['num_groups'],
    'num_home': result['num_home'],
    'old_splits': list(result['home']),
  }


def _figures(folder: workdir.Workdir, chosen: Mapping[str, Sequence[str]]) -> dict[str, Any]:
  """By split, its entry in metrics.json and what was chosen on it; empty if the run was not evaluated."""
  if not folder.metrics.exists():
    return {}
  return {
    split: {
      **{key: entry[key] for key in ('num_groups', 'num_images', 'note', 'checkpoint', 'interval')},
      **{name: entry[name] for name in (*(f.name for f in metrics.FIGURES), 'doubt') if name in entry},
      'per_class': entry['per_class'],
      'chose': list(chosen.get(split, ())),
    }
    for split, entry in folder.read_splits().items()
  }


def text(card: Mapping[str, Any], loaded: classifier.Classifier, written: Sequence[formats.Format]) -> str:
  """The contents of `model_card.md`."""
  model, exp = card['model'], loaded.job.experiment
  parts = [
    f'# {model["name"]}: classifier of white blood cells, {len(card["class_names"])} classes',
    f'**{USE}**',
  ]
  if card['note']:
    parts.append(f'**{card["note"]}**')
  checkpoint = model['checkpoint']
  parts += [
    '## Network and training data',
    f'Network: `{model["name"]}`{_members(model)}, {model["num_parameters"]:,} parameters, trained from '
    f'{model["began_with"]}{_epoch(checkpoint)}. Data: {card["data"]["name"]} (fingerprint '
    f'{card["data"]["fingerprint"]}). Run: {card["run"]}. '
    f'{_splits(card, exp.data.source)}',
    table(['split', *(f'{name}: photographs (images)' for name in card['class_names'])], _counts(card)),
    '## Performance',
    _performance(card),
    '## Input and output',
    f'Input: `image`, uint8 RGB, N x {exp.data.decode.image_size} x {exp.data.decode.image_size} x 3. Output: '
    f'`probabilities`, float32, N x {len(card["class_names"])}, '
    f'{"calibrated" if card["output"]["calibrated"] else "not calibrated"}, in this order: '
    f'{", ".join(card["class_names"])}.',
    'Preprocessing that is not part of the program and must be done before:',
    _list(card['decoding']['steps']),
    'Preprocessing inside the program:',
    _list(card['pixels']['steps']),
    'Calibration:',
    _list(card['calibration']['steps'], '-'),
    'Images unlike the training images:',
    unlike_json.sentence(loaded),
    '## Agreement of the formats with the trained network',
    'Measured on the images that the table names; the export fails if a probability differs by more than '
    f'{parity.LIMIT:g}.',
    table(
      ['format', 'runs on', 'bytes', 'max difference', 'top-1 agreement', 'images'], _parities(card, written)
    ),
    '## Examples',
    'Run these in this folder' + _crop_note(exp.data.decode) + '. None of them needs this package.',
  ]
  for fmt in written:
    parts += [f'{fmt.name}:', f'```python\n{examples.source(fmt.name, exp.data.decode)}```']
  return '\n\n'.join([*parts, '## Licences', _list(card['licence'], '-')]) + '\n'


def _splits(card: Mapping[str, Any], source: str) -> str:
  adapted = card['adaptation']
  if adapted is None:
    return registry.SOURCES[source].splits
  splits = 'The split' if len(adapted['old_splits']) == 1 else 'The splits'
  verb = 'is' if len(adapted['old_splits']) == 1 else 'are'
  old = (
    f' {splits} {" and ".join(adapted["old_splits"])} {verb} of the old laboratory.'
    if adapted['old_splits']
    else ''
  )
  return (
    f'Adapted from the run {adapted["from"]} with labels of {adapted["num_images"]:,} images of '
    f'{adapted["num_groups"]:,} groups of a new laboratory, which are the split {selection.CROSS_FITTED}, and with '
    f'{adapted["num_home"]:,} old training images.{old}'
  )


def _crop_note(spec: decode.Spec) -> str:
  if spec.view == 'full':
    return ' with the path of an image'
  before = 'stretched and then ' if spec.stretch_brightness else ''
  return f' with the path of an image, which must be {before}cropped around the nucleus as described above'


def _list(lines: Sequence[str], mark: str = '1.') -> str:
  return '\n'.join(f'{mark} {line}' for line in lines)


def _members(model: Mapping[str, Any]) -> str:
  return f', an ensemble of {model["num_members"]}' if model['num_members'] > 1 else ''


def _epoch(checkpoint: Mapping[str, int]) -> str:
  if 'best_epoch' not in checkpoint:
    return ''
  return f', best epoch {checkpoint["best_epoch"]} of {checkpoint["epochs"]}'


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  """A Markdown table."""
  lines = [head, ['---'] * len(head), *rows]
  return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _counts(card: Mapping[str, Any]) -> list[list[str]]:
  return [
    [split, *(f'{classes[name][1]:,} ({classes[name][0]:,})' for name in card['class_names'])]
    for split, classes in card['data']['counts'].items()
  ]


def _performance(card: Mapping[str, Any]) -> str:
  if not card['figures']:
    return 'Unknown: the run has not been evaluated.'
  rows = [
    [
      split,
      f'{entry["num_groups"]:,}',
      f'{entry["num_images"]:,}',
      *(figure(entry.get(f.name)) for f in metrics.FIGURES),
    ]
    for split, entry in card['figures'].items()
  ]
  head = ['split', 'groups', 'images', *(f.title for f in metrics.FIGURES)]
  confidence = {entry['interval']['confidence'] for entry in card['figures'].values()}
  shares = ' and '.join(f'{100 * share:g}%' for share in sorted(confidence))
  parts = [report.INTERVALS.format(share=shares), table(head, rows)]
  chosen = {split: entry['chose'] for split, entry in card['figures'].items()}
  parts += [line for line in (selection.sentence(split, chosen) for split in chosen) if line]
  if any(entry.get('doubt') for entry in card['figures'].values()):
    parts.append(report.approximate(chosen))
  notes = {split: entry['note'] for split, entry in card['figures'].items() if entry['note']}
  parts += [f'{split}: {note}' for split, note in notes.items() if note != card['note']]
  # A single network is identified by its epoch, an ensemble by its number of members.
  key = 'best_epoch' if 'best_epoch' in card['model']['checkpoint'] else 'members'
  own = card['model']['checkpoint'][key]
  others = [split for split, entry in card['figures'].items() if entry['checkpoint'].get(key) != own]
  if others:
    source = 'another epoch' if key == 'best_epoch' else 'other members'
    parts.append(
      f'**These figures belong to {source} than the exported model: {", ".join(others)}. Evaluate the run, then export '
      'it again.**'
    )
  return '\n\n'.join(parts)


def figure(entry: Mapping[str, float | None] | None) -> str:
  """A figure with its interval, as a card writes it."""
  if entry is None or entry['value'] is None:
    return 'n/a'
  low, high = entry['low'], entry['high']
  interval = 'no interval' if low is None or high is None else f'{low:.3f}, {high:.3f}'
  return f'{entry["value"]:.3f} [{interval}]'


def _parities(card: Mapping[str, Any], written: Sequence[formats.Format]) -> list[list[str]]:
  rows = []
  for fmt in written:
    entry = card['parity'][fmt.name]
    images = f'{entry["num_images"]} of {entry["num_groups"]} groups, {entry["split"]}'
    difference, agreement = f'{entry["max_difference"]:.1e}', f'{entry["top1_agreement"]:.1%}'
    rows.append([f'`{fmt.file}`', fmt.runs_on, f'{entry["bytes"]:,}', difference, agreement, images])
  return rows
