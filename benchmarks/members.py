"""Members of an ensemble trained together in one program beside one after the other, in alternation within one run.

    python -m benchmarks.members --models=cnn_a,cnn_b --members=2,4 --json=FILE

Every contestant runs in a process of its own and stands still while another is timed. Times are of one member's step:
those of `map` and `vmap` are a step of all members divided by their number, those of `alone` and of Keras a step of one
network, which N runs one after the other repeat. The first step, which compiles, stands apart. Quote the ratios, and
those of a machine that did nothing else.
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
SHARED = ('map', 'vmap')  # of `devices.MEMBERS`, which this process does not load


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
  """One row a contestant: medians over rounds of `steps` steps, in turn."""
  children = {name: child.Child('benchmarks.members', name, model, str(num)) for name in who}
  try:
    # Of all members: what a user waits for before the first update.
    first = {name: c.ask(1)[0] * (num if name in SHARED else 1) for name, c in children.items()}
    for c in children.values():
      c.ask(1)
    times: dict[str, list[list[float]]] = {name: [] for name in who}
    for i in range(rounds):
      # The order turns, so that none always comes after the same one.
      for name in who[i % len(who) :] + who[: i % len(who)]:
        times[name].append(children[name].ask(steps))
  finally:
    for c in children.values():
      c.close()
  every = {name: [ms for part in found for ms in part] for name, found in times.items()}
  median = {name: statistics.median(found) for name, found in every.items()}
  return [
    {
      'model': model,
      'members': num,
      'who': name,
      'ms': round(median[name], 1),
      'ms_min': round(min(every[name]), 1),
      'first_ms': round(first[name], 1),
      'ratio': round(median[name] / median[ALONE], 3),
      # Of neighbours in time, which a machine whose speed drifts does not disturb.
      'paired_ratio': round(
        statistics.median(
          statistics.median(a) / statistics.median(b) for a, b in zip(times[name], times[ALONE], strict=True)
        ),
        3,
      ),
    }
    for name in who
  ]


def table(found: dict[str, Any]) -> str:
  """The result as text."""
  lines = [
    f'{found["machine"]["processor"]}, {found["machine"]["num_cores"]} cores, '
    f'load before {found["machine"]["load_average"]}',
    f'{"model":<8}{"members":>8} {"who":<18}{"ms/member":>10}{"fastest":>9}{"first":>9}{"this/alone":>12}{"paired":>8}',
  ]
  for r in found['rows']:
    lines.append(
      f'{r["model"]:<8}{r["members"]:>8} {r["who"]:<18}{r["ms"]:>10.1f}{r["ms_min"]:>9.1f}{r["first_ms"]:>9.0f}'
      f'{r["ratio"]:>12.2f}{r["paired_ratio"]:>8.2f}'
    )
  return '\n'.join(lines)


def main() -> None:
  """Prints the table and writes the JSON, or is the child of such a run."""
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  parser.add_argument('--models', default='cnn_a,cnn_b', help='among cnn_a, cnn_b')
  parser.add_argument('--members', default='4', help='numbers of members, separated by commas')
  parser.add_argument('--ways', default='map,vmap', help=f'among {", ".join(SHARED)}')
  parser.add_argument('--peers', default=KERAS, help=f'among {", ".join(set(contestants.WHO))}')
  parser.add_argument('--rounds', type=int, default=5)
  parser.add_argument('--steps', type=int, default=2, help='steps a round')
  parser.add_argument('--json', default='', help='file to write')
  parser.add_argument('--child', nargs=3, metavar=('WHO', 'MODEL', 'MEMBERS'), help=argparse.SUPPRESS)
  given = parser.parse_args()
  if given.child:
    child.serve(lambda: timed(*given.child))
    return
  ways, peers = ([name for name in text.split(',') if name] for text in (given.ways, given.peers))
  models = given.models.split(',')
  for names, known in ((ways, SHARED), (peers, tuple(contestants.WHO)), (models, ('cnn_a', 'cnn_b'))):
    for name in names:
      if name not in known:
        parser.error(f'{name}: unknown; choose among {", ".join(known)}')
  found: dict[str, Any] = {'machine': machine.describe(), 'rows': []}
  for model in models:
    for num in given.members.split(','):
      found['rows'] += compare(model, int(num), [ALONE, *ways, *peers], given.rounds, given.steps)
  print(table(found))
  if given.json:
    pathlib.Path(given.json).write_text(json.dumps(found, indent=1), encoding='utf-8')


if __name__ == '__main__':
  main()
