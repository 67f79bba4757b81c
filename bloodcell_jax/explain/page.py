"""`explain.html` and `explain.json`: the explanations of a set of images."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib
import shutil
from collections.abc import Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.explain import explainer, regions
from bloodcell_jax.models import geometry
from bloodcell_jax.reports import page, report
from bloodcell_jax.storage import prediction_folder
from bloodcell_jax.system import atomic

TITLES = {name: title for name, (title, _) in explainer.METHODS.items()}
# A map with a mean rank correlation above this hardly depends on the weights.
MAX_CORRELATION = 0.7


@dataclasses.dataclass(frozen=True)
class Origin:
  """Where the explained images and the network come from."""

  run: str  # the name of the run
  folder: str  # its absolute path
  paths: list[str]  # absolute, of the images; empty for those of the run's own split

  def line(self) -> str:
    """A sentence that names both."""
    more = f' and {len(self.paths) - 5:,} more' if len(self.paths) > 5 else ''
    return f'Images: {", ".join(self.paths[:5]) or "of the run itself"}{more}. Run: {self.folder}.'


@dataclasses.dataclass(frozen=True)
class Entry:
  """One image on the page, without its arrays."""

  file: str
  stem: str  # the prefix of its files' names
  labelled: str  # its label, or empty
  predicted: str
  probability: float  # of `explained`
  explained: str  # the class that the maps explain
  numbers: dict[str, Any]  # from Explanation.numbers

  def files(self) -> tuple[str, str, str]:
    """The files with its attribution maps, its feature maps and its arrays."""
    return f'{self.stem}_attribution.png', f'{self.stem}_layers.png', f'{self.stem}.npz'


def write(
  folder: pathlib.Path,
  origin: Origin,
  note: str,
  layers: Sequence[geometry.Layer],
  last_convolution: str,
  entries: Sequence[Entry],
  problems: Sequence[types.Problem],
) -> pathlib.Path:
  """Writes `explain.json`, then `explain.html` with the figures that the folder holds; returns the page's path."""
  atomic.write_json(
    folder / 'explain.json', to_json(origin, note, layers, last_convolution, entries, problems)
  )
  sections = [('shares', 'Attribution by region'), ('trust', 'Sanity checks of the maps')]
  sections += [('layers', 'Layers'), *((entry.stem, entry.file) for entry in entries)]
  sections += [('left-out', f'Left out: {len(problems)}')] if problems else []
  title = f'Explanations: {origin.run}'
  parts = [
    f'<h1>{page.text(title)}</h1>',
    *(f'<p class="note" role="note">{page.text(line)}</p>' for line in (note, report.RESEARCH_ONLY) if line),
    f'<p class="small">{page.text(origin.line())}</p>',
    page.contents(sections),
    page.heading(*sections[0]),
    _shares(entries),
    page.heading(*sections[1]),
    _trust(entries),
    page.heading(*sections[2]),
    _layers(layers, last_convolution, entries),
    page.picture(folder / 'filters.png', 'filters of the first convolution'),
    *(_image(folder, entry) for entry in entries),
  ]
  if problems:
    items = ''.join(f'<li>{page.text(str(problem))}</li>' for problem in problems)
    parts += [page.heading(*sections[-1]), f'<ul>{items}</ul>']
  path = folder / 'explain.html'
  atomic.write_text(path, page.whole(title, parts))
  return path


def set_aside(folder: pathlib.Path, paths: list[str]) -> pathlib.Path | None:
  """Renames the folder of the explanations of other images, so that none are lost; returns its new path, or None.

  Args:
    folder: which; it does not exist, or holds explanations.
    paths: of the images to be explained, as in `Origin`; explanations of these stay and are replaced.
  """
  if not (folder / 'explain.json').exists():
    return None
  before = _paths(folder)
  if before == paths:
    return None
  name = f'{folder.name}_{_suffix(before)}'
  for number in itertools.count(1):
    target = folder.with_name(name if number == 1 else f'{name}-{number}')
    if target.exists() and before is not None and _paths(target) == before:
      # An earlier state of the same explanations.
      shutil.rmtree(target)
    if not target.exists():
      break
  folder.rename(target)
  return target


def _suffix(paths: list[str] | None) -> str:
  """The suffix of a folder that was set aside: the name of its images, `own` for those of the run."""
  if paths is None:
    return 'before'
  return prediction_folder.folder_name(paths) if paths else 'own'


def _paths(folder: pathlib.Path) -> list[str] | None:
  """The paths whose images the folder explains; None where it does not say."""
  try:
    return json.loads((folder / 'explain.json').read_text('utf-8'))['paths']
  except (OSError, ValueError, KeyError, TypeError):
    return None


def to_json(
  origin: Origin,
  note: str,
  layers: Sequence[geometry.Layer],
  last_convolution: str,
  entries: Sequence[Entry],
  problems: Sequence[types.Problem],
) -> dict[str, Any]:
  """The contents of `explain.json`: every figure of the page."""
  return {
    'run': origin.run,
    'run_folder': origin.folder,
    'paths': origin.paths,
    'note': note,
    'last_convolution': last_convolution,
    'layers': [{**dataclasses.asdict(layer), 'agrees': layer.agrees} for layer in layers],
    'counted': {name: counted for name, (_, counted) in explainer.METHODS.items()},
    'mean_share': {name: share_means(entries, name) for name in explainer.METHODS},
    'mean_area': {
      region: _mean([e.numbers['area'].get(region) for e in entries]) for region in explainer.REGIONS
    },
    'mean_rank_correlation': {name: _mean(correlations(entries, name)) for name in explainer.METHODS},
    'images': [{**dataclasses.asdict(entry), 'files': list(entry.files())} for entry in entries],
    'problems': [dataclasses.asdict(problem) for problem in problems],
  }


def share_means(entries: Sequence[Entry], method: str) -> dict[str, float | None]:
  """By region, the mean share of a method's attribution over the images for which it is known; None if for none."""
  return {
    region: _mean([e.numbers['share'][method].get(region) for e in entries]) for region in explainer.REGIONS
  }


def correlations(entries: Sequence[Entry], method: str) -> list[float | None]:
  """Rank correlations with the maps of shuffled weights, for every image and shuffle; None if a map is constant."""
  return [value for entry in entries for value in entry.numbers['rank_correlation'][method]]


def _shares(entries: Sequence[Entry]) -> str:
  rows = [
    (
      'share of the area',
      *(_percent(_mean([e.numbers['area'].get(r) for e in entries])) for r in explainer.REGIONS),
      '',
    )
  ]
  for name, (title, counted) in explainer.METHODS.items():
    means = share_means(entries, name)
    rows.append((title, *(_percent(means[r]) for r in explainer.REGIONS), counted))
  without = sum('nucleus' not in e.numbers['area'] for e in entries)
  missing = (
    f' No nucleus was found in {without} of the images, which are left out of its mean.' if without else ''
  )
  return (
    '<p>The share of each attribution map that lies on the nucleus of the white cell, on black pixels and on the '
    f'border, {"mean over " if len(entries) != 1 else ""}{len(entries)} image{"s" if len(entries) != 1 else ""}. A map '
    'that prefers no region would have the share of the area. Nucleus: the most purple blob, without the cytoplasm '
    f'around it. Black: no channel above {regions.BLACK} of 255. Border: {regions.BORDER:.0%} of the side along '
    f'each edge. Regions may overlap.{missing}</p>'
    + page.table('mean shares', ('map', *explainer.REGIONS, 'counted values'), rows)
  )


def _trust(entries: Sequence[Entry]) -> str:
  rows, insensitive = [], []
  for name, title in TITLES.items():
    values = correlations(entries, name)
    mean, known = _mean(values), [value for value in values if value is not None]
    if mean is not None and mean > MAX_CORRELATION:
      insensitive.append(title)
    span = f'{min(known):.2f} to {max(known):.2f}' if known else 'n/a'
    rows.append((title, _number(mean), span, str(len(values)), str(values.count(None))))
  conclusion = (
    f'Above {MAX_CORRELATION}: {", ".join(insensitive)}. Such a map reflects the image rather than what the network '
    'learned.'
    if insensitive
    else f'No mean is above {MAX_CORRELATION}.'
  )
  gaps = [
    (
      e.file,
      f'{e.numbers["completeness"]["logit_difference"]:+.3f}',
      f'{e.numbers["completeness"]["sum"]:+.3f}',
      f'{e.numbers["completeness"]["gap"]:.2%}',
      str(e.numbers['completeness']['num_points']),
    )
    for e in entries
  ]
  return (
    '<p>Weight randomization (Adebayo et al. 2018): if its weights are shuffled, a network has lost what it learned, '
    "and a map that explains it must change. Spearman's rank correlation of the maps before and after is 0 "
    'if they are unrelated, 1 if they rank the pixels alike; it is undefined for a constant map. Occlusion and '
    f'integrated gradients are slow and are compared on the first image only. {page.text(conclusion)}</p>'
    + page.table(
      'rank correlation with the maps of shuffled weights',
      ('map', 'mean', 'range', 'comparisons', 'constant maps'),
      rows,
    )
    + '<p>Completeness: integrated gradients must sum to the difference between the logit of the image and that of the '
    'baseline, which has the mean colour of the pixels that are not black. Points are added until the gap is '
    f'{explainer.TOLERANCE:.0%} or less, or '
    f'there are {explainer.MAX_POINTS}.</p>'
    + page.table(
      'completeness of integrated gradients', ('image', 'difference', 'sum', 'gap', 'points'), gaps
    )
  )


def _layers(layers: Sequence[geometry.Layer], last_convolution: str, entries: Sequence[Entry]) -> str:
  rows = [
    (
      layer.name,
      layer.kind,
      layer.formula or '–',
      ' x '.join(map(str, layer.shape)),
      ('yes' if layer.agrees else f'no: {" x ".join(map(str, layer.expected))}') if layer.formula else '–',
      _percent(_mean([entry.numbers['zeros'][layer.name] for entry in entries])),
    )
    for layer in layers
  ]
  return (
    '<p>Formula: output size = (size + padding - kernel) / stride + 1, rounded down. Zeros: the share of the '
    f"layer's values that are 0, mean over the images. Grad-CAM uses the output of {page.text(last_convolution)}.</p>"
    + page.table('layers', ('layer', 'kind', 'formula', 'output size', 'as computed', 'zeros'), rows)
  )


def _image(folder: pathlib.Path, entry: Entry) -> str:
  overlays, maps, arrays = entry.files()
  labelled = f', labelled {entry.labelled}' if entry.labelled else ''
  about = '' if entry.explained == entry.predicted else f' The maps explain {entry.explained}.'
  rows = [('share of the area', *(_percent(entry.numbers['area'].get(r)) for r in explainer.REGIONS), '–')]
  for name, title in TITLES.items():
    share = entry.numbers['share'][name]
    values = entry.numbers['rank_correlation'][name]
    cell = ', '.join('undefined' if value is None else _number(value) for value in values)
    rows.append((title, *(_percent(share.get(r)) for r in explainer.REGIONS), cell or '–'))
  return (
    page.heading(entry.stem, entry.file)
    + f'<p>Predicted {page.text(entry.predicted)}{page.text(labelled)}.{page.text(about)} '
    f'Probability of {page.text(entry.explained)}: {entry.probability:.1%}. Arrays: {page.text(arrays)}</p>'
    + page.picture(folder / overlays, f'attribution maps for {entry.explained} over {entry.file}')
    + page.table(
      f'attribution by region for {entry.file}',
      ('map', *explainer.REGIONS, 'rank correlation, shuffled weights'),
      rows,
    )
    + '<details><summary>Feature maps of every layer</summary>'
    + page.picture(folder / maps, f'feature maps of every layer for {entry.file}')
    + '</details>'
  )


def _mean(values: Sequence[float | None]) -> float | None:
  known = [value for value in values if value is not None]
  return float(np.mean(known)) if known else None


def _percent(value: float | None) -> str:
  return 'n/a' if value is None else f'{value:.1%}'


def _number(value: float | None) -> str:
  return 'n/a' if value is None else f'{value:.2f}'
