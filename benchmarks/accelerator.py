"""Training steps on whatever device is there, an accelerator for preference, beside PyTorch on the same one.

    python -m benchmarks.accelerator --models=cnn_a,cnn_b,vgg16_cached --peers=pytorch --members=16 --json=FILE

Ways: `placed`, the batch on the device and the steps queued, which is what the device can do; `fed`, float32 images
from the host and the loss read after every step; `resident`, as a run with `data.pipeline=device` has them, with the
study's augmentation. This project computes in `train.dtype=auto`, bfloat16 on a GPU; `float32` is placed and exact.
PyTorch multiplies float32 at its default precision; `compiled`, `half` (bfloat16) and `compiled half` are placed.
`members N map` and `members N vmap`: that many networks in one program, a step of one of them. Contestants are timed
in turn, each in its own process, idle while another is timed; compare ratios. Without an accelerator the same runs on
the CPU, and the table says so.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import child, contestants, machine, resident, step_cases

OURS, PYTORCH = 'bloodcell_jax', 'pytorch'
RESIDENT = 'resident'
WAYS = {
  OURS: ('placed', 'fed', RESIDENT, 'float32'),
  PYTORCH: ('placed', 'fed', 'compiled', 'half', 'compiled half'),
}
PEAK = 'peak'
SIDE = 4096  # of the matrices whose product gives the peak
# The study's own training of its larger network: epochs x updates.
STUDY_UPDATES = 30 * 200


def timed(who: str, model: str, way: str) -> Callable[[int], Any]:
  """A function from a number of steps to milliseconds a step; of PEAK, to a description of the device."""
  if who == PEAK:
    return lambda number: _device(number)
  if way.startswith('members'):
    number, how = int(way.split()[1]), way.split()[2]
    one = contestants.members(model, number, how)
    return lambda steps: _milliseconds(one, steps, lambda loss: None) / number
  if way == RESIDENT:
    call, size = resident.calls(model)
    # At least one call, of several updates.
    return lambda steps: _milliseconds(call, -(-steps // size), np.asarray) / size
  if who == OURS:
    dtype = way if way == 'float32' else 'auto'
    step = contestants.ours(model, 'jit', is_placed=way != 'fed', dtype=dtype)
  else:
    import torch

    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    step = contestants.torch_step(
      model, device, is_placed=way != 'fed', is_compiled='compiled' in way, is_half='half' in way
    )
  if way == 'fed':
    return lambda steps: _milliseconds(lambda: float(step()), steps, lambda loss: None)
  return lambda steps: _milliseconds(step, steps, float)


def _milliseconds(step: Callable[[], Any], steps: int, wait: Callable[[Any], Any]) -> float:
  began = time.perf_counter()
  for _ in range(steps):
    loss = step()
  wait(loss)
  return 1e3 * (time.perf_counter() - began) / steps


def _device(number: int) -> dict[str, Any]:
  """The device, and the best of so many products of float32 matrices in GFLOP/s at the default precision."""
  import jax
  import jax.numpy as jnp

  device = jax.devices()[0]
  side = SIDE if device.platform != 'cpu' else SIDE // 2
  a = jnp.ones((side, side))
  product = jax.jit(lambda x: x @ x)
  product(a).block_until_ready()
  seconds = []
  for _ in range(number):
    began = time.perf_counter()
    product(a).block_until_ready()
    seconds.append(time.perf_counter() - began)
  return {
    'platform': device.platform,
    'kind': device.device_kind,
    'number': len(jax.devices()),
    'peak_gflops': round(2 * side**3 / min(seconds) / 1e9, 1),
  }


def compare(model: str, ways: list[tuple[str, str]], rounds: int, steps: int) -> list[dict[str, Any]]:
  """A row for each (who, way): the median over rounds, in turn; the first step, which compiles, is not counted."""
  children = {key: child.Child('benchmarks.accelerator', key[0], model, key[1]) for key in ways}
  try:
    for key, one in children.items():
      began = time.monotonic()
      one.ask(2)
      print(
        f'{model}, {" ".join(key)}: ready in {time.monotonic() - began:.0f} s', file=sys.stderr, flush=True
      )
    times = child.in_turn(children, rounds, steps)
  finally:
    for one in children.values():
      one.close()
  case = step_cases.CASES[model]
  rows = []
  for who, way in ways:
    median = statistics.median(times[who, way])
    rows.append(
      {
        'model': model,
        'who': who,
        'way': way,
        'ms': round(median, 3),
        'images_per_second': round(case.batch_size / median * 1e3, 1),
        'gflops': round(step_cases.gflop(case) / median * 1e3, 1),
        'study_seconds': round(STUDY_UPDATES * median / 1e3, 1),
      }
    )
  return rows


def table(result: dict[str, Any]) -> str:
  """The result as text."""
  device = result['machine']['device']
  lines = [
    f'{device["number"]} x {device["kind"]} ({device["platform"]}), matrix product {device["peak_gflops"]:,.0f} '
    f'GFLOP/s; {result["machine"]["processor"]}, {result["machine"]["num_cores"]} cores'
  ]
  if device['platform'] == 'cpu':
    lines.append('No accelerator here: figures of one are not measured.')
  lines.append(
    f'{"model":<19}{"who":<15}{"way":<17}{"ms":>9}{"images/s":>11}{"of peak":>9}{"30 x 200, s":>13}'
  )
  for r in result['rows']:
    lines.append(
      f'{r["model"]:<19}{r["who"]:<15}{r["way"]:<17}{r["ms"]:>9.2f}{r["images_per_second"]:>11,.0f}'
      f'{r["gflops"] / device["peak_gflops"]:>9.0%}{r["study_seconds"]:>13.1f}'
    )
  return '\n'.join(lines)


def main() -> None:
  """Prints the table and writes the JSON, or runs as a child process."""
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  parser.add_argument('--models', default='cnn_a,cnn_b', help=f'among {", ".join(step_cases.CASES)}')
  parser.add_argument('--peers', default='', help=f'{PYTORCH}, or nothing')
  parser.add_argument('--members', type=int, default=0, help='networks in one program; 0 for none')
  parser.add_argument('--rounds', type=int, default=5)
  parser.add_argument('--steps', type=int, default=20, help='steps per round')
  parser.add_argument('--json', default='', help='file to write')
  parser.add_argument('--child', nargs=3, metavar=('WHO', 'MODEL', 'WAY'), help=argparse.SUPPRESS)
  flags = parser.parse_args()
  if flags.child:
    child.serve(lambda: timed(*flags.child))
    return
  who, models = [OURS, *filter(None, flags.peers.split(','))], flags.models.split(',')
  for name, known in [(n, WAYS) for n in who] + [(n, step_cases.CASES) for n in models]:
    if name not in known:
      parser.error(f'{name}: unknown; choose among {", ".join(known)}')
  if PYTORCH in who and importlib.util.find_spec('torch') is None:
    parser.error('pytorch is not installed; install requirements-bench.txt, or leave out --peers')
  device = child.Child('benchmarks.accelerator', PEAK, 'none', 'none')
  result: dict[str, Any] = {'machine': {**machine.describe(), 'device': device.ask(5)}, 'rows': []}
  device.close()
  for model in models:
    ways = [
      (name, way) for name in who for way in WAYS[name] if way != RESIDENT or model in ('cnn_a', 'cnn_b')
    ]
    if flags.members and not model.startswith('vgg16'):
      ways += [(OURS, f'members {flags.members} {how}') for how in ('map', 'vmap')]
    result['rows'] += compare(model, ways, flags.rounds, flags.steps)
  print(table(result))
  if flags.json:
    with open(flags.json, 'w', encoding='utf-8') as file:
      json.dump(result, file, indent=1)


if __name__ == '__main__':
  main()
