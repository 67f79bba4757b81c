"""explain.html and explain.json: a set of images explained, on one page."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from bloodcell_jax.base import types
from bloodcell_jax.explain import explainer, regions
from bloodcell_jax.models import geometry
from bloodcell_jax.reports import page, report
from bloodcell_jax.system import atomic

TITLES = {name: title for name, (title, _) in explainer.METHODS.items()}
# A mean rank correlation above this says that a map hardly depends on the weights.
SUSPECT = 0.7


@dataclasses.dataclass(frozen=True)
class Entry:
  """One image on the page, without its arrays."""

  file: str
  stem: str  # what the names of its files begin with
  labelled: str  # its class where it is known, else empty
  predicted: str
  probability: float  # of `explained`
  explained: str  # the class that the maps are about
  numbers: dict[str, Any]  # of Explanation.numbers

  def files(self) -> tuple[str, str, str]:
    """Its maps over the image, its layers, its arrays."""
    return f'{self.stem}_attribution.png', f'{self.stem}_layers.png', f'{self.stem}.npz'


def write(
  folder: pathlib.Path,
  run: str,
  note: str,
  layers: Sequence[geometry.Layer],
  last_convolution: str,
  entries: Sequence[Entry],
  problems: Sequence[types.Problem],
) -> pathlib.Path:
  """Writes `explain.json`, then `explain.html`, from figures that lie in the folder already; gives the page's path."""
  atomic.write_json(folder / 'explain.json', to_json(run, note, layers, last_convolution, entries, problems))
  sections = [('shares', 'Where the answers come from'), ('trust', 'How far to trust the maps')]
  sections += [('layers', 'Layers'), *((entry.stem, entry.file) for entry in entries)]
  sections += [('left-out', 'Left out')] if problems else []
  title = f'What {run} looks at'
  parts = [
    f'<h1>{page.text(title)}</h1>',
    *(f'<p class="note" role="note">{page.text(said)}</p>' for said in (note, report.RESEARCH_ONLY) if said),
    page.contents(sections),
    page.heading(*sections[0]),
    _shares(entries),
    page.heading(*sections[1]),
    _trust(entries),
    page.heading(*sections[2]),
    _layers(layers, last_convolution, entries),
    page.picture(folder / 'filters.png', 'filters of the first layer'),
    *(_image(folder, entry) for entry in entries),
  ]
  if problems:
    items = ''.join(f'<li>{page.text(str(problem))}</li>' for problem in problems)
    parts += [page.heading('left-out', f'Left out: {len(problems)}'), f'<ul>{items}</ul>']
  made = folder / 'explain.html'
  atomic.write_text(made, page.whole(title, parts))
  return made


def to_json(
  run: str,
  note: str,
  layers: Sequence[geometry.Layer],
  last_convolution: str,
  entries: Sequence[Entry],
  problems: Sequence[types.Problem],
) -> dict[str, Any]:
  """Every figure of the page."""
  return {
    'run': run,
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
  """By region the mean share of a method's attribution over the images that have both; None where none has."""
  return {
    region: _mean([e.numbers['share'][method].get(region) for e in entries]) for region in explainer.REGIONS
  }


def correlations(entries: Sequence[Entry], method: str) -> list[float | None]:
  """The rank correlations with maps of shuffled weights, of every image and shuffle; None where a map was flat."""
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
  missing = f' No nucleus was found in {without} of the images.' if without else ''
  return (
    '<p>The share of each map that lies on the nucleus of the white cell, on black pixels and on the border, mean '
    f'over {len(entries)} image{"s" if len(entries) != 1 else ""}. A map without any preference would have the '
    'share of the area. The nucleus is the most purple blob; the cytoplasm around it belongs to the cell but not '
    f'to this share. Black: no colour above {regions.BLACK} of 255. Border: {regions.BORDER:.0%} of the side along '
    f'each edge. Regions may overlap.{missing}</p>'
    + page.table('mean shares', ('map', *explainer.REGIONS, 'counted'), rows)
  )


def _trust(entries: Sequence[Entry]) -> str:
  rows, suspect = [], []
  for name, title in TITLES.items():
    values = correlations(entries, name)
    mean, known = _mean(values), [value for value in values if value is not None]
    if mean is not None and mean > SUSPECT:
      suspect.append(title)
    span = f'{min(known):.2f} to {max(known):.2f}' if known else 'n/a'
    rows.append((title, _number(mean), span, str(len(values)), str(values.count(None))))
  verdict = (
    f'Above {SUSPECT}: {", ".join(suspect)}. Such a map shows the image more than what the network learned.'
    if suspect
    else f'None is above {SUSPECT}.'
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
    '<p>With its weights shuffled the network knows nothing, and a map that explains it must change '
    "(Adebayo et al. 2018). Spearman's rank correlation of the map before and after: 0 for no likeness, 1 for the same "
    'map; flat where a map has one value everywhere. Occlusion and integrated gradients take long and are compared '
    f'on the first image alone. {page.text(verdict)}</p>'
    + page.table('maps against those of shuffled weights', ('map', 'mean', 'from, to', 'maps', 'flat'), rows)
    + '<p>Integrated gradients must add up to the difference between the logit of the image and that of the baseline, '
    f'the mean colour of what is not black. Points are added until the gap is {explainer.TOLERANCE:.0%} or less, or '
    f'there are {explainer.MOST_POINTS}.</p>'
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
    '<p>Height by the formula (size + padding - kernel) / stride + 1, rounded down. Zeros: the share of the '
    f"layer's values that are 0, mean over the images. Grad-CAM looks at {page.text(last_convolution)}.</p>"
    + page.table('layers', ('layer', 'kind', 'formula', 'size', 'agrees', 'zeros'), rows)
  )


def _image(folder: pathlib.Path, entry: Entry) -> str:
  overlays, maps, arrays = entry.files()
  labelled = f', labelled {entry.labelled}' if entry.labelled else ''
  about = '' if entry.explained == entry.predicted else f' The maps are about {entry.explained}.'
  rows = [('share of the area', *(_percent(entry.numbers['area'].get(r)) for r in explainer.REGIONS), '–')]
  for name, title in TITLES.items():
    share = entry.numbers['share'][name]
    values = entry.numbers['rank_correlation'][name]
    said = ', '.join('flat' if value is None else _number(value) for value in values)
    rows.append((title, *(_percent(share.get(r)) for r in explainer.REGIONS), said or '–'))
  return (
    page.heading(entry.stem, entry.file)
    + f'<p>Predicted {page.text(entry.predicted)}{page.text(labelled)}.{page.text(about)} '
    f'Probability of {page.text(entry.explained)}: {entry.probability:.1%}. Arrays: {page.text(arrays)}</p>'
    + page.picture(
      folder / overlays, f'maps over {entry.file}: where the answer {entry.explained} comes from'
    )
    + page.table(f'shares of {entry.file}', ('map', *explainer.REGIONS, 'rank correlations, shuffled'), rows)
    + '<details><summary>What each layer makes of it</summary>'
    + page.picture(folder / maps, f'maps of every layer for {entry.file}')
    + '</details>'
  )


def _mean(values: Sequence[float | None]) -> float | None:
  known = [value for value in values if value is not None]
  return float(np.mean(known)) if known else None


def _percent(value: float | None) -> str:
  return 'n/a' if value is None else f'{value:.1%}'


def _number(value: float | None) -> str:
  return 'n/a' if value is None else f'{value:.2f}'
