"""The study's fine-tuning beside Keras on TensorFlow: six epochs of a head, six of block 5, by the time of their parts.

    python -m benchmarks.finetune --json=FILE

There are two ways with frozen blocks, and Keras takes part with both:

- `whole`: the frozen blocks are computed anew in every step, as `fit` on the whole model does.
- `bottleneck`: they are computed once an image and the rest is trained on the result. This project always does so;
  for Keras it is the recipe of F. Chollet, "Building powerful image classification models using very little data",
  The Keras Blog, 2016 (`base.predict` once, then `fit` on its features).

Only `bottleneck` is equal work. The ratio to `whole` says what keeping features saves, whatever the framework.

A step of each kind is timed in turn with the others within one run, and the job's time is what its steps and images
add up to: 199 steps of 50 an epoch, one view of each of the 9,957 images. Evaluation is left out on all sides.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping
from typing import Any

from benchmarks import child, contestants, machine

OURS, KERAS, WHOLE = 'bloodcell_jax', 'keras bottleneck', 'keras whole'
CONTESTANTS = (OURS, KERAS, WHOLE)
# Of `contestants.WHO`.
FRAMEWORKS = {OURS: 'bloodcell_jax', KERAS: 'keras_tensorflow', WHOLE: 'keras_tensorflow'}
IMAGES, STEPS, HEAD_EPOCHS, BLOCK5_EPOCHS = 9957, 199, 6, 6
FEATURES, MORE_FEATURES = 'features of an image, blocks 1 to 4', 'features of an image, block 5'
HEAD_STEP, BLOCK5_STEP = 'head step', 'block5 step'
# (name of the part, case, contestant, parts timed a round).
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
    rounds: how often every part is timed, in turn with the others.
    is_tiny: images of 32x32 in batches of two, to see that everything runs; such figures compare nothing.
  """
  parts = [(part, case + contestants.TINY * is_tiny, who, count) for part, case, who, count in PARTS]
  children = [child.Child('benchmarks.train_step', FRAMEWORKS[who], case) for _, case, who, _ in parts]
  found: dict[tuple[str, str], list[float]] = {(part, who): [] for part, _, who, _ in parts}
  try:
    for c in children:
      c.ask(2)
    for i in range(rounds):
      order = list(zip(parts, children, strict=True))
      for (part, case, who, count), c in order[:: -1 if i % 2 else 1]:
        per = contestants.CASES[case].batch_size if part in (FEATURES, MORE_FEATURES) else 1
        found[part, who].append(statistics.median(c.ask(count)) / per)
  finally:
    for c in children:
      c.close()
  return found


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
  """Prints the parts and what they add up to, and writes the JSON."""
  parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
  parser.add_argument('--rounds', type=int, default=5)
  parser.add_argument('--tiny', action='store_true', help='images of 32x32, to see that it runs; no figures')
  parser.add_argument('--json', default='', help='file to write')
  given = parser.parse_args()
  described, found = machine.describe(), measure(given.rounds, given.tiny)
  rows: list[dict[str, Any]] = []
  print(f'{described["processor"]}, {described["num_cores"]} cores')
  if given.tiny:
    print('tiny images: these figures compare nothing')
  for (part, who), values in found.items():
    rows.append(
      {'model': part, 'who': who, 'ms': round(statistics.median(values), 2), 'ms_min': round(min(values), 2)}
    )
    print(f'{part:<38}{who:<18}{rows[-1]["ms"]:>10.2f} ms (fastest {rows[-1]["ms_min"]:.2f})')
  # By the round, so that a machine whose speed drifts does not disturb the ratio.
  rounds = [totals({key: values[i] for key, values in found.items()}) for i in range(given.rounds)]
  for name in ('block5 epoch', 'whole job'):
    for who in CONTESTANTS:
      seconds = statistics.median(r[who][name] for r in rounds)
      ratio = statistics.median(r[OURS][name] / r[who][name] for r in rounds)
      rows.append({'model': name, 'who': who, 'ms': round(1e3 * seconds), 'ours_by_this': round(ratio, 2)})
      print(f'{name:<38}{who:<18}{seconds:>10.1f} s, ours/this {ratio:.2f}')
  if given.json:
    with open(given.json, 'w', encoding='utf-8') as file:
      json.dump({'machine': described, 'is_tiny': given.tiny, 'rows': rows}, file, indent=1)


if __name__ == '__main__':
  main()
