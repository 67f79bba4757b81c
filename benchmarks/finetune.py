"""The study's fine-tuning beside Keras on TensorFlow: six epochs of a head, six of block 5, by the time of their parts.

    python -m benchmarks.finetune --json=FILE

Keras computes the frozen blocks anew in every step; this project once an image. A step of each kind is timed in
turn with the others within one run, and the job's time is what its steps and images add up to: 199 steps of 50 an
epoch, one view of each of the 9,957 images. Evaluation is left out on both sides.
"""

from __future__ import annotations

import argparse
import json
import statistics
from typing import Any

from benchmarks import child, contestants, machine

OURS, KERAS = 'bloodcell_jax', 'keras_tensorflow'
IMAGES, STEPS, HEAD_EPOCHS, BLOCK5_EPOCHS = 9957, 199, 6, 6
# (name of the part, case, who, parts timed a round).
PARTS = (
  ('features of an image, blocks 1 to 4', 'vgg16_features', OURS, 2),
  ('features of an image, block 5', 'vgg16_more_features', OURS, 5),
  ('head step', 'vgg16_head_cached', OURS, 10),
  ('block5 step', 'vgg16_cached', OURS, 2),
  ('head step', 'vgg16_head_whole', KERAS, 1),
  ('block5 step', 'vgg16_block5_whole', KERAS, 1),
)


def measure(rounds: int) -> dict[tuple[str, str], list[float]]:
  """Milliseconds by part and contestant; those of features for one image."""
  children = [child.Child('benchmarks.train_step', who, case) for _, case, who, _ in PARTS]
  found: dict[tuple[str, str], list[float]] = {(part, who): [] for part, _, who, _ in PARTS}
  try:
    for c in children:
      c.ask(2)
    for i in range(rounds):
      order = list(zip(PARTS, children, strict=True))
      for (part, case, who, count), c in order[:: -1 if i % 2 else 1]:
        per = contestants.CASES[case].batch_size if part.startswith('features') else 1
        found[part, who].append(statistics.median(c.ask(count)) / per)
  finally:
    for c in children:
      c.close()
  return found


def totals(ms: dict[tuple[str, str], float]) -> dict[str, dict[str, float]]:
  """Seconds of an epoch of block 5 and of the whole job, by contestant."""
  features = sum(value for (part, who), value in ms.items() if part.startswith('features')) * IMAGES
  made = {}
  for who in (OURS, KERAS):
    head, block5 = (STEPS * ms[part, who] for part in ('head step', 'block5 step'))
    whole = HEAD_EPOCHS * head + BLOCK5_EPOCHS * block5 + (features if who == OURS else 0)
    made[who] = {'block5 epoch': block5 / 1e3, 'whole job': whole / 1e3}
  return made


def main() -> None:
  """Prints the parts and what they add up to, and writes the JSON."""
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  parser.add_argument('--rounds', type=int, default=5)
  parser.add_argument('--json', default='', help='file to write')
  given = parser.parse_args()
  described, found = machine.describe(), measure(given.rounds)
  rows: list[dict[str, Any]] = []
  print(f'{described["processor"]}, {described["num_cores"]} cores')
  for (part, who), values in found.items():
    rows.append(
      {'model': part, 'who': who, 'ms': round(statistics.median(values), 2), 'ms_min': round(min(values), 2)}
    )
    print(f'{part:<38}{who:<18}{rows[-1]["ms"]:>10.2f} ms (fastest {rows[-1]["ms_min"]:.2f})')
  # By the round, so that a machine whose speed drifts does not disturb the ratio.
  rounds = [totals({key: values[i] for key, values in found.items()}) for i in range(given.rounds)]
  for name in ('block5 epoch', 'whole job'):
    seconds = {who: statistics.median(r[who][name] for r in rounds) for who in (OURS, KERAS)}
    times = statistics.median(r[KERAS][name] / r[OURS][name] for r in rounds)
    for who in (OURS, KERAS):
      rows.append(
        {'model': name, 'who': who, 'ms': round(1e3 * seconds[who]), 'times_faster': round(times, 2)}
      )
    print(f'{name}: {seconds[OURS]:.0f} s against {seconds[KERAS]:.0f} s of Keras, {times:.2f} times faster')
  if given.json:
    with open(given.json, 'w', encoding='utf-8') as file:
      json.dump({'machine': described, 'rows': rows}, file, indent=1)


if __name__ == '__main__':
  main()
