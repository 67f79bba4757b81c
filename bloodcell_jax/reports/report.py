"""`report.html`: everything about a run on one self-contained page, read from the files of its folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bloodcell_jax.reports import (
  adaptation_section,
  folds_section,
  members_section,
  page,
  selection,
  split_section,
)
from bloodcell_jax.stats import collapse
from bloodcell_jax.stats import metrics as merits
from bloodcell_jax.storage import adaptation_file, ensemble_file, workdir
from bloodcell_jax.system import atomic
from bloodcell_jax.train import history
from bloodcell_jax.train import progress as progress_lib

RESEARCH_ONLY = 'Research use only. Not a medical device, never a diagnosis.'
NOT_SCORED = '<p>No split of this run has been scored yet; run the command evaluate.</p>'
INTERVALS = (
  'In brackets: {share} confidence intervals, obtained by resampling groups of images, not single images. A group '
  'holds all images that are known to show the same field of a smear; an image of which nothing is known is a group of '
  'its own. With few groups of unequal size the intervals cover the true value less often than their nominal level, '
  'most of all that of the calibration error.'
)
APPROXIMATE = (
  'The temperature, the confidence threshold and the conformal sets are approximate: the validation groups that they '
  'were fitted on also chose the epoch and, in some ensembles, weights. They are therefore not exactly exchangeable '
  'with new groups, which the guarantee of conformal prediction assumes.'
)
APPROXIMATE_ADAPTED = (
  'The temperature, the confidence threshold and the conformal sets are approximate: they were fitted on the answers '
  'of networks that had not seen the group in question, and the network that answers now has seen them all.'
)
# With fewer groups of a class, single photographs decide its figures.
FEW_GROUPS = 5


def write(folder: workdir.Workdir) -> None:
  """Writes `report.html` from the config, environment, history, metrics and figures of the folder."""
  metrics, folds = folder.read_splits(), folder.read_folds()
  environment = folder.read_environment()
  # A cross-validation has no epochs of its own; its folds have.
  records = history.read(folder.history) if folder.history.exists() else []
  chosen = selection.choices(folder)
  first = selection.headline(selection.unseen(metrics), chosen)
  metrics = {first: metrics[first], **metrics} if metrics else {}
  sections = [('data', 'Data'), ('results', 'Results')]
  sections += [folds_section.SECTION] if folds else []
  trained_on = folds_section.trained_on(folds) if folds else _trained_on(environment)
  adaptation = adaptation_file.read(folder)
  sections += [adaptation_section.SECTION] if adaptation else []
  ensemble = ensemble_file.read(folder) if folder.ensemble.exists() else None
  sections += [('members', members_section.TITLE)] if ensemble else []
  sections += [(f'split-{name}', split_section.title(name)) for name in metrics]
  sections += [('training', 'Training'), ('versions', 'Versions and config')]
  parts = [
    f'<h1>{page.text(folder.path.name)}</h1>',
    _headline(first, metrics[first], trained_on, chosen) if metrics else NOT_SCORED,
    *(f'<p class="note" role="note">{page.text(note)}</p>' for note in warnings(metrics)),
    page.contents(sections),
    page.heading(*sections[0]),
    _data(environment['data']),
    page.picture(
      folder.figures / 'distribution.png', 'number of photographs and images of each class and split'
    ),
    page.heading(*sections[1]),
    *([_intervals(metrics), _results(metrics, chosen)] if metrics else [NOT_SCORED]),
    *([folds_section.section(folds)] if folds else []),
    *([adaptation_section.section(adaptation)] if adaptation else []),
    *([members_section.section(folder, ensemble, metrics, chosen)] if ensemble else []),
    *(split_section.section(folder, name, entry, name == first, chosen) for name, entry in metrics.items()),
    page.heading(*sections[-2]),
    *map(_network, members_section.networks(folder, ensemble, environment['network'])),
    page.picture(folder.figures / 'history.png', 'loss and accuracy by epoch'),
    page.picture(
      folder.figures / 'augmentation.png', 'a training image without and with random augmentation'
    ),
    _epochs_section(records),
    page.heading(*sections[-1]),
    _code({k: v for k, v in environment.items() if k not in ('data', 'network')}),
    _code(folder.read_config()),
  ]
  atomic.write_text(folder.report, page.whole(folder.path.name, parts))


def publish(folder: workdir.Workdir, note: str, progress: progress_lib.Progress) -> None:
  """Writes `report.html` and ends a command: prints where the report is, and the note on its data, if any."""
  write(folder)
  progress.line(f'report: {folder.report}')
  if note:
    progress.line(note)


def performance(folder: workdir.Workdir) -> str:
  """A sentence with the headline figures of a run, for pages of its predictions; empty if it was not scored."""
  metrics = folder.read_splits()
  if not metrics:
    return ''
  chosen = selection.choices(folder)
  split = selection.headline(selection.unseen(metrics), chosen)
  entry, caution = metrics[split], selection.sentence(split, chosen)
  return (
    f'On {split} ({entry["num_groups"]:,} groups, {entry["num_images"]:,} images) this network has a macro F1 of '
    f'{split_section.figure(entry["macro_f1"])} and an accuracy of {split_section.figure(entry["accuracy"])}'
    + _of_laboratories(entry.get('by_laboratory', {}))
    + (f'. {caution}' if caution else '.')
  )


def _of_laboratories(entries: dict[str, Any]) -> str:
  """The accuracy in each laboratory; empty for a run of one."""
  parts = [
    f'{name} {split_section.figure(each["accuracy"])} of {each["num_images"]:,}'
    for name, each in entries.items()
  ]
  return f' (by laboratory: {", ".join(parts)})' if parts else ''


def warnings(metrics: dict[str, Any]) -> list[str]:
  """Notes that a reader needs before the figures, the last of them that on research use."""
  notes = list(dict.fromkeys(entry['note'] for entry in metrics.values() if entry['note']))
  collapsed = {name: known for name, entry in metrics.items() if (known := collapse.predicted_class(entry))}
  for predicted in dict.fromkeys(collapsed.values()):
    splits = ', '.join(name for name, known in collapsed.items() if known == predicted)
    notes.append(
      f'Every image of {splits} is predicted as {predicted}: the network has learned nothing, or its units have died. '
      'Train it with another seed or a lower learning rate.'
    )
  few = sorted(text for name, entry in metrics.items() for text in _few_groups(name, entry['per_class']))
  if few:
    notes.append(
      f'Few groups: {", ".join(few)}. A single photograph can change the figures of such a class a lot.'
    )
  return [*notes, RESEARCH_ONLY]


def _few_groups(split: str, per_class: Mapping[str, Any]) -> list[str]:
  """The classes of a split with fewer groups than FEW_GROUPS, or their number where there are many."""
  few = {name: v['num_groups'] for name, v in per_class.items() if 0 < v['num_groups'] < FEW_GROUPS}
  if len(few) > split_section.MOST_CLASSES:
    return [f'{len(few):,} of {len(per_class):,} classes in {split} (fewer than {FEW_GROUPS} each)']
  return [f'{name} in {split} ({num})' for name, num in few.items()]


def _trained_on(environment: dict[str, Any]) -> str:
  """A sentence on the number of photographs and images."""
  classes = environment['data']['counts'].get('train', {}).values()
  num_photographs, num_images = (
    sum(photographs for _, photographs in classes),
    sum(images for images, _ in classes),
  )
  return f'Trained on {num_photographs:,} photographs, {num_images:,} images.'


def _headline(split: str, entry: dict[str, Any], trained_on: str, chosen: Mapping[str, Sequence[str]]) -> str:
  caution = selection.sentence(split, chosen)
  share = f'{100 * entry["interval"]["confidence"]:g}%'
  return (
    f'<p class="headline">Macro F1 <strong>{split_section.figure(entry["macro_f1"])}</strong>, accuracy '
    f'<strong>{split_section.figure(entry["accuracy"])}</strong><br>on {page.text(split)}: '
    f'{entry["num_groups"]:,} groups, {entry["num_images"]:,} images. '
    f'{trained_on}'
    f'<br><span class="small">In brackets: {share} confidence intervals, obtained by resampling groups. '
    f'{page.text(caution)}</span></p>'
  )


def _data(data: dict[str, Any]) -> str:
  splits = list(data['counts'])
  names = data['class_names']
  rows = [
    (
      name,
      *(f'{photos:,} / {images:,}' for images, photos in (data['counts'][split][name] for split in splits)),
    )
    for name in names
  ]
  totals = [[sum(column) for column in zip(*data['counts'][split].values(), strict=True)] for split in splits]
  rows.append(('all', *(f'{photos:,} / {images:,}' for images, photos in totals)))
  skipped = data['skipped']
  html = (
    f'<p>{page.text(data["name"])}. Files left out: {len(skipped)}; converted, or read otherwise than requested: '
    f'{data["num_converted"]}.</p>'
  )
  if skipped:
    html += '<ul>' + ''.join(f'<li>{page.text(str(workdir.problem(one)))}</li>' for one in skipped) + '</ul>'
  return html + page.table('photographs / images of each class and split', ('class', *splits), rows)


def _results(metrics: dict[str, Any], chosen: Mapping[str, Sequence[str]]) -> str:
  """A row for each figure, because there are more figures than splits."""
  counts = [
    (what.replace('_', ' ')[4:], *(f'{entry[what]:,}' for entry in metrics.values()))
    for what in ('num_groups', 'num_images')
  ]
  rows = [
    (
      figure.title if figure.is_higher_better else f'{figure.title}, lower is better',
      *(split_section.figure(entry.get(figure.name)) for entry in metrics.values()),
    )
    for figure in merits.FIGURES
  ]
  table = page.table('figures of each split', ('figure', *metrics), [*counts, *rows])
  sentences = [selection.evidence(metrics, chosen), *(selection.sentence(split, chosen) for split in metrics)]
  notes = [line for line in sentences if line]
  if 'test_clean' in metrics and 'test' in metrics:
    notes.append(
      'Some photographs of test also occur among the training images; test_clean leaves them out. Use test only to '
      'compare with published figures.'
    )
  if any(entry.get('doubt') for entry in metrics.values()):
    notes.append(approximate(chosen))
  return table + ''.join(f'<p class="small">{page.text(note)}</p>' for note in notes)


def approximate(chosen: Mapping[str, Sequence[str]]) -> str:
  """Why the calibration of a run holds approximately; `chosen` as from `selection.choices`."""
  return APPROXIMATE_ADAPTED if selection.calibrated_on(chosen) == selection.CROSS_FITTED else APPROXIMATE


def _intervals(metrics: dict[str, Any]) -> str:
  """How the intervals were computed."""
  interval = next(iter(metrics.values()))['interval']
  share = f'{100 * interval["confidence"]:g}%'
  return (
    f'<p>{INTERVALS.format(share=share)} Method: {page.text(interval["method"])}, '
    f'{interval["num_resamples"]:,} resamples; exceptions are listed with each split.</p>'
  )


def _network(network: Mapping[str, Any]) -> str:
  weights = f', initial weights from {network["weights"]}' if network['weights'] else ''
  side = network['image_size']
  html = (
    f'<p>{page.text(network["name"])}{page.text(weights)}: {network["num_parameters"]:,} parameters, images of '
    f'{side} x {side} pixels.</p>'
  )
  rows = [(stage['name'], f'{stage["trained"]:,}', f'{stage["frozen"]:,}') for stage in network['stages']]
  return html + page.table('parameters in each stage', ('stage', 'trained', 'frozen'), rows)


def _epochs_section(records: Sequence[history.Record]) -> str:
  """How long the training took, and its epochs; empty for a run that has none, as one of several networks."""
  if not records:
    return ''
  total, steps = sum(record.seconds for record in records), records[-1].step
  return (
    f'<p>{len(records)} {"epoch" if len(records) == 1 else "epochs"}, {steps:,} {"step" if steps == 1 else "steps"}, '
    f'{total / 60:,.1f} minutes of training (evaluation not included).</p>'
  ) + _epochs(records)


def _epochs(records: Sequence[history.Record]) -> str:
  head = (
    'epoch',
    'stage',
    'loss',
    'accuracy',
    'val_loss',
    'val_accuracy',
    'learning rate',
    'seconds',
    'images/s',
  )
  return page.table('epochs', head, list(_epoch_rows(records)))


def _epoch_rows(records: Sequence[history.Record]) -> Iterator[tuple[str, ...]]:
  for r in records:
    figures = f'{r.loss:.4f}', f'{r.accuracy:.3f}', f'{r.val_loss:.4f}', f'{r.val_accuracy:.3f}'
    yield (
      str(r.epoch),
      r.stage,
      *figures,
      f'{r.learning_rate:.2e}',
      f'{r.seconds:.1f}',
      f'{r.images_per_second:.0f}',
    )


def _code(value: Any) -> str:
  return f'<pre tabindex="0">{page.text(json.dumps(value, indent=1))}</pre>'
