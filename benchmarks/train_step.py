"""A training step of this project beside other frameworks, in alternation within one run.

    python -m benchmarks.train_step --models=cnn_a,cnn_b --peers=keras_tensorflow,keras_jax,pytorch --json=FILE

Every framework runs in a process of its own and stands still while another is timed. Prints a table; quote its ratios,
not its milliseconds, and those of a machine that did nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks import contestants, machine

OURS = 'bloodcell_jax'


class Child:
  """One framework with one network in its own process."""

  def __init__(self, who: str, model: str):
    self.who, self.model = who, model
    command = [sys.executable, '-m', 'benchmarks.train_step', '--child', who, model]
    self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

  def run(self, steps: int) -> list[float]:
    """The milliseconds of so many steps.

    Raises:
      RuntimeError: the process has died; what it said stands above.
    """
    assert self._process.stdin
    assert self._process.stdout
    # A process that is gone says so by the empty line it answers with.
    with contextlib.suppress(BrokenPipeError):
      print(steps, file=self._process.stdin, flush=True)
    line = self._process.stdout.readline()
    if not line:
      raise RuntimeError(f'{self.who} on {self.model} did not run')
    return json.loads(line)

  def close(self) -> None:
    self._process.kill()
    self._process.wait()


def child(who: str, model: str) -> None:
  """Reads numbers of steps, answers with their milliseconds."""
  answers = sys.stdout
  # Whatever the frameworks print goes to the other stream.
  sys.stdout = sys.stderr
  step = contestants.WHO[who](model)
  for line in sys.stdin:
    milliseconds = []
    for _ in range(int(line)):
      began = time.perf_counter()
      step()
      milliseconds.append(1e3 * (time.perf_counter() - began))
    print(json.dumps(milliseconds), file=answers, flush=True)


def compare(model: str, who: list[str], rounds: int, steps: int) -> list[dict[str, Any]]:
  """One row a framework: medians over rounds of `steps` steps, in turn."""
  children = [Child(name, model) for name in who]
  try:
    first = {c.who: c.run(1)[0] for c in children}
    for c in children:
      c.run(2)
    times: dict[str, list[float]] = {name: [] for name in who}
    for i in range(rounds):
      # The order turns, so that none always comes after the same one.
      for c in children[i % len(children) :] + children[: i % len(children)]:
        times[c.who] += c.run(steps)
  finally:
    for c in children:
      c.close()
  gflop = contestants.gflop(contestants.CASES[model])
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
        # Of neighbours in time, which a machine whose speed drifts does not disturb.
        'paired_ratio': _paired(times[OURS], times[name], steps) if ours else None,
      }
    )
  return rows


def _paired(ours: list[float], theirs: list[float], steps: int) -> float:
  rounds = range(0, len(ours), steps)
  ratios = [statistics.median(ours[i : i + steps]) / statistics.median(theirs[i : i + steps]) for i in rounds]
  return round(statistics.median(ratios), 3)


def table(found: dict[str, Any]) -> str:
  """The result as text."""
  peak = found['machine']['peak_gflops']
  lines = [
    f'{found["machine"]["processor"]}, {found["machine"]["num_cores"]} cores, matrix product {peak} GFLOP/s, '
    f'load before {found["machine"]["load_average"]}',
    f'{"model":<15}{"who":<18}{"ms":>9}{"fastest":>9}{"GFLOP/s":>9}{"of peak":>9}{"ours/this":>11}{"paired":>8}',
  ]
  for r in found['rows']:
    lines.append(
      f'{r["model"]:<15}{r["who"]:<18}{r["ms"]:>9.1f}{r["ms_min"]:>9.1f}{r["gflops"]:>9.1f}'
      f'{r["gflops"] / peak:>9.0%}{r["ratio"] or 0:>11.2f}{r["paired_ratio"] or 0:>8.2f}'
    )
  return '\n'.join(lines)


def main() -> None:
  """Prints the table and writes the JSON, or is the child of such a run."""
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  parser.add_argument('--models', default='cnn_a,cnn_b', help=f'among {", ".join(contestants.CASES)}')
  parser.add_argument(
    '--peers', default='keras_tensorflow', help=f'among {", ".join(set(contestants.WHO) - {OURS})}'
  )
  parser.add_argument('--rounds', type=int, default=7)
  parser.add_argument('--steps', type=int, default=3, help='steps a round')
  parser.add_argument('--json', default='', help='file to write')
  parser.add_argument('--child', nargs=2, metavar=('WHO', 'MODEL'), help=argparse.SUPPRESS)
  given = parser.parse_args()
  if given.child:
    child(*given.child)
    return
  who, models = [OURS, *filter(None, given.peers.split(','))], given.models.split(',')
  for name, known in [(n, contestants.WHO) for n in who] + [(n, contestants.CASES) for n in models]:
    if name not in known:
      parser.error(f'{name}: unknown; choose among {", ".join(known)}')
  found: dict[str, Any] = {'machine': machine.describe(), 'rows': []}
  for model in models:
    found['rows'] += compare(model, who, given.rounds, given.steps)
  print(table(found))
  if given.json:
    with open(given.json, 'w', encoding='utf-8') as file:
      json.dump(found, file, indent=1)


if __name__ == '__main__':
  main()
