"""The section about the members in an ensemble's report: their figures next to its own, and their diversity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bloodcell_jax.ensembles import method
from bloodcell_jax.reports import page, selection, split_section
from bloodcell_jax.stats import metrics as merits
from bloodcell_jax.storage import ensemble_file, workdir

TITLE = 'Members'
# By combination rule: what the members are combined by.
_RULES = {
  'auto': 'the mean of their probabilities',
  'mean': 'the mean of their probabilities',
  'logits': 'the mean of their logits',
  'geometric': 'the normalised geometric mean of their probabilities',
  'vote': 'a majority vote',
  'weighted': 'a weighted mean of their probabilities',
  'swa': 'averaging their weights into one network',
  'soup': 'averaging the weights of the members selected on validation into one network',
  'logistic': 'a logistic regression',
  'gradient_boosting': 'gradient-boosted trees',
  'mlp': 'a small neural network',
  'samme': 'a vote with the weights of SAMME',
  'samme_r': 'the sum of log probabilities of SAMME.R',
  'gradient': 'the sum of their boosting steps',
}


def section(
  folder: workdir.Workdir,
  ensemble: Mapping[str, Any],
  metrics: Mapping[str, Any],
  chosen: Mapping[str, Sequence[str]],
) -> str:
  """The section as HTML.

  Args:
    folder: the ensemble's.
    ensemble: the contents of its `ensemble.json`.
    metrics: the splits of its `metrics.json`.
    chosen: as from `selection.choices`.
  """
  parts = [page.heading('members', TITLE), _summary(ensemble), _evaluation_note(ensemble, metrics)]
  for split in _headlines(ensemble, metrics, chosen):
    parts.append(_figures(split, ensemble, metrics[split], chosen))
  parts += [
    _out_of_bag(ensemble),
    '<div class="pair">',
    page.picture(folder.figures / 'members.png', 'error rate against the number of members'),
    page.picture(folder.figures / 'diversity.png', 'disagreement of each pair of members'),
    '</div>',
    _diversity(ensemble),
    _boosting(ensemble),
  ]
  return '\n'.join(part for part in parts if part)


def networks(
  folder: workdir.Workdir, ensemble: Mapping[str, Any] | None, own: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
  """The networks of a run as its `environment.json` describes one: each architecture of its members, or its own.

  Args:
    folder: the run's.
    ensemble: the contents of its `ensemble.json`; None for a run that is no ensemble.
    own: the network in its own `environment.json`, which stands for all members of one architecture.
  """
  if ensemble is None or 'runs' in ensemble:
    return [own]
  members = [workdir.Workdir(ensemble_file.member(folder, int(number))) for number in ensemble['members']]
  each = [one.read_environment()['network'] for one in members if one.environment.exists()]
  by_name = {network['name']: network for network in each}
  return list(by_name.values()) if len(by_name) > 1 else [own]


def _evaluation_note(ensemble: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
  """A note if the ensemble was evaluated with other values of `evaluate.*` than its members."""
  now = next((entry['evaluation'] for entry in metrics.values() if 'evaluation' in entry), None)
  before = ensemble.get('evaluation')
  if now is None or before is None or now == before:
    return ''
  keys = ', '.join(f'evaluate.{key}={before[key]}' for key in before if before[key] != now.get(key))
  return (
    f'<p class="note" role="note">The figures of the members, and the comparisons with them, were computed with '
    f'{page.text(keys)}; the other figures on this page were not. To compute all of them again, run the command that '
    'trained the ensemble with the keys you want.</p>'
  )


def _headlines(
  ensemble: Mapping[str, Any], metrics: Mapping[str, Any], chosen: Mapping[str, Sequence[str]]
) -> list[str]:
  """The headline split and validation, as far as the ensemble has figures of them."""
  splits = [split for split in ensemble['figures'] if split in metrics]
  first = selection.headline(splits, chosen)
  return [split for split in dict.fromkeys((first, 'validation')) if split in splits]


def _summary(ensemble: Mapping[str, Any]) -> str:
  number, learned_on = len(ensemble['members']), ensemble.get('learned_on', selection.VALIDATION)
  rule = _RULES[ensemble['combine']]
  fitted = ' fitted on out-of-sample predictions' if ensemble['kind'] in method.STACKED else ''
  if ensemble['combine'] == method.WEIGHTED:
    fitted = f', with weights fitted on {learned_on}'
  # Of finished runs each may be of several networks.
  noun = 'run' if 'runs' in ensemble else 'network'
  runs = ''.join(f'<li>{page.text(name)}</li>' for name in ensemble['members']) if 'runs' in ensemble else ''
  # Cross-validations have no other split that a fitted rule could be scored on.
  without = ''
  if 'runs' in ensemble and learned_on == selection.OUT_OF_FOLD:
    without = (
      f' This rule was fitted on all images of {learned_on}; the figures on {learned_on} are of rules of its kind, '
      'each fitted without the groups of the images that it answers.'
    )
  return (
    f'<p>{number} {noun}s ({page.text(ensemble["method"])}), combined by {page.text(rule)}{fitted}. Each '
    f'{noun} has its own report.{without}</p>' + (f'<ul>{runs}</ul>' if runs else '')
  )


def _figures(
  split: str, ensemble: Mapping[str, Any], own: Mapping[str, Any], chosen: Mapping[str, Sequence[str]]
) -> str:
  # Older versions wrote only some of the figures.
  known = [f for f in merits.FIGURES if any(f.name in figures for figures in ensemble['figures'][split])]
  weights = ensemble['weights'] or [None] * len(ensemble['members'])
  rows = [
    (
      name,
      '' if weight is None else f'{weight:.3f}',
      *(split_section.figure(figures.get(f.name)) for f in known),
    )
    for name, weight, figures in zip(ensemble['members'], weights, ensemble['figures'][split], strict=True)
  ]
  rows.append(('ensemble', '', *(split_section.figure(own.get(f.name)) for f in known)))
  table = page.table(f'members on {split}', ('member', 'weight', *(f.title for f in known)), rows)
  caution = selection.sentence(split, chosen)
  if caution:
    # A comparison of members on the images that selected them would be no test.
    return table + f'<p class="note">{page.text(caution)}</p>'
  return table + _gain(split, ensemble)


def _gain(split: str, ensemble: Mapping[str, Any]) -> str:
  # The best member was chosen on validation; older runs have the comparison there as well.
  if split == 'validation' or split not in ensemble['gain_on_best']:
    return ''
  entry = ensemble['gain_on_best'][split]['accuracy']
  bounds = '' if entry['low'] is None else f' [{entry["low"]:+z.3f}, {entry["high"]:+z.3f}]'
  return (
    f'<p>Compared with member {page.text(ensemble["best_member"])}, which has the lowest log loss on validation, on '
    f'the same images of {page.text(split)}: accuracy {entry["difference"]:+z.3f}{bounds}, '
    f'p {entry["p_value"]:.3f}.</p>'
  )


def _out_of_bag(ensemble: Mapping[str, Any]) -> str:
  if 'out_of_bag_share' not in ensemble:
    return ''
  return (
    f'<p>out_of_bag: {ensemble["out_of_bag_share"]:.1%} of the training images belong to groups that at least one '
    'member was not trained on. The out-of-bag figures use the predictions of those members alone and are a second '
    'estimate besides the one on test.</p>'
  )


def _diversity(ensemble: Mapping[str, Any]) -> str:
  if not ensemble.get('diversity'):
    return ''
  names = list(next(iter(ensemble['diversity'].values())))
  rows = [
    (split, *(split_section.number(measures[name]) for name in names))
    for split, measures in ensemble['diversity'].items()
  ]
  return (
    page.table(
      'diversity of the members, mean over all pairs', ('split', *(n.replace('_', ' ') for n in names)), rows
    )
    + '<p class="small">Disagreement: share of images that exactly one of two members classifies correctly. '
    'Q-statistic: 1 if both err on the same images, 0 if their errors are independent, negative if they err on '
    'different images. Kappa: agreement of their predictions beyond chance. Double fault: share of images '
    'that both misclassify.</p>'
  )


def _boosting(ensemble: Mapping[str, Any]) -> str:
  if 'boosting' not in ensemble:
    return ''
  boosting = ensemble['boosting']
  rows = [
    (str(i + 1), f'{error:.3f}', f'{share:.3f}', f'{loss:.4f}')
    for i, (error, share, loss) in enumerate(
      zip(boosting['training_error'], boosting['shares'], boosting['losses'], strict=True)
    )
  ]
  html = page.table(
    'boosting, member by member',
    (
      'member',
      'weighted error on training groups',
      'weight',
      f'{boosting["measured"]} of the ensemble so far',
    ),
    rows,
  )
  if boosting['ended']:
    html += f'<p>Boosting stopped early: {page.text(boosting["ended"])}.</p>'
  if 'group_error_bound' in boosting:
    html += (
      f'<p>Share of training groups that the vote misclassifies: {boosting["group_error"]:.3f}; theoretical upper '
      f'bound: {min(1.0, boosting["group_error_bound"]):.3f}.</p>'
    )
  return html
