"""How time and memory grow with the work: images' side, batch, width, images, classes, members; and where a line bends.

    python -m benchmarks.growth --json=FILE --plot=FILE

Runs on whatever device is there. Each point is a process of its own; steps and evaluations are measured in turn, idle
while another is measured, whole runs one after the other after one that is not counted, since it compiles. Images and
labels are noise or synthetic smears: no accuracy means anything. Prints for each series a table, and for each of its
quantities whether it is a straight line in the work, or from where on it is not.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks import child, growth_line, growth_runs, growth_series, growth_step, machine

OURS = 'bloodcell_jax'
QUICK = ('batch', 'class_scores', 'averaging')  # the series of --quick
# Quantities: how tables, lines and pictures call them.
TITLES = {
  'ms': 'ms',
  'processor_ms': 'processor ms',
  'step_mb': 'MB of the step',
  'resident_mb': 'MB of the process',
  'parameters': 'parameters of the output layer',
  'figures': 'figures with intervals, ms',
  'matrix': 'picture of the confusion matrix, ms',
  'tables': 'CSV files, ms',
  'page': "the split's part of the page, ms",
}


def measured(what: str, argument: str) -> Callable[[int], Any]:
  """The function of a child process."""
  value = json.loads(argument)
  if what == growth_series.STEP:
    return growth_step.timed(growth_step.Case(**value))
  if what == growth_series.SCORES:
    return growth_runs.scored(*value)
  return growth_runs.averaged(value)


def measure(
  one: growth_series.Series, rounds: int, repeats: int, folder: pathlib.Path
) -> list[dict[str, list[float]]]:
  """For each point the values of each quantity, one or more."""
  if one.run is None:
    return _in_turn(one, rounds)
  answers = []
  for i, point in enumerate(one.points):
    num_before = int(one.compiles_each or i == 0)
    costs = [one.run(folder, point.argument) for _ in range(num_before + repeats)][num_before:]
    answers.append(
      {
        'ms': [1e3 * cost.seconds for cost in costs],
        'processor_ms': [1e3 * cost.processor for cost in costs],
        'resident_mb': [cost.peak_mb for cost in costs],
      }
    )
    print(f'{one.title}: {point.label} done', file=sys.stderr, flush=True)
  return answers


def _in_turn(one: growth_series.Series, rounds: int) -> list[dict[str, list[float]]]:
  children = {
    i: child.Child('benchmarks.growth', one.child, json.dumps(point.argument))
    for i, point in enumerate(one.points)
  }
  try:
    for i, each in children.items():
      each.ask(1)
      print(f'{one.title}: {one.points[i].label} ready', file=sys.stderr, flush=True)
    parts = child.in_turn(children, rounds, 1)
  finally:
    for each in children.values():
      each.close()

  def values(i: int, name: str) -> list[float]:
    every = [part[name] for part in parts[i]]
    # Of a memory the last, which is the largest.
    return [x for each in every for x in each] if isinstance(every[0], list) else every[-1:]

  return [{name: values(i, name) for name in parts[i][0]} for i in children]


def rows(
  name: str, one: growth_series.Series, answers: Sequence[Mapping[str, list[float]]]
) -> list[dict[str, Any]]:
  """A row of the JSON for each point: medians, and the largest deviation of half of the times from theirs."""
  return [
    {
      'series': name,
      'model': one.model,
      'who': OURS,
      'work': point.work,
      'label': point.label,
      **{key: statistics.median(values) for key, values in answer.items()},
      'spread': round(_spread(answer['ms']), 4),
    }
    for point, answer in zip(one.points, answers, strict=True)
  ]


def _spread(values: Sequence[float]) -> float:
  """The median of the relative deviations from the median; 0 for one value."""
  middle = statistics.median(values)
  return statistics.median(abs(value / middle - 1) for value in values)


def lines(one: growth_series.Series, found: Sequence[Mapping[str, Any]]) -> dict[str, growth_line.Line]:
  """The line of each judged quantity; none for a series that is too short."""
  if len(found) < growth_line.LEAST:
    return {}
  work, spread = [row['work'] for row in found], max(row['spread'] for row in found)
  return {
    key: growth_line.judge(work, [row[key] for row in found], spread if 'ms' in key else 0.0)
    for key in one.judged
  }


def section(
  one: growth_series.Series, found: Sequence[Mapping[str, Any]], judged: Mapping[str, growth_line.Line]
) -> list[str]:
  """The table of a series and its judgements, as Markdown."""
  keys = [key for key in TITLES if key in found[0]]
  model = '' if one.model == 'none' else f', {one.model}'
  has_labels = any(row['label'] != _number(row['work']) for row in found)
  head = [one.unit, *['size'] * has_labels, *(TITLES[key] for key in keys), 'time over the line']
  text = [
    f'### {one.title[0].upper()}{one.title[1:]}{model}',
    '',
    f'| {" | ".join(head)} |',
    f'|{"---:|" * len(head)}',
  ]
  for row in found:
    ratio = f'{row["ms"] / judged["ms"].at(row["work"]):.2f}' if 'ms' in judged else ''
    cells = [_number(row['work']), *[row['label']] * has_labels, *(_number(row[key]) for key in keys), ratio]
    text.append(f'| {" | ".join(cells)} |')
  work = [row['work'] for row in found]
  text += ['', *(f'- {TITLES[key]}: {growth_line.sentence(line, work)}' for key, line in judged.items()), '']
  return text


def _number(value: float) -> str:
  return f'{value:,.0f}' if value >= 100 or value == int(value) else f'{value:.3g}'


def main() -> None:
  """Prints the tables, writes JSON and picture, or is the child of such a run."""
  names = list(growth_series.series(False, (1,)))
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  parser.add_argument('--series', default='', help=f'among {", ".join(names)}; all without')
  parser.add_argument(
    '--quick', action='store_true', help=f'the smallest sizes, of {", ".join(QUICK)}: a check that it runs'
  )
  parser.add_argument('--images', default='1000,10000,100000', help='training images of the series images')
  parser.add_argument(
    '--rounds', type=int, default=0, help='of steps and evaluations; 0 for 7, with --quick 3'
  )
  parser.add_argument('--repeats', type=int, default=1, help='of each whole run')
  parser.add_argument('--folder', default='', help='keeps the images of whole runs; temporary without')
  parser.add_argument('--json', default='', help='file to write')
  parser.add_argument('--plot', default='', help='PNG file to write')
  parser.add_argument('--child', nargs=2, metavar=('WHAT', 'SIZE'), help=argparse.SUPPRESS)
  flags = parser.parse_args()
  if flags.child:
    child.serve(lambda: measured(*flags.child))
    return
  chosen = [name for name in flags.series.split(',') if name] or list(QUICK if flags.quick else names)
  for name in chosen:
    if name not in names:
      parser.error(f'{name}: unknown; choose among {", ".join(names)}')
  every = growth_series.series(flags.quick, sorted(map(int, flags.images.split(','))))
  # The children of a series share a GPU, of which each would take most of the memory at its start.
  os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
  result: dict[str, Any] = {'machine': machine.describe(), 'rows': [], 'lines': {}}
  panels: list[Any] = []
  with tempfile.TemporaryDirectory() as temporary:
    for name in chosen:
      one = every[name]
      answers = measure(
        one, flags.rounds or (3 if flags.quick else 7), flags.repeats, pathlib.Path(flags.folder or temporary)
      )
      found = rows(name, one, answers)
      judged = lines(one, found)
      print('\n'.join(section(one, found, judged)), flush=True)
      result['rows'] += found
      result['lines'][name] = {key: dataclasses.asdict(line) for key, line in judged.items()}
      panels += [
        (f'{name}, {one.model}' if one.model != 'none' else name, one.unit, TITLES[key],
         [row['work'] for row in found], [row[key] for row in found], line)
        for key, line in judged.items()
      ]  # fmt: skip
      if flags.json:
        # After each series: the whole takes long.
        pathlib.Path(flags.json).write_text(json.dumps(result, indent=1), encoding='utf-8')
  if flags.plot and panels:
    # Imported here: Matplotlib takes a while to load.
    from benchmarks import growth_plot
    from bloodcell_jax.plots import figure

    figure.write(flags.plot, growth_plot.plot(panels), '')


if __name__ == '__main__':
  main()
