"""The study's fine-tuning compared with Keras on TensorFlow: six epochs of the head and six of block 5.

    python -m benchmarks.finetune --json=FILE

There are two ways to handle frozen blocks, and Keras is timed with both:

- `whole`: the frozen blocks are computed in every step, as in `fit` on the whole model.
- `bottleneck`: they are computed once per image and the rest is trained on the cached features. This project always
  does so; for Keras it is the recipe of F. Chollet, "Building powerful image classification models using very little
  data", The Keras Blog, 2016 (`base.predict` once, then `fit` on its features).

Only `bottleneck` is equal work. The ratio to `whole` is the gain of caching features, in any framework.

Steps of all kinds are timed in turn within one run, and the time of the job is the sum over its steps and images: 199
steps of 50 per epoch, features of each of the 9,957 images once. Evaluation is not included for any contestant.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping
from typing import Any

from benchmarks import child, machine, step_cases

OURS, KERAS, WHOLE = 'bloodcell_jax', 'keras bottleneck', 'keras whole'
CONTESTANTS = (OURS, KERAS, WHOLE)
# Of `contestants.WHO`.
FRAMEWORKS = {OURS: 'bloodcell_jax', KERAS: 'keras_tensorflow', WHOLE: 'keras_tensorflow'}
IMAGES, STEPS, HEAD_EPOCHS, BLOCK5_EPOCHS = 9957, 199, 6, 6
FEATURES, MORE_FEATURES = 'features of an image, blocks 1 to 4', 'features of an image, block 5'
HEAD_STEP, BLOCK5_STEP = 'head step', 'block5 step'
# (name of the part, case, contestant, number of timings per round).
PARTS = (
  (FEATURES, 'vgg16_features', OURS, 2),
  (MORE_FEATURES, 'vgg16_more_features', OURS, 5),
  (HEAD_STEP, 'vgg16_head_cached', OURS, 10),
  (BLOCK5_STEP, 'vgg16_cached', OURS, 2),
  (FEATURES, 'vgg16_features', KERAS, 2),
  (MORE_FEATURES, 'vgg16_more_features', KERAS, 5),
  (HEAD_STEP, 'vgg16_head_cached', KERAS, 10),
  (BLOCK5_STEP, 'vgg16_cached', KERAS, 2),
  (HEAD_STEP, 'vgg16_head_whole', WHOLE, 1),
  (BLOCK5_STEP, 'vgg16_block5_whole', WHOLE, 1),
)


def measure(rounds: int, is_tiny: bool) -> dict[tuple[str, str], list[float]]:
  """Milliseconds by part and contestant; those of features for one image.

  Args:
    rounds: rounds in which every part is timed.
    is_tiny: images of 32x32 in batches of two, to test that everything runs; the times mean nothing.
  """
  parts = [(part, case + step_cases.TINY * is_tiny, who, count) for part, case, who, count in PARTS]
  children = [child.Child('benchmarks.train_step', FRAMEWORKS[who], case) for _, case, who, _ in parts]
  times: dict[tuple[str, str], list[float]] = {(part, who): [] for part, _, who, _ in parts}
  try:
    for c in children:
      c.ask(2)
    for i in range(rounds):
      order = list(zip(parts, children, strict=True))
      for (part, case, who, count), c in order[:: -1 if i % 2 else 1]:
        per = step_cases.CASES[case].batch_size if part in (FEATURES, MORE_FEATURES) else 1
        times[part, who].append(statistics.median(c.ask(count)) / per)
  finally:
    for c in children:
      c.close()
  return times


def totals(ms: Mapping[tuple[str, str], float]) -> dict[str, dict[str, float]]:
  """Seconds of an epoch of block 5 and of the whole job, features included, by contestant."""
  seconds = {}
  for who in CONTESTANTS:
    features = sum(ms.get((part, who), 0) for part in (FEATURES, MORE_FEATURES)) * IMAGES
    head, block5 = (STEPS * ms[part, who] for part in (HEAD_STEP, BLOCK5_STEP))
    whole = HEAD_EPOCHS * head + BLOCK5_EPOCHS * block5 + features
    seconds[who] = {'block5 epoch': block5 / 1e3, 'whole job': whole / 1e3}
  return seconds


def main() -> None:
  """Prints the times of the parts and their totals, and writes the JSON."""
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  parser.add_argument('--rounds', type=int, default=5)
  parser.add_argument(
    '--tiny', action='store_true', help='images of 32x32, to test that it runs; times mean nothing'
  )
  parser.add_argument('--json', default='', help='file to write')
  flags = parser.parse_args()
  described, times = machine.describe(), measure(flags.rounds, flags.tiny)
  rows: list[dict[str, Any]] = []
  print(f'{described["processor"]}, {described["num_cores"]} cores')
  if flags.tiny:
    print('tiny images: these times mean nothing')
  for (part, who), values in times.items():
    rows.append(
      {'model': part, 'who': who, 'ms': round(statistics.median(values), 2), 'ms_min': round(min(values), 2)}
    )
    print(f'{part:<38}{who:<18}{rows[-1]["ms"]:>10.2f} ms (fastest {rows[-1]["ms_min"]:.2f})')
  # Per round, so that drift in the machine's speed does not affect the ratio.
  rounds = [totals({key: values[i] for key, values in times.items()}) for i in range(flags.rounds)]
  for name in ('block5 epoch', 'whole job'):
    for who in CONTESTANTS:
      seconds = statistics.median(r[who][name] for r in rounds)
      ratio = statistics.median(r[OURS][name] / r[who][name] for r in rounds)
      rows.append({'model': name, 'who': who, 'ms': round(1e3 * seconds), 'ours_by_this': round(ratio, 2)})
      print(f'{name:<38}{who:<18}{seconds:>10.1f} s, ours/this {ratio:.2f}')
  if flags.json:
    with open(flags.json, 'w', encoding='utf-8') as file:
      json.dump({'machine': described, 'is_tiny': flags.tiny, 'rows': rows}, file, indent=1)


if __name__ == '__main__':
  main()
