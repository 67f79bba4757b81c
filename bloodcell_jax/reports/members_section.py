"""The part of an ensemble's report about its members: their figures beside its own, and how much they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bloodcell_jax.reports import page, selection, split_section
from bloodcell_jax.stats import metrics as merits
from bloodcell_jax.storage import workdir

TITLE = 'Members'
_WAYS = {
  'auto': 'the mean of their probabilities',
  'mean': 'the mean of their probabilities',
  'logits': 'the mean of their logits',
  'geometric': 'the geometric mean of their probabilities, normalised',
  'vote': 'a vote for the likeliest class of each',
  'weighted': 'a mean of their probabilities with weights fitted on validation',
  'swa': 'one network with the mean of their weights',
  'soup': 'one network with the mean of the weights of those that validation keeps',
  'logistic': 'a logistic regression',
  'gradient_boosting': 'gradient boosting of trees',
  'mlp': 'a small network',
  'samme': 'a vote weighted by SAMME',
  'samme_r': "SAMME.R's sum of logarithms",
  'gradient': 'the sum of their steps',
}


def section(
  folder: workdir.Workdir,
  told: Mapping[str, Any],
  metrics: Mapping[str, Any],
  chosen: Mapping[str, Sequence[str]],
) -> str:
  """The section.

  Args:
    folder: the ensemble's.
    told: its `ensemble.json`.
    metrics: its `metrics.json`.
    chosen: what each split chose, as from `selection.choices`.
  """
  parts = [page.heading('members', TITLE), _how(told), _scored_otherwise(told, metrics)]
  for split in _headlines(told, metrics, chosen):
    parts.append(_figures(split, told, metrics[split], chosen))
  parts += [
    _out_of_bag(told),
    '<div class="pair">',
    page.picture(folder.figures / 'members.png', 'error against the number of members'),
    page.picture(folder.figures / 'diversity.png', 'disagreement of each pair of members'),
    '</div>',
    _diversity(told),
    _boosting(told),
  ]
  return '\n'.join(part for part in parts if part)


def _scored_otherwise(told: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
  """A note where the ensemble has been evaluated with other keys than its members."""
  now = next((entry['evaluation'] for entry in metrics.values() if 'evaluation' in entry), None)
  before = told.get('evaluation')
  if now is None or before is None or now == before:
    return ''
  keys = ', '.join(f'evaluate.{key}={before[key]}' for key in before if before[key] != now.get(key))
  return (
    f'<p class="note" role="note">The figures of the members, and the comparisons with them, were computed with '
    f'{page.text(keys)}; the other figures on this page were not. To compute all of them again, run the command that '
    'trained the ensemble with the keys you want.</p>'
  )


def _headlines(
  told: Mapping[str, Any], metrics: Mapping[str, Any], chosen: Mapping[str, Sequence[str]]
) -> list[str]:
  """The split at the top of the report, and validation; those that the ensemble has figures of."""
  splits = [split for split in told['figures'] if split in metrics]
  first = selection.headline(splits, chosen)
  return [split for split in dict.fromkeys((first, 'validation')) if split in splits]


def _how(told: Mapping[str, Any]) -> str:
  number = len(told['members'])
  way = _WAYS[told['combine']]
  learned = ' fitted on predictions of rows that no member had seen' if told['kind'] in _LEARNED else ''
  runs = ''.join(f'<li>{page.text(name)}</li>' for name in told['members']) if 'runs' in told else ''
  return (
    f'<p>{number} networks ({page.text(told["method"])}), combined by {page.text(way)}{learned}. Each has a report of '
    f'its own.</p>' + (f'<ul>{runs}</ul>' if runs else '')
  )


_LEARNED = ('logistic', 'gradient_boosting', 'mlp')


def _figures(
  split: str, told: Mapping[str, Any], own: Mapping[str, Any], chosen: Mapping[str, Sequence[str]]
) -> str:
  # An older version wrote some figures of the members only.
  known = [f for f in merits.FIGURES if any(f.name in figures for figures in told['figures'][split])]
  weights = told['weights'] or [None] * len(told['members'])
  rows = [
    (
      name,
      '' if weight is None else f'{weight:.3f}',
      *(split_section.figure(figures.get(f.name)) for f in known),
    )
    for name, weight, figures in zip(told['members'], weights, told['figures'][split], strict=True)
  ]
  rows.append(('all together', '', *(split_section.figure(own.get(f.name)) for f in known)))
  table = page.table(f'members on {split}', ('member', 'weight', *(f.title for f in known)), rows)
  warned = selection.sentence(split, chosen)
  if warned:
    # A comparison on images that chose the members compared would be no test.
    return table + f'<p class="note">{page.text(warned)}</p>'
  return table + _gain(split, told)


def _gain(split: str, told: Mapping[str, Any]) -> str:
  # Validation chose that member; runs of before have the comparison there as well.
  if split == 'validation' or split not in told['gain_on_best']:
    return ''
  entry = told['gain_on_best'][split]['accuracy']
  bounds = '' if entry['low'] is None else f' [{entry["low"]:+.3f}, {entry["high"]:+.3f}]'
  return (
    f'<p>Against member {page.text(told["best_member"])}, which has the least log loss on validation, on the same '
    f'images of {page.text(split)}: accuracy {entry["difference"]:+.3f}{bounds}, p {entry["p_value"]:.3f}.</p>'
  )


def _out_of_bag(told: Mapping[str, Any]) -> str:
  if 'out_of_bag_share' not in told:
    return ''
  return (
    f'<p>out_of_bag: {told["out_of_bag_share"]:.1%} of the training images lie in groups that the bag of at least one '
    'member lacks; their figures come from those members alone, and stand beside TEST as a second honest estimate.</p>'
  )


def _diversity(told: Mapping[str, Any]) -> str:
  if not told.get('diversity'):
    return ''
  names = list(next(iter(told['diversity'].values())))
  rows = [
    (split, *(split_section.number(found[name]) for name in names))
    for split, found in told['diversity'].items()
  ]
  return (
    page.table(
      'how much pairs of members differ, on average', ('split', *(n.replace('_', ' ') for n in names)), rows
    )
    + '<p class="small">Disagreement: share of images that two members name differently. Q-statistic: 1 where they err '
    'on the same images, 0 where errors are independent, below where they err on different ones. Kappa: agreement of '
    'what they name beyond chance. Double fault: share of images that both get wrong.</p>'
  )


def _boosting(told: Mapping[str, Any]) -> str:
  if 'boosting' not in told:
    return ''
  found = told['boosting']
  rows = [
    (str(i + 1), f'{error:.3f}', f'{share:.3f}', f'{loss:.4f}')
    for i, (error, share, loss) in enumerate(
      zip(found['training_error'], found['shares'], found['losses'], strict=True)
    )
  ]
  said = page.table(
    'boosting, member by member',
    ('member', 'weighted error on training groups', 'share', f'{found["measured"]} of the members so far'),
    rows,
  )
  if found['ended']:
    said += f'<p>It ended early: {page.text(found["ended"])}.</p>'
  if 'group_error_bound' in found:
    said += (
      f'<p>Share of training groups that the vote gets wrong: {found["group_error"]:.3f}; theory lets it be '
      f'{min(1.0, found["group_error_bound"]):.3f} at most.</p>'
    )
  return said
