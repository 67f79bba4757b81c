"""A training step of this project compared with other frameworks.

    python -m benchmarks.train_step --models=cnn_a,cnn_b --peers=keras_tensorflow,keras_jax,pytorch --json=FILE

Frameworks are timed in turn, each in its own process, idle while another is timed. Prints a table; quote its ratios,
not its milliseconds, measured on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks import child, contestants, machine, step_cases

OURS = 'bloodcell_jax'


def timed(who: str, model: str) -> Callable[[int], list[float]]:
  """A function from a number of steps to their milliseconds."""
  step = contestants.WHO[who](model)

  def run(steps: int) -> list[float]:
    milliseconds = []
    for _ in range(steps):
      began = time.perf_counter()
      step()
      milliseconds.append(1e3 * (time.perf_counter() - began))
    return milliseconds

  return run


def compare(model: str, who: list[str], rounds: int, steps: int) -> list[dict[str, Any]]:
  """One row per framework: medians over rounds of `steps` steps, in turn."""
  children = {name: child.Child('benchmarks.train_step', name, model) for name in who}
  try:
    first = {name: c.ask(1)[0] for name, c in children.items()}
    for c in children.values():
      c.ask(2)
    parts = child.in_turn(children, rounds, steps)
    times = {name: [ms for part in parts[name] for ms in part] for name in who}
  finally:
    for c in children.values():
      c.close()
  gflop = step_cases.gflop(step_cases.CASES[model])
  ours = statistics.median(times[OURS]) if OURS in times else None
  rows = []
  for name in who:
    median = statistics.median(times[name])
    rows.append(
      {
        'model': model,
        'who': name,
        'ms': round(median, 1),
        'ms_min': round(min(times[name]), 1),
        'first_ms': round(first[name], 1),
        'gflops': round(gflop / median * 1e3, 1),
        'ratio': round(ours / median, 3) if ours else None,
        # Paired in time, so that drift in the machine's speed does not matter.
        'paired_ratio': _paired(times[OURS], times[name], steps) if ours else None,
      }
    )
  return rows


def _paired(ours: list[float], theirs: list[float], steps: int) -> float:
  rounds = range(0, len(ours), steps)
  ratios = [statistics.median(ours[i : i + steps]) / statistics.median(theirs[i : i + steps]) for i in rounds]
  return round(statistics.median(ratios), 3)


def table(result: dict[str, Any]) -> str:
  """The result as text."""
  peak = result['machine']['peak_gflops']
  lines = [
    f'{result["machine"]["processor"]}, {result["machine"]["num_cores"]} cores, matrix product {peak} GFLOP/s, '
    f'load before {result["machine"]["load_average"]}',
    f'{"model":<15}{"who":<18}{"ms":>9}{"fastest":>9}{"GFLOP/s":>9}{"of peak":>9}{"ours/this":>11}{"paired":>8}',
  ]
  for r in result['rows']:
    lines.append(
      f'{r["model"]:<15}{r["who"]:<18}{r["ms"]:>9.1f}{r["ms_min"]:>9.1f}{r["gflops"]:>9.1f}'
      f'{r["gflops"] / peak:>9.0%}{r["ratio"] or 0:>11.2f}{r["paired_ratio"] or 0:>8.2f}'
    )
  if any(r['gflops'] > peak for r in result['rows']):
    lines.append(
      'above 100% of the peak: products are counted as of direct convolutions, and this project leaves some out '
      '(docs/performance.md)'
    )
  return '\n'.join(lines)


def main() -> None:
  """Prints the table and writes the JSON, or runs as a child process."""
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  parser.add_argument('--models', default='cnn_a,cnn_b', help=f'among {", ".join(step_cases.CASES)}')
  parser.add_argument(
    '--peers', default='keras_tensorflow', help=f'among {", ".join(set(contestants.WHO) - {OURS})}'
  )
  parser.add_argument('--rounds', type=int, default=7)
  parser.add_argument('--steps', type=int, default=3, help='steps per round')
  parser.add_argument('--json', default='', help='file to write')
  parser.add_argument('--child', nargs=2, metavar=('WHO', 'MODEL'), help=argparse.SUPPRESS)
  flags = parser.parse_args()
  if flags.child:
    child.serve(lambda: timed(*flags.child))
    return
  who, models = [OURS, *filter(None, flags.peers.split(','))], flags.models.split(',')
  for name, known in [(n, contestants.WHO) for n in who] + [(n, step_cases.CASES) for n in models]:
    if name not in known:
      parser.error(f'{name}: unknown; choose among {", ".join(known)}')
  result: dict[str, Any] = {'machine': machine.describe(), 'rows': []}
  for model in models:
    result['rows'] += compare(model, who, flags.rounds, flags.steps)
  print(table(result))
  if flags.json:
    with open(flags.json, 'w', encoding='utf-8') as file:
      json.dump(result, file, indent=1)


if __name__ == '__main__':
  main()
