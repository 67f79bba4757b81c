"""Members of an ensemble trained together in one program, compared with training them one after another.

    python -m benchmarks.members --models=cnn_a,cnn_b --members=2,4 --json=FILE

Contestants are timed in turn, each in its own process, idle while another is timed. Times are per step of one member:
for `map` and `vmap` a step of all members divided by their number, for `alone` and Keras a step of one network. The
first step, which compiles, is reported separately. Quote the ratios, measured on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

from benchmarks import child, contestants, machine

ALONE, KERAS = 'alone', 'keras_tensorflow'
SHARED = ('map', 'vmap')  # as in `devices.MEMBERS`, which this process does not import


def timed(who: str, model: str, num: str) -> Callable[[int], list[float]]:
  """A function from a number of steps to the milliseconds of one member's step in each."""
  if who in SHARED:
    step = contestants.members(model, int(num), who)
  else:
    step = contestants.WHO['bloodcell_jax' if who == ALONE else who](model)
  share = int(num) if who in SHARED else 1

  def run(steps: int) -> list[float]:
    milliseconds = []
    for _ in range(steps):
      began = time.perf_counter()
      step()
      milliseconds.append(1e3 * (time.perf_counter() - began) / share)
    return milliseconds

  return run


def compare(model: str, num: int, who: list[str], rounds: int, steps: int) -> list[dict[str, Any]]:
  """One row per contestant: medians over rounds of `steps` steps, in turn."""
  children = {name: child.Child('benchmarks.members', name, model, str(num)) for name in who}
  try:
    # For all members: the wait of a user before the first update.
    first = {name: c.ask(1)[0] * (num if name in SHARED else 1) for name, c in children.items()}
    for c in children.values():
      c.ask(1)
    times = child.in_turn(children, rounds, steps)
  finally:
    for c in children.values():
      c.close()
  every = {name: [ms for part in parts for ms in part] for name, parts in times.items()}
  median = {name: statistics.median(values) for name, values in every.items()}
  return [
    {
      'model': model,
      'members': num,
      'who': name,
      'ms': round(median[name], 1),
      'ms_min': round(min(every[name]), 1),
      'first_ms': round(first[name], 1),
      'ratio': round(median[name] / median[ALONE], 3),
      # Paired in time, so that drift in the machine's speed does not matter.
      'paired_ratio': round(
        statistics.median(
          statistics.median(a) / statistics.median(b) for a, b in zip(times[name], times[ALONE], strict=True)
        ),
        3,
      ),
    }
    for name in who
  ]


def table(result: dict[str, Any]) -> str:
  """The result as text."""
  lines = [
    f'{result["machine"]["processor"]}, {result["machine"]["num_cores"]} cores, '
    f'load before {result["machine"]["load_average"]}',
    f'{"model":<8}{"members":>8} {"who":<18}{"ms/member":>10}{"fastest":>9}{"first":>9}{"this/alone":>12}{"paired":>8}',
  ]
  for r in result['rows']:
    lines.append(
      f'{r["model"]:<8}{r["members"]:>8} {r["who"]:<18}{r["ms"]:>10.1f}{r["ms_min"]:>9.1f}{r["first_ms"]:>9.0f}'
      f'{r["ratio"]:>12.2f}{r["paired_ratio"]:>8.2f}'
    )
  return '\n'.join(lines)


def main() -> None:
  """Prints the table and writes the JSON, or runs as a child process."""
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  parser.add_argument('--models', default='cnn_a,cnn_b', help='among cnn_a, cnn_b')
  parser.add_argument('--members', default='4', help='numbers of members, separated by commas')
  parser.add_argument('--ways', default='map,vmap', help=f'among {", ".join(SHARED)}')
  parser.add_argument('--peers', default=KERAS, help=f'among {", ".join(set(contestants.WHO))}')
  parser.add_argument('--rounds', type=int, default=5)
  parser.add_argument('--steps', type=int, default=2, help='steps per round')
  parser.add_argument('--json', default='', help='file to write')
  parser.add_argument('--child', nargs=3, metavar=('WHO', 'MODEL', 'MEMBERS'), help=argparse.SUPPRESS)
  flags = parser.parse_args()
  if flags.child:
    child.serve(lambda: timed(*flags.child))
    return
  ways, peers = ([name for name in text.split(',') if name] for text in (flags.ways, flags.peers))
  models = flags.models.split(',')
  for names, known in ((ways, SHARED), (peers, tuple(contestants.WHO)), (models, ('cnn_a', 'cnn_b'))):
    for name in names:
      if name not in known:
        parser.error(f'{name}: unknown; choose among {", ".join(known)}')
  result: dict[str, Any] = {'machine': machine.describe(), 'rows': []}
  for model in models:
    for num in flags.members.split(','):
      result['rows'] += compare(model, int(num), [ALONE, *ways, *peers], flags.rounds, flags.steps)
  print(table(result))
  if flags.json:
    pathlib.Path(flags.json).write_text(json.dumps(result, indent=1), encoding='utf-8')


if __name__ == '__main__':
  main()
