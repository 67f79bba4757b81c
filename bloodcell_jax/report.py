"""Everything about a run on one self-contained page, read from the files of its folder."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from typing import Any

from bloodcell_jax import atomic, workdir
from bloodcell_jax.train import history

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c1c1c; margin: 0 auto; max-width: 76rem; padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.note { border-left: .3rem solid #a33; background: #fbeeee; padding: .6rem 1rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { border-bottom: 1px solid #ddd; padding: .25rem .6rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; height: auto; } .pair { display: flex; flex-wrap: wrap; gap: 1rem; }
.small { font-size: .85rem; color: #555; }
pre { overflow-x: auto; background: #f5f5f5; padding: .6rem; font-size: .8rem; }
"""
RESEARCH_ONLY = 'Research use only. Not a medical device, never a diagnosis.'
SHOWN = ('macro_f1', 'balanced_accuracy', 'accuracy', 'log_loss', 'brier', 'ece')


def write(folder: workdir.Workdir) -> None:
  """Writes `report.html` from config, environment, history, metrics and figures."""
  metrics = json.loads(folder.metrics.read_text())
  folds = metrics.pop('folds', None)
  environment = json.loads(folder.environment.read_text())
  data = environment['data']
  notes = [*dict.fromkeys(entry['note'] for entry in metrics.values() if entry['note']), RESEARCH_ONLY]
  # A cross-validation has no epochs of its own: its folds have.
  records = history.read(folder.history) if folder.history.exists() else []
  parts = [
    f'<h1>{html.escape(folder.path.name)}</h1>',
    *(f'<p class="note" role="note">{html.escape(note)}</p>' for note in notes),
    '<h2>What it was trained on</h2>',
    _data(data),
    _picture(folder, 'distribution.png', 'images and photographs of each class and split'),
    '<h2>Results</h2>',
    _intervals(metrics),
    _results(metrics),
    *([_folds(folds)] if folds else []),
    *(_split(folder, name, entry) for name, entry in metrics.items()),
    '<h2>Training</h2>',
    _picture(folder, 'history.png', 'loss and accuracy by epoch'),
    _picture(folder, 'augmentation.png', 'a training image as it is and under random augmentation'),
    _epochs(records),
    '<h2>Versions and config</h2>',
    f'<pre>{html.escape(json.dumps({k: v for k, v in environment.items() if k != "data"}, indent=1))}</pre>',
    f'<pre>{html.escape(json.dumps(folder.read_config(), indent=1))}</pre>',
  ]
  page = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    f'<title>{html.escape(folder.path.name)}</title><style>{STYLE}</style></head><body><main>'
    + '\n'.join(parts)
    + '</main></body></html>\n'
  )
  atomic.write_text(folder.report, page)


def _data(data: dict[str, Any]) -> str:
  rows = []
  for split, classes in data['counts'].items():
    for name, (num_images, num_photographs) in classes.items():
      rows.append((f'{split} {name}', f'{num_photographs:,}', f'{num_images:,}'))
  skipped = data['skipped']
  text = (
    f'<p>{html.escape(data["name"])}. Files left out: {len(skipped)}; converted: {data["num_converted"]}.</p>'
  )
  if skipped:
    text += '<ul>' + ''.join(f'<li>{html.escape(line)}</li>' for line in skipped) + '</ul>'
  return text + _table(('split and class', 'photographs', 'images'), rows)


def _results(metrics: dict[str, Any]) -> str:
  rows = [
    (name, f'{entry["num_images"]:,}', f'{entry["num_groups"]:,}', *(_figure(entry[key]) for key in SHOWN))
    for name, entry in metrics.items()
  ]
  return _table(('split', 'images', 'groups', *SHOWN), rows)


def _folds(folds: dict[str, Any]) -> str:
  """The figures of each fold, their mean and their spread."""
  rows = []
  for split, figures in folds['splits'].items():
    columns = [figures[name] for name in SHOWN]
    each = zip(*(column['values'] for column in columns), strict=True)
    rows += [(f'{split}, fold {k + 1}', *map(_number, values)) for k, values in enumerate(each)]
    for name, title in (('mean', 'mean'), ('sd', 'standard deviation')):
      rows.append((f'{split}, {title}', *(_number(column[name]) for column in columns)))
  return (
    f'<h2>Folds</h2><p>{folds["num_folds"]} networks, each trained without the images of its fold, which chose '
    'nothing either. Each has a report of its own, folds/K/report.html.</p>' + _table(('split', *SHOWN), rows)
  )


def _intervals(metrics: dict[str, Any]) -> str:
  """How the intervals were made, in words."""
  made = next(iter(metrics.values()))['interval']
  return (
    f'<p>In brackets: {100 * made["confidence"]:g} % intervals ({html.escape(made["method"])}), by '
    f'{made["num_resamples"]:,} resamples of groups. A group is all images of one field of a smear: they are '
    'copies of each other and count as one.</p>'
  )


def _split(folder: workdir.Workdir, name: str, entry: dict[str, Any]) -> str:
  rows = [
    (
      k,
      f'{v["num_groups"]:,}',
      f'{v["num_images"]:,}',
      *(_figure(v[x]) for x in ('precision', 'recall', 'f1')),
      _number(v['roc_auc']['value']),
    )
    for k, v in entry['per_class'].items()
  ]
  votes = '; '.join(
    f'by {how.replace("_", " ")} {vote["num_right"]} of {vote["num_groups"]} ({_figure(vote)})'
    for how, vote in entry['by_group'].items()
  )
  exceptions = entry['interval']['exceptions']
  methods = '; '.join(
    f'{", ".join(key for key, used in exceptions.items() if used == method)}: {method}'
    for method in dict.fromkeys(exceptions.values())
  )
  few = (
    f'<p class="small">Other intervals where groups are few: {html.escape(methods)}.</p>' if methods else ''
  )
  pictures = _picture(folder, f'confusion_{name}.png', f'confusion matrix of {name}') + _picture(
    folder, f'reliability_{name}.png', f'reliability diagram of {name}'
  )
  table = _table(('class', 'groups', 'images', 'precision', 'recall', 'f1', 'ROC area'), rows)
  return (
    f'<h2>{html.escape(name)}</h2>{table}<p>Groups named right by a vote of their images: {html.escape(votes)}.'
    f'</p>{few}<div class="pair">{pictures}</div>'
  )


def _epochs(records: Sequence[history.Record]) -> str:
  rows = [
    (
      str(r.epoch),
      r.stage,
      f'{r.loss:.4f}',
      f'{r.accuracy:.3f}',
      f'{r.val_loss:.4f}',
      f'{r.val_accuracy:.3f}',
    )
    + (f'{r.learning_rate:.2e}', f'{r.seconds:.1f}', f'{r.images_per_second:.0f}')
    for r in records
  ]
  head = ('epoch', 'stage', 'loss', 'accuracy', 'val_loss', 'val_accuracy', 'rate', 'seconds', 'images/s')
  return _table(head, rows)


def _figure(entry: dict[str, float | None]) -> str:
  if entry['value'] is None or entry['low'] is None:
    return _number(entry['value'])
  return f'{entry["value"]:.3f} [{entry["low"]:.3f}, {entry["high"]:.3f}]'


def _number(value: float | None) -> str:
  return 'n/a' if value is None else f'{value:.3f}'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  top = ''.join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)
  body = ''.join(
    '<tr>' + ''.join(f'<td>{html.escape(str(cell))}</td>' for cell in row) + '</tr>' for row in rows
  )
  return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _picture(folder: workdir.Workdir, name: str, alt: str) -> str:
  path = folder.figures / name
  if not path.exists():
    return ''
  data = base64.b64encode(path.read_bytes()).decode()
  return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'
